"""Minibatches of other sizes than those that came."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from multiDGD.nn import Counts


def take_cells(batch: dict[str, Any], cells: Tensor) -> dict[str, Any]:
    """Some cells of a minibatch, in any order and any of them more than once.

    Parameters
    ----------
    batch
        As :class:`multiDGD.data.CellDataset` gives it.
    cells
        Positions within the minibatch, shape ``(b,)``.
    """
    return {
        key: {m: counts.take(cells) for m, counts in value.items()}
        if key == "counts"
        else value[cells]
        for key, value in batch.items()
    }


def join(batches: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """One minibatch of the cells of several.

    Parameters
    ----------
    batches
        At least one, all of the same modalities.
    """
    if len(batches) == 1:
        return batches[0]
    return {
        key: {m: Counts.concatenate([b["counts"][m] for b in batches]) for m in value}
        if key == "counts"
        else torch.cat([b[key] for b in batches])
        for key, value in batches[0].items()
    }


def pools(batches: Iterable[dict[str, Any]], n_cells: int) -> Iterator[list[dict[str, Any]]]:
    """Minibatches in lists of at least ``n_cells`` cells, the last of what is left."""
    pool: list[dict[str, Any]] = []
    for batch in batches:
        pool.append(batch)
        if sum(len(b["cells"]) for b in pool) >= n_cells:
            yield pool
            pool = []
    if pool:
        yield pool
