"""Progress bars of scvi-tools over minibatches."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

from scvi.utils import track

T = TypeVar("T")
# Fewer minibatches take little time.
_MIN_BATCHES = 5


def progress(batches: Iterable[T], description: str, n_batches: int, silent: bool) -> Iterable[T]:
    """Iterate over minibatches with a progress bar, unless they are few.

    Parameters
    ----------
    batches
        Minibatches.
    description
        Text beside the bar.
    n_batches
        Number of minibatches, which an iterable need not have.
    silent
        Whether to show no bar.
    """
    shown: Iterable[T] = track(
        batches, description, disable=silent or n_batches < _MIN_BATCHES, total=n_batches
    )
    return shown
