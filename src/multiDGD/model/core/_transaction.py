"""Changes of a model that take effect together or not at all."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

from scvi.model.base import BaseModelClass

M = TypeVar("M", bound=BaseModelClass)


@contextmanager
def transaction(model: M) -> Iterator[M]:
    """Yield a copy of a model, whose state replaces that of the model at the end of the block.

    The copy has a module of its own and shares the data. If the block raises an error or is
    interrupted, the model stays unchanged.

    Parameters
    ----------
    model
        The model.
    """
    work = copy.copy(model)
    work.module = copy.deepcopy(model.module)
    yield work
    # One call in C, which no signal handler can interrupt.
    model.__dict__.update(work.__dict__)
