"""Reusable memory for large tensors."""

from __future__ import annotations

import math
import threading
from typing import Any

import torch
from torch import Tensor


class Workspace:
    """Pool of reusable buffers for large tensors.

    Such tensors have the size of a minibatch's means or of a decoder's last weights. On a CPU,
    their memory returns to the operating system when it is freed. To allocate it again in the next
    step can take as long as the matrix product that fills it. The pool keeps its buffers and
    reuses each one once no tensor refers to it. Each thread has buffers of its own. Other devices
    already have such an allocator.

    Examples
    --------
    >>> from multiDGD.nn import Workspace
    >>> workspace = Workspace()
    >>> first, second = workspace.empty(2, 3), workspace.empty(2, 3)
    >>> address = first.data_ptr()
    >>> second.data_ptr() == address
    False
    >>> del first
    >>> workspace.empty(3, 2).data_ptr() == address
    True
    """

    def __init__(self) -> None:
        self._of_thread = threading.local()

    @property
    def _buffers(self) -> list[Tensor]:
        return self._of_thread.__dict__.setdefault("buffers", [])

    def empty(
        self,
        *shape: int,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
    ) -> Tensor:
        """Return a tensor with uninitialised values.

        Parameters
        ----------
        *shape
            Shape of the tensor.
        dtype, device
            As for :func:`torch.empty`.
        """
        if torch.device(device).type != "cpu" or _reference_count is None:
            return torch.empty(shape, dtype=dtype, device=device)
        n = math.prod(shape)
        free = [t for t in self._buffers if t.dtype == dtype and _is_free(t)]
        fitting = [t for t in free if len(t) >= n]
        if fitting:
            memory = min(fitting, key=len)
        else:  # shapes recur, so free buffers that are too small now would stay unused
            dropped = {id(t) for t in free}
            self._buffers[:] = [t for t in self._buffers if id(t) not in dropped]
            memory = torch.empty(n, dtype=dtype)
            self._buffers.append(memory)
        return memory[:n].view(shape)

    def empty_like(self, x: Tensor) -> Tensor:
        """Return an uninitialised tensor of the same shape, type and device."""
        return self.empty(*x.shape, dtype=x.dtype, device=x.device)

    def clear(self) -> None:
        """Empty the pool of the calling thread. Tensors in use keep their memory."""
        self._buffers.clear()

    def __deepcopy__(self, memo: dict[int, Any]) -> Workspace:
        return Workspace()

    def __reduce__(self) -> tuple[type[Workspace], tuple[()]]:
        return Workspace, ()


# Not a public function of torch. Without it no buffers are kept: slower, with the same results.
_reference_count = getattr(torch._C, "_storage_Use_Count", None)


def _is_free(buffer: Tensor) -> bool:
    storage = buffer.untyped_storage()
    # The two references are those of `buffer` and `storage`.
    return _reference_count is not None and _reference_count(storage._cdata) == 2
