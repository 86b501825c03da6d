"""Definition of a task of the insight benchmark."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

Figures = dict[str, float]
#: Arguments of ``train`` for training on the CPU without output.
QUIET_CPU = {"enable_progress_bar": False, "accelerator": "cpu", "logger": False}


@dataclass(frozen=True)
class Task:
    """A measurement that is repeated for each part (data set or setting) and seed.

    ``function(part, seed)`` returns scores by line of the table; ``columns`` names the scores that
    the table shows, by key.
    """

    function: Callable[[str, int], dict[str, Figures]]
    parts: Sequence[str]
    columns: dict[str, str]
