"""Randomness that follows ``scvi.settings.seed`` and leaves the global generators as they were."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from scvi import settings

from multiDGD._checks import positive_int


def resolve_seed() -> int:
    """``scvi.settings.seed``; where there is none, one from torch's global generator."""
    return int(torch.randint(2**31, ())) if settings.seed is None else settings.seed


@contextmanager
def isolated_rng(device: torch.device, seed: int) -> Iterator[None]:
    """Let torch's global generators start from a seed, and restore their state afterwards.

    Parameters
    ----------
    device
        On which numbers are drawn, besides the CPU.
    seed
        The seed.
    """
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield


def subsample(
    cells: np.ndarray, n_cells: int, generator: np.random.Generator | None = None
) -> np.ndarray:
    """Draw at most so many of some cells, in ascending order.

    Parameters
    ----------
    cells
        Positions.
    n_cells
        Most cells wanted.
    generator
        Which draws them; by default one with ``scvi.settings.seed``, or 0.
    """
    generator = generator or np.random.default_rng(settings.seed or 0)
    return np.sort(generator.permutation(cells)[:n_cells])


def draw_cells(cells: np.ndarray, n_cells: int | None, rng: np.random.Generator) -> np.ndarray:
    """Draw at most ``n_cells`` of some cells, in ascending order.

    Raises
    ------
    ValueError
        If there are none, or ``n_cells`` is not positive.
    """
    if n_cells is not None:
        positive_int("n_cells", n_cells)
    if not len(cells):
        raise ValueError("`indices` names no cell.")
    return cells if n_cells is None else subsample(cells, n_cells, rng)
