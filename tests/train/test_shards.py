"""Division of the cells among processes."""

import numpy as np
import pytest

from multiDGD.train import EpochOrder
from multiDGD.train._shards import Shards


def visited(shards, rank, batch_size, drop_last):
    """Numbers of cells in the minibatches of a process, from the order of an epoch."""
    order = list(EpochOrder(len(shards.of(rank)), 0, lambda: 0, shards.n_draws(rank)))
    parts = [order[i : i + batch_size] for i in range(0, len(order), batch_size)]
    return [part for part in parts if len(part) == batch_size or not drop_last]


@pytest.mark.parametrize("in_blocks", [False, True])
@pytest.mark.parametrize("drop_last", [False, True])
@pytest.mark.parametrize("n_processes", [1, 2, 3, 5])
@pytest.mark.parametrize("n_cells", [7, 16, 31, 32, 33, 97])
def test_equal_steps_of_disjoint_cells(n_cells, n_processes, drop_last, in_blocks):
    cells = 3 * np.arange(n_cells)
    shards = Shards(cells, n_processes, 4, drop_last, in_blocks)
    parts = [shards.of(rank) for rank in range(n_processes)]
    np.testing.assert_array_equal(np.sort(np.concatenate(parts)), cells)
    assert np.ptp([len(part) for part in parts]) <= 1
    assert all(not in_blocks or (np.diff(part) == 3).all() for part in parts)
    epochs = [visited(shards, rank, 4, drop_last) for rank in range(n_processes)]
    assert len({len(epoch) for epoch in epochs}) == 1
    for step in range(len(epochs[0])):
        assert shards.n_cells_of_step(step) == sum(len(epoch[step]) for epoch in epochs)
    for epoch, part in zip(epochs, parts, strict=True):
        counts = np.bincount(np.concatenate([*epoch, []]).astype(int), minlength=len(part))
        assert counts.max(initial=0) <= 2
        assert drop_last or counts.min(initial=1) == 1
