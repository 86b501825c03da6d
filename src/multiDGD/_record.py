"""Immutable fitted results, with a state of plain values for files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, Self, get_type_hints

import numpy as np
import torch
from torch import Tensor


class Record:
    """Base of frozen dataclasses whose fields are numbers, strings, arrays, tensors or records.

    The state of a record contains only plain values, so that any version of the package can read
    it.
    """

    def state(self) -> dict[str, Any]:
        """Return the fields by name, with tensors as arrays and records as their states."""
        return {field.name: _plain(getattr(self, field.name)) for field in fields(self)}  # type: ignore[arg-type]

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Self:
        """Build a record from its state.

        Parameters
        ----------
        state
            State as returned by :meth:`state`. Tensors are created on the CPU.
        """
        types = get_type_hints(cls)
        return cls(**{name: _typed(value, types[name]) for name, value in state.items()})

    def to(self, device: torch.device) -> Self:
        """Return a copy with all tensors on a device.

        Parameters
        ----------
        device
            The device.
        """
        return type(self)(
            **{
                name: value.to(device) if isinstance(value, Tensor) else value
                for name, value in vars(self).items()
            }
        )


def _plain(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.detach().cpu().numpy()
    return value.state() if isinstance(value, Record) else value


def _typed(value: Any, field_type: Any) -> Any:
    if field_type is Tensor and isinstance(value, np.ndarray):
        return torch.from_numpy(value)
    return value
