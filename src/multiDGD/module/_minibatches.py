"""Minibatches of other sizes: subsets, concatenations and groups."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from multiDGD.nn import Counts


def find_unknown(batch: Mapping[str, Any]) -> tuple[bool, bool]:
    """Whether any label, and any covariate, is unknown.

    Parameters
    ----------
    batch
        Minibatch of a :class:`multiDGD.data.CellDataset`, not yet on a GPU.
    """
    return bool((batch["labels"] < 0).any()), bool((batch["covariates"] < 0).any())


def take_cells(batch: dict[str, Any], cells: Tensor) -> dict[str, Any]:
    """Select cells of a minibatch, in any order and with repetition.

    Parameters
    ----------
    batch
        Minibatch of a :class:`multiDGD.data.CellDataset`. Values other than tensors are kept.
    cells
        Indices within the minibatch, shape ``(b,)``.
    """
    return {
        key: {m: counts.take(cells) for m, counts in value.items()}
        if key == "counts"
        else value[cells]
        if isinstance(value, Tensor)
        else value
        for key, value in batch.items()
    }


def join(batches: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Concatenate minibatches.

    Parameters
    ----------
    batches
        At least one minibatch, all with the same modalities.
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
    """Group minibatches into lists of at least ``n_cells`` cells; the last may be smaller."""
    pool: list[dict[str, Any]] = []
    for batch in batches:
        pool.append(batch)
        if sum(len(b["cells"]) for b in pool) >= n_cells:
            yield pool
            pool = []
    if pool:
        yield pool
