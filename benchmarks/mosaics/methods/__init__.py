"""The compared methods by their name on the command line."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.mosaics.methods.midas import midas
from benchmarks.mosaics.methods.multidgd import multidgd
from benchmarks.mosaics.methods.scvi_models import multivi, totalvi
from benchmarks.mosaics.methods.spectral import spectral
from benchmarks.mosaics.task import Fit, Task
from benchmarks.shared.data import Dataset


@dataclass(frozen=True)
class Method:
    """A method, its title in tables, and the data sets to which it applies."""

    title: str
    run: Callable[[Task], Fit]
    applies: Callable[[Dataset], bool] = lambda data: True
    has_epochs: bool = True
    is_in_other_environment: bool = False


#: In the order of the tables.
METHODS = {
    "multidgd": Method("multidgd", multidgd),
    "spectral": Method("spectral initialisation", spectral, has_epochs=False),
    "midas": Method("midas", midas, is_in_other_environment=True),
    "multivi": Method("multivi", multivi),
    "totalvi": Method("totalvi", totalvi, lambda data: "atac" not in data.modalities),
}
