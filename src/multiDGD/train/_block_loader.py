"""Minibatches of cells on disk, read in blocks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from multiDGD.data import CellDataset
from multiDGD.module import join, take_cells

from ._epoch_order import BlockOrder


class BlockLoader:
    """Data loader of cells on disk.

    Each buffer of a :class:`BlockOrder` is read at once, in ascending order. Minibatches are taken
    from the buffer in memory; one that exceeds it continues in the next.

    Parameters
    ----------
    dataset
        Dataset of the cells.
    order
        Order of the cells.
    batch_size
        Number of cells in a minibatch.
    drop_last
        Whether to leave out a last minibatch with fewer cells.
    """

    def __init__(
        self, dataset: CellDataset, order: BlockOrder, batch_size: int, drop_last: bool = False
    ) -> None:
        self.dataset = dataset
        self.order = order
        self.batch_size = batch_size
        self.drop_last = drop_last

    def __len__(self) -> int:
        n_complete, rest = divmod(len(self.order), self.batch_size)
        return n_complete + bool(rest and not self.drop_last)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        held: list[dict[str, Any]] = []
        n_held = 0
        buffer: dict[str, Any] = {}
        for cells in self.order:
            buffer.clear()  # two buffers would double the memory
            ascending = np.sort(cells)
            buffer.update(self.dataset[ascending])
            waiting = torch.from_numpy(np.searchsorted(ascending, cells))
            while len(waiting):
                taken = waiting[: self.batch_size - n_held]
                waiting = waiting[len(taken) :]
                held.append(take_cells(buffer, taken))
                n_held += len(taken)
                if n_held == self.batch_size:
                    yield join(held)
                    held, n_held = [], 0
        if held and not self.drop_last:
            yield join(held)
