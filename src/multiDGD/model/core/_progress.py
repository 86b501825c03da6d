"""Progress bars of scvi-tools over minibatches."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import Any, TypeVar

from scvi.utils import track as scvi_track

T = TypeVar("T")
# scvi-tools closes all other bars when it makes one, also those that another thread is making.
_LOCK = threading.Lock()
# Fewer minibatches take little time.
_MIN_BATCHES = 5


def track(sequence: Iterable[T], description: str, **options: Any) -> Iterable[T]:
    """Iterate with a progress bar of scvi-tools, which several threads may make at once.

    Parameters
    ----------
    sequence
        What to iterate over.
    description
        Text beside the bar.
    **options
        Options of :func:`scvi.utils.track`.
    """
    with _LOCK:
        shown: Iterable[T] = scvi_track(sequence, description, **options)
    return shown


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
    return track(batches, description, disable=silent or n_batches < _MIN_BATCHES, total=n_batches)
