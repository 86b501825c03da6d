"""Seeds, isolated generators and random subsets of cells."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from scvi import settings

from multiDGD._checks import positive_int


def resolve_seed() -> int:
    """``scvi.settings.seed``; if it is not set, a seed from torch's global generator."""
    return int(torch.randint(2**31, ())) if settings.seed is None else settings.seed


@contextmanager
def isolated_rng(device: torch.device, seed: int) -> Iterator[None]:
    """Seed torch's global generators, and restore their state afterwards.

    Parameters
    ----------
    device
        Device of the random numbers, in addition to the CPU.
    seed
        Seed of the generators.
    """
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield


def subsample(
    cells: np.ndarray, n_cells: int, generator: np.random.Generator | None = None
) -> np.ndarray:
    """Draw at most ``n_cells`` of the given cells, in ascending order.

    Parameters
    ----------
    cells
        Positions of the cells.
    n_cells
        Maximal number of cells.
    generator
        Random generator; by default, a new one with the seed ``scvi.settings.seed``, or 0.
    """
    generator = generator or np.random.default_rng(settings.seed or 0)
    return np.sort(generator.permutation(cells)[:n_cells])


def draw_cells(cells: np.ndarray, n_cells: int | None, rng: np.random.Generator) -> np.ndarray:
    """Draw at most ``n_cells`` of the cells in an argument, in ascending order; all if `None`.

    Raises
    ------
    ValueError
        If there are no cells, or ``n_cells`` is not positive.
    """
    if n_cells is not None:
        positive_int("n_cells", n_cells)
    if not len(cells):
        raise ValueError("`indices` must contain at least one cell, found none.")
    return cells if n_cells is None else subsample(cells, n_cells, rng)
