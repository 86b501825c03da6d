"""Negative binomial of a minibatch, compiled by numba to vector instructions.

The functions have no type annotations, since numba infers types from their arguments.
"""

# mypy: ignore-errors
from __future__ import annotations

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic, overload

# Integers and constants must have 32 bits, or numba widens every result that uses them to 64.
_F, _I = np.float32, np.int32
_ZERO, _ONE, _TWO = _F(0), _F(1), _F(2)
_EXPONENT, _MANTISSA, _BIAS = _I(23), _I(0x007FFFFF), _I(127)
_ONE_BITS, _SIGN, _NOT_SIGN = _I(0x3F800000), _I(31), _I(0x7FFFFFFF)
_LOWEST, _HALF_WORD, _ROUND = _I(-(2**31)), _I(16), _I(0x7FFF)
_TINY, _INFINITE = _F(1e-30), _F(np.inf)
# Up to this count, a product is faster than logarithms of gamma functions.
_MAX_PRODUCT = _F(12)

# exp(x) = 2^n exp(x - n log 2), the last factor by its minimax polynomial (Cephes, `expf`).
_LOG2_E, _LN2 = _F(1.44269504088896), _F(0.69314718056)
_LN2_HIGH, _LN2_LOW = _F(0.693359375), _F(-2.12194440e-4)
_E0, _E1, _E2 = _F(5.0000001201e-1), _F(1.6666665459e-1), _F(4.1665795894e-2)
_E3, _E4, _E5 = _F(8.3334519073e-3), _F(1.3981999507e-3), _F(1.9875691500e-4)
# Adding it rounds to an integer: a float32 of this size has no fractional digits.
_ROUNDING, _LOWEST_EXP = _F(12582912.0), _F(-87.0)
# log((1 + s) / (1 - s)) = 2 s + s (2/3 s^2 + 2/5 s^4 + ...), for s up to 1/3.
_L1, _L2, _L3, _L4, _L5, _L6, _L7 = (_F(2 / k) for k in (3, 5, 7, 9, 11, 13, 15))

# Vectorised sums need reordering. Where accuracy depends on the order, it must stay.
_REORDERED = {"fastmath": {"reassoc", "contract", "nsz", "arcp"}, "error_model": "numpy"}
_ORDERED = {"fastmath": {"contract"}, "error_model": "numpy"}


@intrinsic
def _as_float(context, x):
    """Reinterpret the bits of an int32 as a float32."""

    def code(context, builder, signature, arguments):
        return builder.bitcast(arguments[0], ir.FloatType())

    return types.float32(types.int32), code


@intrinsic
def _as_int(context, x):
    """Reinterpret the bits of a float32 as an int32."""

    def code(context, builder, signature, arguments):
        return builder.bitcast(arguments[0], ir.IntType(32))

    return types.int32(types.float32), code


def _read(x):
    """Return a stored number as float32."""


@overload(_read)
def _read_overload(x):
    if isinstance(x, types.Float):
        return lambda x: x
    return lambda x: _as_float(_I(x) << _HALF_WORD)  # bfloat16 is the upper half of a float32


def _as_stored(x, like):
    """Convert a float32 to the storage type of ``like``."""


@overload(_as_stored)
def _as_stored_overload(x, like):
    if isinstance(like, types.Float):
        return lambda x, like: x

    def upper_half(x, like):  # rounded to the nearest, ties to even
        bits = _as_int(x)
        return np.uint16((bits + _ROUND + ((bits >> _HALF_WORD) & _I(1))) >> _HALF_WORD)

    return upper_half


@numba.njit(**_ORDERED)
def _exp(x):
    x = max(x, _LOWEST_EXP)
    n = (x * _LOG2_E + _ROUNDING) - _ROUNDING
    r = x - n * _LN2_HIGH - n * _LN2_LOW
    p = ((((_E5 * r + _E4) * r + _E3) * r + _E2) * r + _E1) * r + _E0
    return (p * r * r + r + _ONE) * _as_float((_I(n) + _BIAS) << _EXPONENT)


@numba.njit(**_ORDERED)
def _log1p(m):
    bits = _as_int(_ONE + m)
    small = m < _ONE
    rest = m if small else _as_float((bits & _MANTISSA) | _ONE_BITS) - _ONE
    exponent = _ZERO if small else _F((bits >> _EXPONENT) - _BIAS)
    s = rest / (_TWO + rest)
    q = s * s
    p = (((((_L7 * q + _L6) * q + _L5) * q + _L4) * q + _L3) * q + _L2) * q + _L1
    return exponent * _LN2 + (s * _TWO + s * q * p)


@numba.njit(**_ORDERED)
def _order_preserving(bits):
    """Map the bits of floats to integers of the same order, whose maximum vectorises.

    The map is its own inverse.
    """
    return bits ^ ((bits >> _SIGN) & _NOT_SIGN)


@numba.njit(**_REORDERED)
def _add_shift(logits_f, shift_f, out_f):
    largest = _LOWEST
    for j in range(len(out_f)):
        x = _read(logits_f[j]) + shift_f[j]
        out_f[j] = x
        largest = max(largest, _order_preserving(_as_int(x)))
    return _as_float(_order_preserving(largest))


@numba.njit(**_REORDERED)
def _exponentials(x_f, largest, scale_f):
    total = _ZERO
    for j in range(len(x_f)):
        e = _exp(x_f[j] - largest)
        x_f[j] = e
        total += e * scale_f[j]
    return total


@numba.njit(**_REORDERED)
def _zeros(e_f, factor, scale_f, weight, by_scale_f):
    value, slope = _ZERO, _ZERO
    for j in range(len(e_f)):
        m = e_f[j] * factor
        cost, share = _log1p(m), m / (_ONE + m)
        value -= cost * scale_f[j]
        slope += share * scale_f[j]
        by_scale_f[j] += weight * (share - cost)
    return value, slope


@numba.njit(**_REORDERED)
def _gradient(e_f, factor, scale_f, by_mean):
    for j in range(len(e_f)):
        m = e_f[j] * factor
        e_f[j] = scale_f[j] * (m * by_mean - m / (_ONE + m))


@numba.njit(**_REORDERED)
def _store(x_f, out_f):
    for j in range(len(x_f)):
        out_f[j] = _as_stored(x_f[j], out_f[j])


@numba.njit(**_ORDERED)
def _stirling(z):
    """``log Gamma(z) - log(2 pi) / 2`` and its derivative, for z of at least 8."""
    w = 1 / (z * z)
    value = (z - 0.5) * np.log(z) - z + (1 / 12 - w * (1 / 360 - w / 1260)) / z
    by_z = np.log(z) - 0.5 / z - w * (1 / 12 - w * (1 / 120 - w / 252))
    return value, by_z


@numba.njit(**_ORDERED)
def _log_gamma(z):
    product, by_z = 1.0, 0.0
    for k in range(8):
        product *= z + k
        by_z += 1 / (z + k)
    value, slope = _stirling(z + 8)
    return value - np.log(product), slope - by_z


@numba.njit(**_ORDERED)
def _log_coefficient(x, r):
    """``log [Gamma(x + r) / (Gamma(r) x!)]`` and its derivative with respect to r."""
    if x <= _MAX_PRODUCT and x == np.floor(x):
        product, by_r = _ONE, _ZERO
        for k in range(_I(x)):
            factor = r + _F(k)
            product *= factor / _F(k + 1)
            by_r += _ONE / factor
        if product < _INFINITE:  # may overflow for dispersions above 8,000
            return np.log(product), by_r
    x, r = np.float64(x), np.float64(r)
    above, by_above = _log_gamma(x + r)
    below, by_below = _log_gamma(r)
    return _F(above - below - _log_gamma(x + 1)[0] - 0.5 * np.log(2 * np.pi)), _F(
        by_above - by_below
    )


def evaluate_rows(
    first,
    last,
    logits_nf,
    shift_f,
    scale_f,
    library_n,
    weight_n,
    indptr,
    columns,
    values,
    value_n,
    by_scale_f,
    gradient_nf,
    differentiable,
):
    """Fill values and gradients of the cells from ``first`` to before ``last``.

    Parameters are the fields of :class:`Minibatch` as arrays. Derivatives with respect to the
    dispersions are added to ``by_scale_f``. Arrays of type uint16 hold the bits of bfloat16.
    """
    e_f = np.empty_like(shift_f)
    log_ratio = np.empty_like(values)
    for i in range(first, last):
        nonzeros = range(indptr[i], indptr[i + 1])
        weight = weight_n[i]
        largest = _add_shift(logits_nf[i], shift_f, e_f)
        for z in nonzeros:
            log_ratio[z] = e_f[columns[z]]
        factor = library_n[i] / _exponentials(e_f, largest, scale_f)
        value, by_mean = _zeros(e_f, factor, scale_f, weight, by_scale_f)
        log_factor = np.log(factor) - largest
        for z in nonzeros:
            j, x = columns[z], values[z]
            log_ratio[z] += log_factor
            log_coefficient, by_r = _log_coefficient(x, scale_f[j])
            m = _exp(-abs(log_ratio[z]))
            value += log_coefficient - x * (_log1p(m) - min(log_ratio[z], _ZERO))
            slope = x / (_ONE + m) if log_ratio[z] < _ZERO else x * m / (_ONE + m)
            by_mean -= slope
            by_scale_f[j] += weight * (by_r - slope / scale_f[j])
            log_ratio[z] = slope
        value_n[i] = value
        if differentiable:
            _gradient(e_f, factor, scale_f, by_mean / max(library_n[i], _TINY))
            for z in nonzeros:
                e_f[columns[z]] += log_ratio[z]
            _store(e_f, gradient_nf[i])


def compile_evaluate_rows():
    """Compile :func:`evaluate_rows`, or load it from numba's cache."""
    options = {"nogil": True, "error_model": "numpy"}
    try:
        return numba.njit(evaluate_rows, cache=True, **options)
    except RuntimeError:  # no writable cache folder: every process compiles it
        return numba.njit(evaluate_rows, **options)
