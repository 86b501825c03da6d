"""Large buffers that are used again."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor


class Workspace:
    """Memory for what is as large as a minibatch's means, or as a decoder's last weights.

    On a CPU such memory goes back to the system when it is freed, and fetching it anew in the
    next step can cost as much as the matrix product that fills it. Here it is kept, and handed
    out again once no tensor refers to it any more. Other devices have such an allocator already.

    Examples
    --------
    >>> from multiDGD.nn import Workspace
    >>> workspace = Workspace()
    >>> first, second = workspace.empty(2, 3), workspace.empty(2, 3)
    >>> place = first.data_ptr()
    >>> second.data_ptr() == place
    False
    >>> del first
    >>> workspace.empty(3, 2).data_ptr() == place
    True
    """

    def __init__(self) -> None:
        self._kept: list[Tensor] = []

    def empty(
        self,
        *shape: int,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
    ) -> Tensor:
        """A tensor whose values are whatever was there before.

        Parameters
        ----------
        *shape
            Its shape.
        dtype, device
            As for :func:`torch.empty`.
        """
        if torch.device(device).type != "cpu" or _n_holders is None:
            return torch.empty(shape, dtype=dtype, device=device)
        n = math.prod(shape)
        free = [t for t in self._kept if t.dtype == dtype and _is_free(t)]
        fitting = [t for t in free if len(t) >= n]
        if fitting:
            memory = min(fitting, key=len)
        else:  # what was too small once will be so again
            dropped = {id(t) for t in free}
            self._kept = [t for t in self._kept if id(t) not in dropped]
            memory = torch.empty(n, dtype=dtype)
            self._kept.append(memory)
        return memory[:n].view(shape)

    def empty_like(self, x: Tensor) -> Tensor:
        """A tensor of the same shape, type and device, whose values are whatever was there."""
        return self.empty(*x.shape, dtype=x.dtype, device=x.device)

    def clear(self) -> None:
        """Give all memory back that nobody holds."""
        self._kept.clear()

    def __deepcopy__(self, memo: dict[int, Any]) -> Workspace:
        return Workspace()

    def __reduce__(self) -> tuple[type[Workspace], tuple[()]]:
        return Workspace, ()


# Not a public function of torch; without it nothing is kept, which is slower and no less right.
_n_holders = getattr(torch._C, "_storage_Use_Count", None)


def _is_free(kept: Tensor) -> bool:
    storage = kept.untyped_storage()
    # The tensor itself and the variable of the line above.
    return _n_holders is not None and _n_holders(storage._cdata) == 2
