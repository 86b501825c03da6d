"""Registration of AnnData and MuData objects, and minibatches of sparse counts."""

from multiDGD._log import logger

from ._categories import find_categories
from ._checks import check_names, check_unique_column, listed
from ._count_fields import CountsField, ModalityField, MuDataCountsField
from ._dataset import CellDataset
from ._feature_matching import check_features, matched_columns, observed_features
from ._fingerprints import CellIndex, fingerprints
from ._manager import CellManager
from ._matrix_reader import is_on_disk
from ._modality_layers import modalities_and_layers
from ._modality_reader import ModalityReader
from ._obs_fields import LabelsField, MuDataLabelsField
from ._open_zarr import open_zarr
from ._reader import CountReader
from ._registry import DataSummary, summarize_registry
from ._setup import anndata_fields, mudata_fields

__all__ = [
    "CellDataset",
    "CellIndex",
    "CellManager",
    "CountReader",
    "CountsField",
    "DataSummary",
    "LabelsField",
    "ModalityField",
    "ModalityReader",
    "MuDataCountsField",
    "MuDataLabelsField",
    "anndata_fields",
    "check_features",
    "check_names",
    "check_unique_column",
    "find_categories",
    "fingerprints",
    "is_on_disk",
    "listed",
    "logger",
    "matched_columns",
    "modalities_and_layers",
    "mudata_fields",
    "observed_features",
    "open_zarr",
    "summarize_registry",
]
