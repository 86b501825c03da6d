"""Cells on the training device, from which minibatches of fixed shapes are assembled."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from multiDGD.module import find_unknown
from multiDGD.nn import Counts


class ResidentCells:
    """All cells of a training on one device.

    A minibatch is assembled without waiting for the device. The number of entries of its counts
    depends on the number of cells only, because they are padded.

    Parameters
    ----------
    batches
        Minibatches with all cells, in order.
    device
        Device of the cells.
    positions
        Positions of these cells in the data, ascending, shape ``(n,)``; by default, 0 to n - 1.

    Examples
    --------
    >>> import torch
    >>> from multiDGD.nn import Counts
    >>> from multiDGD.train import ResidentCells
    >>> counts = Counts.from_dense(torch.tensor([[0.0, 3.0], [1.0, 2.0]]))
    >>> codes = {"labels": torch.tensor([0, -1]), "covariates": torch.zeros(2, 1)}
    >>> cells = ResidentCells([{"counts": {"rna": counts}, **codes}], torch.device("cpu"))
    >>> taken = cells.take(torch.tensor([0]))["counts"]["rna"]
    >>> taken.values, taken.to_dense()
    (tensor([3., 1.]), tensor([[0., 3.]]))
    """

    def __init__(
        self,
        batches: Iterable[dict[str, Any]],
        device: torch.device,
        positions: np.ndarray | None = None,
    ) -> None:
        parts: dict[str, list[_Rows]] = {}
        columns: dict[str, list[Tensor]] = {}
        for batch in batches:
            for name, value in batch.items():
                if name != "counts":
                    columns.setdefault(name, []).append(value)
            for modality, counts in batch["counts"].items():
                parts.setdefault(modality, []).append(_Rows(counts))
        whole = {name: torch.cat(values) for name, values in columns.items()}
        self._has_unknown = find_unknown(whole)
        self._columns = {name: value.to(device) for name, value in whole.items()}
        self._counts = {m: _CountRows(rows, device) for m, rows in parts.items()}
        self._row_of_position: Tensor | None = None
        if positions is not None and len(positions) and positions[-1] >= len(positions):
            rows = np.zeros(positions[-1] + 1, dtype=np.int64)
            rows[positions] = np.arange(len(positions))
            self._row_of_position = torch.from_numpy(rows).to(device)

    def take(self, cells: Tensor) -> dict[str, Any]:
        """Minibatch of some cells, whose counts are padded.

        Parameters
        ----------
        cells
            Positions in the data, on the device, shape ``(b,)``, int64. Only one cell may occur
            twice.

        Returns
        -------
        Minibatch as of a :class:`multiDGD.data.CellDataset`. ``"has_unknown"`` is the argument of
        :meth:`multiDGD.module.MultiDGDModule.latent_log_prob`.
        """
        rows = cells if self._row_of_position is None else self._row_of_position[cells]
        return {
            **{name: value[rows] for name, value in self._columns.items()},
            "counts": {m: counts.take(rows) for m, counts in self._counts.items()},
            "has_unknown": self._has_unknown,
        }


class _Rows:
    """Non-zeros of some cells in 8 bytes each instead of 20."""

    def __init__(self, counts: Counts) -> None:
        self.values = counts.values
        self.columns = counts.columns.to(torch.int32)
        self.sizes = torch.bincount(counts.rows, minlength=counts.n_cells)
        self.library = counts.library
        self.n_features = counts.n_features


class _CountRows:
    """Counts of one modality in the CSR format."""

    def __init__(self, parts: Sequence[_Rows], device: torch.device) -> None:
        self._values = torch.cat([part.values for part in parts]).to(device)
        self._columns = torch.cat([part.columns for part in parts]).to(device)
        self._library = torch.cat([part.library for part in parts]).to(device)
        self._n_features = parts[0].n_features
        sizes = torch.cat([part.sizes for part in parts])
        self._ends = sizes.cumsum(0).to(device)
        self._sizes = sizes.to(device)
        # Number of non-zeros of the b cells that have most of them; the first one may occur twice.
        most = sizes.sort(descending=True).values
        self._most = torch.cat([most[:1], most]).cumsum(0).numpy()

    def take(self, cells: Tensor) -> Counts:
        n_cells = len(cells)
        n_entries = int(self._most[n_cells - 1]) if n_cells else 0
        sizes = self._sizes[cells]
        ends = sizes.cumsum(0)
        entry = torch.arange(n_entries, device=cells.device)
        rows = torch.searchsorted(ends, entry, right=True)
        # Position of a cell's non-zeros in the table, minus that in the minibatch.
        shift = torch.nn.functional.pad(self._ends[cells] - ends, (0, 1))
        source = (entry + shift[rows]).clamp_(max=max(len(self._values) - 1, 0))
        padding = rows >= n_cells
        return Counts(
            values=self._values[source].masked_fill_(padding, 1),
            rows=rows,
            columns=self._columns[source].masked_fill_(padding, 0).long(),
            library=self._library[cells],
            n_features=self._n_features,
            is_padded=True,
        )
