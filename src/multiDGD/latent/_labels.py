"""Conversion of class labels to an integer tensor."""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch import Tensor

from multiDGD.latent import _checks

_LEGACY_UNLABELLED = 999


def class_labels(
    label: Any, n_class: int, device: torch.device, n_expected: int | None = None
) -> Tensor:
    """Return labels as int64 of shape (n,) on ``device``, with -1 for unlabelled samples.

    Parameters
    ----------
    label
        Integers in a list, array or tensor of shape (n,) or (n, 1), or one integer.
    n_class
        Number of classes. Valid labels are -1 ... n_class - 1; 999 is a deprecated form of -1.
    device
        Device of the result.
    n_expected
        Required number of labels; ``None`` for any number.

    Raises
    ------
    ValueError
        If labels are not integers, have another shape or number, or are out of range.
    """
    try:
        tensor = _checks.as_tensor(label)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(
            f"`label` must hold integers, found {label!r}; encode categories as 0 ... "
            f"{n_class - 1} and missing ones as -1."
        ) from error
    if tensor.numel() == 0:
        tensor = tensor.long()
    if tensor.dtype == torch.bool or tensor.is_floating_point() or tensor.is_complex():
        raise ValueError(
            f"`label` must hold integers, found {tensor.dtype}; encode categories as 0 ... "
            f"{n_class - 1} and missing ones as -1."
        )
    label_n = tensor.to(device=device, dtype=torch.int64)
    if label_n.ndim == 0 or (label_n.ndim == 2 and label_n.shape[1] == 1):
        label_n = label_n.reshape(-1)
    if label_n.ndim != 1 or n_expected not in (None, len(label_n)):
        count = "n" if n_expected is None else n_expected
        raise ValueError(
            f"`label` must have shape ({count},) or ({count}, 1), found {tuple(tensor.shape)}; "
            "pass one label per sample, -1 where it is unknown."
        )
    outside_n = (label_n < -1) | (label_n >= n_class)
    # Valid labels, the usual case in training, need only this one synchronisation of the device.
    if bool(outside_n.any()):
        return _replace_legacy(label_n, outside_n, n_class)
    return label_n


def _replace_legacy(label_n: Tensor, outside_n: Tensor, n_class: int) -> Tensor:
    wrong_n = label_n[outside_n]
    wrong_n = wrong_n[wrong_n != _LEGACY_UNLABELLED]
    if wrong_n.numel():
        raise ValueError(
            f"`label` must be between 0 and {n_class - 1}, or -1 if unknown; found "
            f"{sorted(set(wrong_n.tolist()))[:5]}."
        )
    warnings.warn(
        "Label 999 for unlabelled samples is deprecated; use -1.",
        FutureWarning,  # Python hides a DeprecationWarning outside `__main__` by default
        stacklevel=4,
    )
    return label_n.masked_fill(outside_n, -1)
