"""Optimisation: the training plan, and representations of cells under a frozen decoder."""

from ._map import category_means, infer_representations
from ._plan import MultiDGDTrainingPlan
from ._row_adam import RowAdam
from ._splitter import CellSplitter
from ._start import start_from_embedding, start_from_zero

__all__ = [
    "CellSplitter",
    "MultiDGDTrainingPlan",
    "RowAdam",
    "category_means",
    "infer_representations",
    "start_from_embedding",
    "start_from_zero",
]
