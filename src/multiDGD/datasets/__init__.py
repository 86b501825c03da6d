"""Simulated and published data sets."""

from ._blood_cells import blood_cells
from ._coaccessible import simulate_coaccessible
from ._published import human_bonemarrow, human_brain, mouse_gastrulation
from ._simulate import simulate_multiome, simulate_wide

__all__ = [
    "blood_cells",
    "human_bonemarrow",
    "human_brain",
    "mouse_gastrulation",
    "simulate_coaccessible",
    "simulate_multiome",
    "simulate_wide",
]
