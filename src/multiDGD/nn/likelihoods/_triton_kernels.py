"""Negative binomial of a minibatch, compiled by Triton to kernels for a CUDA device.

The computation is that of ``_numba_kernels.py``, with one program per cell or block instead of a
loop.
"""

# mypy: ignore-errors
from __future__ import annotations

import triton
import triton.language as tl
from torch import Tensor

from ._minibatch import Minibatch

# Elements and warps of one program: a single row must keep a multiprocessor busy.
_ROW = {"BLOCK": 4096, "NONZEROS": 1024, "num_warps": 16}
_TILE = {"ROWS": 8, "BLOCK": 512, "num_warps": 4}
_ADD = {"BLOCK": 1024, "num_warps": 4}
# Below every logit, but finite, so that the difference of two of them is 0.
_LOWEST = tl.constexpr(-1e30)
_TINY = tl.constexpr(1e-30)
# Up to this count, a product is faster than logarithms of gamma functions.
_MAX_PRODUCT = tl.constexpr(12)
_LARGEST = tl.constexpr(1e38)
_HALF_LOG_2_PI = tl.constexpr(0.9189385332046727)


@triton.jit
def _log1p(m):
    u = 1.0 + m
    return tl.where(u == 1.0, m, tl.log(u) * (m / (u - 1.0)))


@triton.jit
def _stirling(z):
    """``log Gamma(z) - log(2 pi) / 2`` and its derivative, for z of at least 8."""
    w = 1 / (z * z)
    value = (z - 0.5) * tl.log(z) - z + (1 / 12 - w * (1 / 360 - w / 1260)) / z
    by_z = tl.log(z) - 0.5 / z - w * (1 / 12 - w * (1 / 120 - w / 252))
    return value, by_z


@triton.jit
def _log_gamma(z):
    product = z
    by_z = 1 / z
    for k in tl.static_range(1, 8):
        product *= z + k
        by_z += 1 / (z + k)
    value, slope = _stirling(z + 8)
    return value - tl.log(product), slope - by_z


@triton.jit
def _log_coefficient(x, r):
    """``log [Gamma(x + r) / (Gamma(r) x!)]`` and its derivative with respect to r."""
    product = tl.full(x.shape, 1.0, tl.float32)
    by_r = tl.zeros(x.shape, tl.float32)
    for k in tl.static_range(_MAX_PRODUCT):
        product *= tl.where(k < x, (r + k) / (k + 1), 1.0)
        by_r += tl.where(k < x, 1 / (r + k), 0.0)
    value = tl.log(product)
    # The product may overflow for large dispersions.
    is_far = (x > _MAX_PRODUCT) | (x != tl.floor(x)) | (product > _LARGEST)
    if tl.max(is_far.to(tl.int32), 0) > 0:
        x_64, r_64 = x.to(tl.float64), r.to(tl.float64)
        above, by_above = _log_gamma(x_64 + r_64)
        below, by_below = _log_gamma(r_64)
        factorial, _ = _log_gamma(x_64 + 1)
        far = above - below - factorial - _HALF_LOG_2_PI
        value = tl.where(is_far, far.to(tl.float32), value)
        by_r = tl.where(is_far, (by_above - by_below).to(tl.float32), by_r)
    return value, by_r


@triton.jit
def _values(
    logits,
    shift,
    scale,
    library,
    weight,
    indptr,
    columns,
    values,
    n_features,
    value,
    by_mean,
    log_factor,
    slope,
    by_scale,
    LEARNED: tl.constexpr,
    BLOCK: tl.constexpr,
    NONZEROS: tl.constexpr,
):
    """Log-likelihood of one cell, and the intermediate results that its gradient requires."""
    row = tl.program_id(0)
    logits += row.to(tl.int64) * n_features
    lanes = tl.arange(0, BLOCK)
    largest = tl.full((BLOCK,), _LOWEST, tl.float32)
    total = tl.zeros((BLOCK,), tl.float32)
    for first in range(0, n_features, BLOCK):
        at = first + lanes
        inside = at < n_features
        x = tl.load(logits + at, mask=inside, other=_LOWEST).to(tl.float32)
        x += tl.load(shift + at, mask=inside, other=0.0)
        higher = tl.maximum(largest, x)
        r = tl.load(scale + at, mask=inside, other=0.0)
        total = total * tl.exp(largest - higher) + r * tl.exp(x - higher)
        largest = higher
    top = tl.max(largest, 0)
    library_i = tl.load(library + row)
    log_factor_i = tl.log(library_i / tl.sum(total * tl.exp(largest - top), 0)) - top

    value_i = tl.zeros((BLOCK,), tl.float32)
    by_mean_i = tl.zeros((BLOCK,), tl.float32)
    for first in range(0, n_features, BLOCK):
        at = first + lanes
        inside = at < n_features
        x = tl.load(logits + at, mask=inside, other=_LOWEST).to(tl.float32)
        m = tl.exp(x + tl.load(shift + at, mask=inside, other=0.0) + log_factor_i)
        r = tl.load(scale + at, mask=inside, other=0.0)
        value_i -= r * _log1p(m)
        by_mean_i += r * (m / (1 + m))

    value_i = tl.sum(value_i, 0)
    by_mean_i = tl.sum(by_mean_i, 0)

    weight_i = tl.load(weight + row)
    end = tl.load(indptr + row + 1)
    for first in range(tl.load(indptr + row), end, NONZEROS):
        z = first + tl.arange(0, NONZEROS)
        inside = z < end
        j = tl.load(columns + z, mask=inside, other=0)
        x = tl.load(values + z, mask=inside, other=0.0)
        r = tl.load(scale + j, mask=inside, other=1.0)
        log_ratio = tl.load(logits + j, mask=inside, other=0.0).to(tl.float32)
        log_ratio += tl.load(shift + j, mask=inside, other=0.0) + log_factor_i
        log_ratio = tl.where(inside, log_ratio, 0.0)
        log_coefficient, by_r = _log_coefficient(x, r)
        m = tl.exp(-tl.abs(log_ratio))
        value_i += tl.sum(log_coefficient - x * (_log1p(m) - tl.minimum(log_ratio, 0.0)), 0)
        slope_z = x * tl.where(log_ratio < 0, 1.0, m) / (1 + m)
        by_mean_i -= tl.sum(slope_z, 0)
        tl.store(slope + z, slope_z, mask=inside)
        if LEARNED:
            tl.atomic_add(by_scale + j, weight_i * (by_r - slope_z / r), mask=inside)
    tl.store(value + row, value_i)
    tl.store(by_mean + row, by_mean_i / tl.maximum(library_i, _TINY))
    tl.store(log_factor + row, log_factor_i)


@triton.jit
def _derivatives(
    logits,
    shift,
    scale,
    weight,
    n_cells,
    n_features,
    by_mean,
    log_factor,
    by_scale,
    gradient,
    LEARNED: tl.constexpr,
    WITH_GRADIENT: tl.constexpr,
    ROWS: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Derivatives if every count were zero, for a block of features in some cells."""
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = at < n_features
    shift_f = tl.load(shift + at, mask=inside, other=_LOWEST)
    r = tl.load(scale + at, mask=inside, other=0.0)
    total = tl.zeros((BLOCK,), tl.float32)
    for k in range(ROWS):
        row = tl.program_id(1).to(tl.int64) * ROWS + k
        here = inside & (row < n_cells)
        offset = row * n_features + at
        x = tl.load(logits + offset, mask=here, other=0.0).to(tl.float32)
        m = tl.exp(x + shift_f + tl.load(log_factor + row, mask=row < n_cells, other=_LOWEST))
        share = m / (1 + m)
        if LEARNED:
            weight_i = tl.load(weight + row, mask=row < n_cells, other=0.0)
            total += weight_i * (share - _log1p(m))
        if WITH_GRADIENT:
            by_mean_i = tl.load(by_mean + row, mask=row < n_cells, other=0.0)
            tl.store(gradient + offset, r * (m * by_mean_i - share), mask=here)
    if LEARNED:
        tl.atomic_add(by_scale + at, total, mask=inside)


@triton.jit
def _add(gradient, rows, columns, slope, n_nonzeros, n_cells, n_features, BLOCK: tl.constexpr):
    """Add the non-zeros' part of the gradient; every index occurs once, except for padding."""
    z = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    row = tl.load(rows + z, mask=z < n_nonzeros, other=n_cells)
    inside = row < n_cells
    offset = row * n_features + tl.load(columns + z, mask=inside, other=0)
    x = tl.load(gradient + offset, mask=inside, other=0.0).to(tl.float32)
    tl.store(gradient + offset, x + tl.load(slope + z, mask=inside, other=0.0), mask=inside)


def evaluate_minibatch(
    batch: Minibatch, scale_f: Tensor, by_scale_f: Tensor, learned: bool
) -> None:
    """Fill the buffers of a minibatch.

    Parameters
    ----------
    batch
        The minibatch; its shift is the bias minus ``log(scale_f)``. All tensors are contiguous.
    scale_f
        The dispersions r, shape ``(f,)``.
    by_scale_f
        Buffer to which the weighted derivatives with respect to r are added, shape ``(f,)``.
    learned
        Whether to compute these derivatives.
    """
    counts, logits, gradient = batch.counts, batch.logits_nf, batch.gradient_nf
    n, f = logits.shape
    n_nonzeros = len(batch.values)
    by_mean, log_factor = batch.library_n.new_empty(2, n)
    slope = batch.values.new_empty(n_nonzeros)
    shift = batch.shift_f
    _values[(n,)](
        *(logits, shift, scale_f, batch.library_n, batch.weight_n, batch.indptr, counts.columns),
        *(batch.values, f, batch.value_n, by_mean, log_factor, slope, by_scale_f),
        LEARNED=learned,
        **_ROW,
    )
    if gradient is None and not learned:
        return
    tiles = triton.cdiv(f, _TILE["BLOCK"]), triton.cdiv(n, _TILE["ROWS"])
    _derivatives[tiles](
        *(logits, shift, scale_f, batch.weight_n, n, f, by_mean, log_factor, by_scale_f),
        logits if gradient is None else gradient,
        LEARNED=learned,
        WITH_GRADIENT=gradient is not None,
        **_TILE,
    )
    if gradient is not None and n_nonzeros:
        _add[(triton.cdiv(n_nonzeros, _ADD["BLOCK"]),)](
            *(gradient, counts.rows, counts.columns, slope, n_nonzeros, n, f), **_ADD
        )
