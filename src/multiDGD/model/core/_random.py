"""Seeds, independent random generators, and random subsets of cells."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from scvi import settings

from multiDGD._checks import positive_int

_GLOBAL_STATE = threading.Lock()


def resolve_seed() -> int:
    """``scvi.settings.seed``; if it is not set, a seed from the operating system."""
    if settings.seed is not None:
        return settings.seed
    return int(np.random.SeedSequence().generate_state(1)[0])


def new_generator(*key: int, device: torch.device | str = "cpu") -> torch.Generator:
    """Random generator of torch whose draws depend on the key only.

    Parameters
    ----------
    *key
        Integers; each key has independent draws.
    device
        Device of the draws.
    """
    seed = np.random.SeedSequence(key).generate_state(1, np.uint64)[0]
    return torch.Generator(device).manual_seed(int(seed >> np.uint64(1)))


@contextmanager
def seeded_initialisation(seed: int) -> Iterator[None]:
    """Seed torch's global generator of the CPU, and restore its state afterwards.

    The layers of torch draw their initial weights from the global generator. The block of one
    thread at a time is executed.

    Parameters
    ----------
    seed
        Seed of the generator.
    """
    # Parameters that are created in inference mode could never be trained.
    with _GLOBAL_STATE, torch.random.fork_rng(devices=[]), torch.inference_mode(False):
        torch.default_generator.manual_seed(seed)
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
