"""Records as plain values, so that a saved model can be read by any version of this package."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor


def as_plain(record: object) -> dict[str, Any]:
    """Fields of a dataclass by name, with tensors as arrays.

    Parameters
    ----------
    record
        The dataclass.
    """
    return {k: v.cpu().numpy() if isinstance(v, Tensor) else v for k, v in vars(record).items()}


def with_tensors(plain: Mapping[str, Any], device: torch.device) -> dict[str, Any]:
    """The inverse of :func:`as_plain`: the fields with arrays as tensors.

    Parameters
    ----------
    plain
        The fields.
    device
        Where to put the tensors.
    """
    return {
        k: torch.from_numpy(v).to(device) if isinstance(v, np.ndarray) else v
        for k, v in plain.items()
    }
