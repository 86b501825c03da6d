"""All methods of the mapping tasks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from benchmarks.mapping import methods_linear, methods_multidgd, methods_scvi
from benchmarks.mapping.tasks import TASKS

_SOURCES = (methods_multidgd, methods_scvi, methods_linear)
#: Methods by name for each task, in the order of the table.
METHODS: dict[str, dict[str, Callable[..., Any]]] = {
    task: {
        method: function
        for source in _SOURCES
        for (of, method), function in source.METHODS.items()
        if of == task
    }
    for task in TASKS
}
