"""Progress bars of scvi-tools over minibatches."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TypeVar

from scvi.utils import track

T = TypeVar("T")
# Fewer minibatches take little time.
_MIN_BATCHES = 5


def progress(
    batches: Iterable[T], description: str, n_cells: int, batch_size: int, silent: bool
) -> Iterable[T]:
    """Iterate over minibatches with a progress bar, unless they are few.

    Parameters
    ----------
    batches
        Minibatches, whose number is not known to the iterable.
    description
        Text beside the bar.
    n_cells
        Number of cells of all minibatches together.
    batch_size
        Number of cells in a minibatch.
    silent
        Whether to show no bar.
    """
    n_batches = math.ceil(n_cells / batch_size)
    shown: Iterable[T] = track(
        batches, description, disable=silent or n_batches < _MIN_BATCHES, total=n_batches
    )
    return shown
