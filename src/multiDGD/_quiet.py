"""Messages of other libraries that users of this package cannot act on.

Only these messages are hidden, and only while this package calls the library.
"""

from __future__ import annotations

import logging
import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

#: Loggers of the libraries, with the beginning of each hidden message.
_IMPORT_LOGS = {"torch.utils.flop_counter": r"triton not found"}
_TRAINING_LOGS = dict.fromkeys(
    ("lightning.pytorch.utilities.rank_zero", "lightning.fabric.utilities.rank_zero"),
    # Devices other than GPUs, advertisements, and the end of each training.
    r"[THI]PU available|💡 Tip|Loading `train_dataloader`|`Trainer.fit` stopped",
)
_TRANSFER_LOGS = {"scvi.model.base._base_model": r"Input AnnData not setup with scvi-tools"}
_TRAINING_WARNINGS = (r"`isinstance\(treespec, LeafSpec\)` is deprecated",)
_MUDATA_WARNINGS = (
    r"From 0\.4 \.update\(\)",
    # A gene and a protein share a name, as in most CITE-seq data; in the words of two versions.
    r"Cannot join columns with the same name because var_names are intersecting",
    r"var_names are not unique",
)


@contextmanager
def quiet_import() -> Iterator[None]:
    """Hide messages about libraries that are not installed."""
    with _without_logs(_IMPORT_LOGS):
        yield


@contextmanager
def quiet_training() -> Iterator[None]:
    """Hide messages about the trainer of Lightning."""
    with _without_logs(_TRAINING_LOGS), _without_warnings(_TRAINING_WARNINGS):
        yield


@contextmanager
def quiet_transfer() -> Iterator[None]:
    """Hide the messages about the registration of new objects."""
    with _without_logs(_TRANSFER_LOGS), quiet_mudata():
        yield


def hide_version(trainer: Any) -> None:
    """Leave the number of the trainer's logger (``v_num``) out of the progress bar."""
    bar = trainer.progress_bar_callback
    if bar is not None:
        bar.get_metrics = partial(_without_version, bar.get_metrics)


def _without_version(get_metrics: Callable[..., dict], *args: Any) -> dict:
    return {name: value for name, value in get_metrics(*args).items() if name != "v_num"}


@contextmanager
def quiet_mudata() -> Iterator[None]:
    """Hide the announcement of another default, and warnings about names in two modalities."""
    with _without_warnings(_MUDATA_WARNINGS):
        yield


@contextmanager
def _without_warnings(messages: Sequence[str]) -> Iterator[None]:
    # `warnings.catch_warnings` would also undo the filters that others add meanwhile.
    filters: list = warnings.filters  # type: ignore[assignment]
    added = [("ignore", re.compile(m), Warning, None, 0) for m in messages]
    filters[:0] = added
    try:
        yield
    finally:
        for entry in added:
            if entry in filters:
                filters.remove(entry)


@contextmanager
def _without_logs(messages: dict[str, str]) -> Iterator[None]:
    added = []
    for name, pattern in messages.items():
        added.append((logging.getLogger(name), _Hidden(pattern)))
    for logger, hidden in added:
        logger.addFilter(hidden)
    try:
        yield
    finally:
        for logger, hidden in added:
            logger.removeFilter(hidden)


class _Hidden(logging.Filter):
    """Filter of messages with a given beginning."""

    def __init__(self, pattern: str) -> None:
        super().__init__()
        self._pattern = re.compile(pattern)

    def filter(self, record: logging.LogRecord) -> bool:
        return not self._pattern.match(record.getMessage())
