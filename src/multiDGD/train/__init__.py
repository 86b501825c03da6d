"""Training: the plan, the row-wise optimiser, the data splitter and the initialisation."""

from ._block_loader import BlockLoader
from ._captured_plan import CapturedTrainingPlan
from ._checkpoint_io import SafeCheckpointIO, find_checkpoint, read_checkpoint
from ._count_split import CountSplitValidation
from ._epoch_checkpoint import EpochCheckpoint
from ._epoch_order import BlockOrder, EpochOrder
from ._initialisation import initialise_at_zero, initialise_from_embedding
from ._loss_terms import monitored_names
from ._pinned_strategy import PinnedStrategy
from ._plan import MultiDGDTrainingPlan
from ._resident_cells import ResidentCells
from ._row_adam import RowAdam
from ._splitter import CellSplitter

__all__ = [
    "BlockLoader",
    "BlockOrder",
    "CapturedTrainingPlan",
    "CellSplitter",
    "CountSplitValidation",
    "EpochCheckpoint",
    "EpochOrder",
    "MultiDGDTrainingPlan",
    "PinnedStrategy",
    "ResidentCells",
    "RowAdam",
    "SafeCheckpointIO",
    "find_checkpoint",
    "initialise_at_zero",
    "initialise_from_embedding",
    "monitored_names",
    "read_checkpoint",
]
