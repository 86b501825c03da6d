"""The output folder and the files written to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING

import matplotlib.pyplot as plt
from anndata import AnnData

from multiDGD import pl

from ._errors import UserError
from ._umap import draw_umap

if TYPE_CHECKING:
    from mudata import MuData

    from multiDGD import MultiDGD

MODEL_FOLDER = "model"


def make_folder(path: Path) -> None:
    """Make the output folder before any work is done.

    Parameters
    ----------
    path
        The folder; it may exist.

    Raises
    ------
    UserError
        If the folder cannot be made or written to.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        # Permissions are not enough: the disk may be read-only or full.
        with TemporaryFile(dir=path):
            pass
    except OSError as error:
        raise UserError(f"cannot write to the folder {path}: {error.strerror}") from error


def write_data(data: AnnData | MuData, folder: Path) -> Path:
    """Write the data to ``embedding.h5ad`` or ``embedding.h5mu``.

    Parameters
    ----------
    data
        The data.
    folder
        The output folder.

    Returns
    -------
    pathlib.Path
        Path of the file.
    """
    path = folder / ("embedding.h5ad" if isinstance(data, AnnData) else "embedding.h5mu")
    data.write(path)
    return path


def write_training_results(
    model: MultiDGD, data: AnnData | MuData, folder: Path, colors: Sequence[str]
) -> dict[str, Path]:
    """Write the data, the training history and the UMAP.

    Parameters
    ----------
    model
        A trained model, already saved by :func:`multiDGD.cli._training.train`.
    data
        Its annotated data; without obsm ``X_umap`` no UMAP is drawn.
    folder
        The output folder; files of an earlier run are replaced.
    colors
        Columns of obs that colour the UMAP, one panel each.

    Returns
    -------
    dict
        Paths by description, including that of the model.
    """
    history = folder / "history.png"
    pl.history(model, save=history)
    umap = {}
    if "X_umap" in data.obsm:
        umap["UMAP"] = folder / "umap.png"
        draw_umap(data, umap["UMAP"], colors)
    plt.close("all")
    embedding = write_data(data, folder)
    return {"embedding": embedding, "history": history, "model": folder / MODEL_FOLDER, **umap}


def print_paths(paths: Mapping[str, Path]) -> None:
    """Print the path of each result.

    Parameters
    ----------
    paths
        Paths by description.

    Examples
    --------
    >>> print_paths({"model": Path("model")})
    model: model
    """
    for description, path in paths.items():
        print(f"{description}: {path}")
