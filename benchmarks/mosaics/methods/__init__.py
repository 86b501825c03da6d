"""The compared methods by their name on the command line."""

from __future__ import annotations

from benchmarks.mosaics.methods.midas import midas
from benchmarks.mosaics.methods.multidgd import multidgd
from benchmarks.mosaics.methods.scvi_models import multivi, totalvi
from benchmarks.mosaics.methods.spectral import spectral
from benchmarks.shared.methods import Method

#: In the order of the tables.
METHODS = {
    "multidgd": Method("multidgd", multidgd, has_epochs=True),
    "spectral": Method("spectral initialisation", spectral),
    "midas": Method("midas", midas, has_epochs=True, is_in_other_environment=True),
    "multivi": Method("multivi", multivi, has_epochs=True),
    "totalvi": Method(
        "totalvi", totalvi, lambda data: "atac" not in data.modalities, has_epochs=True
    ),
}
