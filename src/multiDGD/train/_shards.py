"""Division of the cells among the processes of a training."""

from __future__ import annotations

import numpy as np


class Shards:
    """Cells of each process, and the sizes of their minibatches.

    Each cell belongs to one process. The numbers of cells of two processes differ by at most one. If
    this makes another minibatch necessary, the processes with one cell less visit their first cell
    of an epoch once more, so that all take the same number of steps.

    Parameters
    ----------
    cells
        Positions of the cells, ascending.
    n_processes
        Number of processes.
    batch_size
        Number of cells in a minibatch of one process.
    drop_last
        Whether to leave out a last minibatch with fewer cells.
    in_blocks
        Whether the cells of a process are neighbours, as for files. By default, they are spread
        over all cells.
    """

    def __init__(
        self,
        cells: np.ndarray,
        n_processes: int,
        batch_size: int,
        drop_last: bool = False,
        in_blocks: bool = False,
    ) -> None:
        self._cells = cells
        self._n_processes = n_processes
        self._batch_size = batch_size
        self._drop_last = drop_last
        self._in_blocks = in_blocks

    def of(self, rank: int) -> np.ndarray:
        """Positions of the cells of a process, ascending.

        Parameters
        ----------
        rank
            Number of the process, from 0.
        """
        if self._in_blocks:
            return np.array_split(self._cells, self._n_processes)[rank]
        return self._cells[rank :: self._n_processes]

    def n_draws(self, rank: int) -> int:
        """Number of cells that a process visits in an epoch, with repetition.

        Parameters
        ----------
        rank
            Number of the process, from 0.
        """
        n_cells, most = self._n_cells(rank), self._n_cells(0)
        return n_cells if self._n_steps(n_cells) == self._n_steps(most) else most

    def n_cells_of_step(self, step: int) -> int:
        """Number of cells in the minibatches of all processes.

        Parameters
        ----------
        step
            Number of the step in its epoch, from 0.
        """
        left = (self.n_draws(rank) - step * self._batch_size for rank in range(self._n_processes))
        return sum(min(n, self._batch_size) for n in left)

    def _n_cells(self, rank: int) -> int:
        share, rest = divmod(len(self._cells), self._n_processes)
        return share + (rank < rest)

    def _n_steps(self, n_cells: int) -> int:
        n_complete, rest = divmod(n_cells, self._batch_size)
        return n_complete + bool(rest and not self._drop_last)
