"""The negative binomial's rows in a few kernels, for float32 on a CUDA device.

Equal to the evaluation in blocks, which starts some dozens of them; on data of the usual size a
device waits for each to be started.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor

from multiDGD.nn._counts import Counts

from ._rows import Rows


@cache
def _fill() -> Callable[..., None] | None:
    """What Triton made, if it is there and can compile; what can go wrong is the machine's."""
    try:
        from ._triton import fill

        one = torch.ones(1, device="cuda")
        x = Counts.from_dense(one[:, None])
        fill(
            Rows(x, one[:, None].clone(), one, one, one, one, one.clone(), one[:, None].clone()),
            *(one, one.clone(), True),
        )
    except Exception:  # noqa: BLE001
        return None
    return fill


def can_evaluate(rows: Rows) -> bool:
    """Whether a minibatch is what kernels are made for, and Triton could make them."""
    return (
        rows.logits_nf.device.type == "cuda"
        and rows.is_float32
        and len(rows.library_n) > 0  # no kernel is started for nothing
        # Sums by atomic additions come in any order.
        and not torch.are_deterministic_algorithms_enabled()
        and _fill() is not None
    )


def evaluate(rows: Rows, scale_f: Tensor, learned: bool) -> Tensor:
    """Fill what is wanted of the rows.

    Parameters
    ----------
    rows
        The minibatch, with the shift less ``log(scale_f)``.
    scale_f
        The dispersions r, shape ``(f,)``.
    learned
        Whether derivatives by r are wanted.

    Returns
    -------
    Weighted sum over cells of the derivative by r, shape ``(f,)``.
    """
    fill = _fill()
    assert fill is not None
    by_scale_f = torch.zeros_like(scale_f)
    with torch.cuda.device(scale_f.device):  # kernels are started on the current one
        fill(rows, scale_f, by_scale_f, learned)
    return by_scale_f
