"""Training of a model and the number of trained epochs."""

from __future__ import annotations

import sys
import time
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING

from ._errors import as_user_error
from ._output import MODEL_FOLDER, remove_results

if TYPE_CHECKING:
    from multiDGD import MultiDGD


def train(
    model: MultiDGD, max_epochs: int | None, folder: Path, source: Path | None = None
) -> str:
    """Train a model and save it to the output folder, in the place of earlier results.

    The model is saved at once, so that a later failure or interruption does not lose it.

    Parameters
    ----------
    model
        The model.
    max_epochs
        Maximum number of epochs; the model's default if None.
    folder
        The output folder.
    source
        File of the cells.

    Returns
    -------
    str
        One line with the number of epochs and the seconds they took.

    Raises
    ------
    UserError
        If the model cannot be trained on its cells.
    """
    start = time.perf_counter()
    # scvi-tools prints its progress bar to standard output, which is reserved for results here.
    with redirect_stdout(sys.stderr), as_user_error(ValueError):
        model.train(max_epochs=max_epochs)
    seconds = time.perf_counter() - start
    remove_results(folder, source)
    model.save(str(folder / MODEL_FOLDER), overwrite=True)
    return f"trained {model._count_epochs()} epochs in {seconds:.0f} s"
