"""Blocks of cells that are small enough for a processor's cache."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import repeat
from typing import NamedTuple

import torch
from torch import Tensor

from ._minibatch import Minibatch

# Elements of a block of cells. On a CPU, a block stays in a core's cache through all operations;
# elsewhere, it is large enough to keep the device busy.
BLOCK_ELEMENTS = 2**17
DEVICE_BLOCK_ELEMENTS = 2**26


class Block(NamedTuple):
    """Some cells of a minibatch: views of its tensors and buffers, and scratch memory.

    ``flat_index`` is the index of each non-zero in the flattened block. Padding has that of the
    first entry.
    """

    logits: Tensor
    gradient: Tensor | None
    library: Tensor
    weight: Tensor
    value: Tensor
    flat_index: Tensor
    row: Tensor
    values: Tensor
    columns: Tensor
    log_ratio: Tensor
    ratio: Tensor
    scratch: Tensor
    padding: Tensor | None


def split_into_blocks(batch: Minibatch, log_ratio: Tensor) -> Iterator[Block]:
    """Split a minibatch into blocks of cells that share their scratch memory.

    Padded counts are a single block, since the sizes of several would depend on the cells.

    Parameters
    ----------
    batch
        The minibatch.
    log_ratio
        Buffer for one number per non-zero, shape ``(nnz,)``.
    """
    n, f = batch.logits_nf.shape
    device = batch.library_n.device
    elements = BLOCK_ELEMENTS if device.type == "cpu" else DEVICE_BLOCK_ELEMENTS
    size = max(1, n if batch.counts.is_padded else min(n, elements // f))
    row = batch.counts.rows % size
    flat_index = row * f + batch.counts.columns
    cell_tensors = (
        batch.logits_nf,
        batch.gradient_nf,
        batch.library_n,
        batch.weight_n,
        batch.value_n,
    )
    nonzero_tensors = flat_index, row, batch.values, batch.counts.columns, log_ratio
    if size >= n:
        sizes = [len(row)]
    else:
        ends = torch.arange(0, n + size, size, device=device)
        sizes = torch.searchsorted(batch.counts.rows, ends).diff().tolist()
    # One call per tensor: making the views block by block would take as long as computing on them.
    cells = zip(
        *(repeat(None) if x is None else x.split(size) for x in cell_tensors), strict=False
    )
    nonzeros = zip(*(x.split(sizes) for x in nonzero_tensors), strict=True)
    memory = torch.empty(3, size, f, dtype=batch.values.dtype, device=device)
    for a, b in zip(cells, nonzeros, strict=True):
        k = len(a[0])
        yield Block._make((*a, *b, memory[0, :k], memory[1:, :k], batch.counts.padding))
