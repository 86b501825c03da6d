"""The compared methods by their name on the command line."""

from __future__ import annotations

from collections.abc import Callable

from benchmarks.quality.methods.average import average
from benchmarks.quality.methods.midas import midas
from benchmarks.quality.methods.multidgd import multidgd
from benchmarks.quality.methods.pca import pca_harmony
from benchmarks.quality.methods.scvi_models import multivi, scvi_rna, totalvi
from benchmarks.quality.methods.start import start
from benchmarks.quality.methods.wnn import wnn
from benchmarks.shared.data import Dataset
from benchmarks.shared.methods import Method


def _has(*names: str) -> Callable[[Dataset], bool]:
    return lambda data: data.is_complete and set(data.modalities) == set(names)


def _is_multimodal(data: Dataset) -> bool:
    return len(data.modalities) > 1


#: In the order of the tables.
METHODS = {
    "multidgd": Method("multidgd", multidgd, has_epochs=True),
    "start": Method("spectral initialisation", start),
    "pca": Method("pca + harmony", pca_harmony, lambda data: data.is_complete),
    "wnn": Method(
        "wnn",
        wnn,
        lambda data: data.is_complete and _is_multimodal(data),
        is_in_other_environment=True,
    ),
    "totalvi": Method("totalvi", totalvi, _has("rna", "prot"), has_epochs=True),
    "multivi": Method(
        "multivi",
        multivi,
        lambda data: not data.is_complete or _has("rna", "atac")(data),
        has_epochs=True,
    ),
    "scvi": Method("scvi", scvi_rna, _has("rna"), has_epochs=True),
    "midas": Method("midas", midas, _is_multimodal, has_epochs=True, is_in_other_environment=True),
    "average": Method("average profile", average),
}
