"""Evaluation of rows in plain torch: any likelihood, device and precision."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import repeat
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from ._rows import Rows

if TYPE_CHECKING:
    from ._terms import Terms

# Elements of a block of rows: on a CPU what stays in a core's cache through all operations on it,
# elsewhere what keeps the device busy.
BLOCK_ELEMENTS = 2**17
DEVICE_BLOCK_ELEMENTS = 2**26


def evaluate_in_blocks(terms: Terms, rows: Rows) -> None:
    """Fill what is wanted of the rows, a few at a time.

    Each block goes from logits to gradient while it is in cache, through memory that is used
    again.

    Parameters
    ----------
    terms
        The likelihood's terms.
    rows
        The minibatch.
    """
    log_ratio = torch.empty_like(rows.values)
    for block in _blocks(rows, log_ratio):
        _evaluate(block, terms, rows.shift_f)
    weight = rows.weight_n[rows.counts.rows]
    correction = terms.nonzeros(rows.values, log_ratio, rows.counts.columns, weight)
    rows.value_n.index_add_(0, rows.counts.rows, correction)


class _Block(NamedTuple):
    """A few rows: parts of what is known or wanted of cells and non-zeros, and scratch memory."""

    logits: Tensor
    gradient: Tensor | None
    library: Tensor
    weight: Tensor
    value: Tensor
    at: Tensor
    row: Tensor
    values: Tensor
    columns: Tensor
    log_ratio: Tensor
    ratio: Tensor
    scratch: Tensor


def _evaluate(block: _Block, terms: Terms, shift_f: Tensor | None) -> None:
    scale_f = terms.scale_f
    ratio = block.ratio
    if shift_f is None:
        ratio.copy_(block.logits)
    else:
        torch.add(block.logits, shift_f, out=ratio)
    logit_z = ratio.view(-1)[block.at]
    largest = ratio.amax(1, keepdim=True)
    ratio.sub_(largest).exp_()
    total = ratio.sum(1) if scale_f is None else torch.mv(ratio, scale_f)
    factor = block.library / total
    ratio.mul_(factor[:, None])
    torch.add(logit_z, factor.log_().sub_(largest.squeeze(1))[block.row], out=block.log_ratio)
    value, share = terms.zeros(ratio, block.weight, block.scratch)
    block.value.copy_(value)
    if block.gradient is None:
        return

    slope_z = terms.slope(block.values, block.log_ratio, block.columns)
    sum_k = share.sum(1) if scale_f is None else torch.mv(share, scale_f)
    sum_k.index_add_(0, block.row, slope_z, alpha=-1)
    # A cell without counts has a mean of 0 everywhere, and with it sums of 0.
    sum_k.div_(block.library.clamp(min=torch.finfo(ratio.dtype).tiny))
    ratio.mul_(sum_k[:, None]).sub_(share)
    same_type = block.gradient.dtype == ratio.dtype
    gradient = block.gradient if same_type else ratio
    if scale_f is not None:
        torch.mul(ratio, scale_f, out=gradient)
    elif same_type:
        gradient.copy_(ratio)
    gradient.view(-1).index_add_(0, block.at, slope_z)
    if not same_type:
        block.gradient.copy_(gradient)


def _blocks(rows: Rows, log_ratio: Tensor) -> Iterator[_Block]:
    n, f = rows.logits_nf.shape
    device = rows.library_n.device
    elements = BLOCK_ELEMENTS if device.type == "cpu" else DEVICE_BLOCK_ELEMENTS
    size = max(1, min(n, elements // f))
    row = rows.counts.rows % size
    at = row * f + rows.counts.columns
    of_cells = rows.logits_nf, rows.gradient_nf, rows.library_n, rows.weight_n, rows.value_n
    of_nonzeros = at, row, rows.values, rows.counts.columns, log_ratio
    if size >= n:
        sizes = [len(row)]
    else:
        ends = torch.arange(0, n + size, size, device=device)
        sizes = torch.searchsorted(rows.counts.rows, ends).diff().tolist()
    # One call each: taken block by block, the views alone would cost as much as their contents.
    cells = zip(*(repeat(None) if x is None else x.split(size) for x in of_cells), strict=False)
    nonzeros = zip(*(x.split(sizes) for x in of_nonzeros), strict=True)
    memory = torch.empty(3, size, f, dtype=rows.values.dtype, device=device)
    for a, b in zip(cells, nonzeros, strict=True):
        k = len(a[0])
        yield _Block._make((*a, *b, memory[0, :k], memory[1:, :k]))
