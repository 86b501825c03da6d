"""Order of the cells in each epoch."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from torch.utils.data import Sampler


class EpochOrder(Sampler[int]):
    """Random order of cells that depends on a seed and the epoch only.

    Parameters
    ----------
    n_cells
        Number of cells.
    seed
        Random seed.
    epoch
        Function that returns the number of the current epoch.

    Examples
    --------
    >>> from multiDGD.train import EpochOrder
    >>> first, second = (list(EpochOrder(4, 0, lambda: epoch)) for epoch in (0, 1))
    >>> first == second, sorted(first) == sorted(second)
    (False, True)
    """

    def __init__(self, n_cells: int, seed: int, epoch: Callable[[], int]) -> None:
        self.n_cells = n_cells
        self.seed = seed
        self.epoch = epoch

    def __len__(self) -> int:
        return self.n_cells

    def __iter__(self) -> Iterator[int]:
        rng = np.random.default_rng([self.seed, self.epoch()])
        return iter(rng.permutation(self.n_cells).tolist())
