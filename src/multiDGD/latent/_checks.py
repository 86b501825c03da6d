"""Argument checks for tensors, shared by the latent classes; every error names the argument."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def last_axis(name: str, value: Any, dim: int) -> Tensor:
    """Return ``value``, or raise ``ValueError`` unless it is a tensor of shape (..., dim)."""
    if not isinstance(value, Tensor):
        raise ValueError(
            f"`{name}` must be a torch.Tensor, found {type(value).__name__}; "
            "convert it with torch.as_tensor."
        )
    if value.ndim == 0 or value.shape[-1] != dim:
        raise ValueError(
            f"`{name}` must have {dim} values along its last axis, "
            f"found a tensor of shape {tuple(value.shape)}."
        )
    return value


def points(name: str, value: Any, dim: int) -> Tensor:
    """Return ``value``, or raise ``ValueError`` unless it is a tensor of shape (n, dim)."""
    value = last_axis(name, value, dim)
    if value.ndim != 2:
        raise ValueError(
            f"`{name}` must have shape (n_sample, {dim}), found {tuple(value.shape)}; "
            "pass one row per sample."
        )
    return value


def as_tensor(value: Any) -> Tensor:
    """Return a tensor unchanged, and copy an array, series, list or number into a new one.

    Arrays of pandas are often read-only, and torch warns when a tensor shares their memory.
    """
    if isinstance(value, Tensor):
        return value.detach()
    return torch.tensor(value.to_numpy() if hasattr(value, "to_numpy") else value)


def values_like(name: str, value: Any, like: Tensor, *shapes: tuple[int, ...]) -> Tensor:
    """Return ``value`` with the dtype and device of ``like``.

    Raises
    ------
    ValueError
        If ``value`` is not numeric, has none of ``shapes``, or contains NaN or infinity.
    """
    try:
        tensor = as_tensor(value).to(device=like.device, dtype=like.dtype)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"`{name}` must hold numbers, found {value!r}.") from error
    if tuple(tensor.shape) not in shapes:
        expected = " or ".join(str(shape) for shape in shapes)
        raise ValueError(f"`{name}` must have shape {expected}, found {tuple(tensor.shape)}.")
    if not bool(torch.isfinite(tensor).all()):
        raise ValueError(f"`{name}` must be finite, found NaN or infinity; remove them first.")
    return tensor
