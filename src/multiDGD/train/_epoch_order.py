"""Order of the cells in each epoch, in memory and on disk."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from torch.utils.data import Sampler

from multiDGD._checks import positive_int


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
    n_draws
        Number of cells in an epoch, ``n_cells`` by default. The first cells of an epoch follow once
        more if it is larger.

    Examples
    --------
    >>> from multiDGD.train import EpochOrder
    >>> first, second = (list(EpochOrder(4, 0, lambda: epoch)) for epoch in (0, 1))
    >>> first == second, sorted(first) == sorted(second)
    (False, True)
    """

    def __init__(
        self, n_cells: int, seed: int, epoch: Callable[[], int], n_draws: int | None = None
    ) -> None:
        self.n_cells = n_cells
        self.seed = seed
        self.epoch = epoch
        self.n_draws = n_cells if n_draws is None else n_draws

    def __len__(self) -> int:
        return self.n_draws

    def __iter__(self) -> Iterator[int]:
        rng = np.random.default_rng([self.seed, self.epoch()])
        return iter(np.resize(rng.permutation(self.n_cells), self.n_draws).tolist())


class BlockOrder:
    """Random order of cells on disk, which are read in blocks of neighbouring cells.

    Several blocks, drawn at random, are read into a buffer, and the cells of a buffer are in random
    order. The order depends on the seed and the epoch only. If one buffer contains all cells, it is
    that of :class:`EpochOrder`.

    Parameters
    ----------
    n_cells
        Number of cells.
    seed
        Random seed.
    epoch
        Function that returns the number of the current epoch.
    block_size
        Number of neighbouring cells in a block.
    n_blocks
        Number of blocks in a buffer.
    n_draws
        As for :class:`EpochOrder`.

    Examples
    --------
    >>> from multiDGD.train import BlockOrder
    >>> buffers = list(BlockOrder(8, 0, lambda: 0, block_size=2, n_blocks=2))
    >>> [len(buffer) for buffer in buffers]
    [4, 4]
    """

    def __init__(
        self,
        n_cells: int,
        seed: int,
        epoch: Callable[[], int],
        block_size: int,
        n_blocks: int,
        n_draws: int | None = None,
    ) -> None:
        self.n_cells = n_cells
        self.seed = seed
        self.epoch = epoch
        self.block_size = positive_int("block_size", block_size)
        self.n_blocks = positive_int("n_blocks", n_blocks)
        self.n_draws = n_cells if n_draws is None else n_draws

    def __len__(self) -> int:
        return self.n_draws

    def __iter__(self) -> Iterator[np.ndarray]:
        """Yield the cells of each buffer, in the order of their use."""
        first: np.ndarray | None = None
        for cells in self._buffers():
            first = cells if first is None else first
            yield cells
        if first is not None and self.n_draws > self.n_cells:
            yield first[: self.n_draws - self.n_cells]

    def _buffers(self) -> Iterator[np.ndarray]:
        rng = np.random.default_rng([self.seed, self.epoch()])
        cells = np.arange(self.n_cells)
        blocks = np.split(cells, cells[self.block_size :: self.block_size])
        if len(blocks) <= self.n_blocks:
            yield rng.permutation(cells)
            return
        n_buffers = -(-len(blocks) // self.n_blocks)
        for mixed in np.array_split(rng.permutation(len(blocks)), n_buffers):
            yield rng.permutation(np.concatenate([blocks[i] for i in np.sort(mixed)]))
