"""The output folder and the files written to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING

import matplotlib.pyplot as plt
import pandas as pd
from anndata import AnnData
from mudata import MuData

from multiDGD import pl
from multiDGD._files import remove, replacing
from multiDGD._log import logger
from multiDGD._names import own_columns

from ._errors import UserError
from ._explorer import make_explorer, write_cellxgene
from ._umap import draw_umap
from ._vitessce import CONFIG, STORE, write_vitessce

if TYPE_CHECKING:
    from multiDGD import MultiDGD

MODEL_FOLDER = "model"
#: Format of numbers in tables.
NUMBERS = "%.6g"
#: Files of the training cells; a folder has one of them.
EMBEDDINGS = ("embedding.h5ad", "embedding.h5mu")
_FIGURES = ("history.png", "umap.png")
REPORT = "report.html"
_CELLXGENE = "cellxgene.h5ad"
_RESULTS = (*EMBEDDINGS, *_FIGURES, REPORT, _CELLXGENE, CONFIG, STORE)


def refuse_results(path: Path, overwrite: bool) -> None:
    """Refuse an output folder with the results of an earlier training.

    Parameters
    ----------
    path
        The folder.
    overwrite
        Whether they may be replaced.

    Raises
    ------
    UserError
        If there are results, and they may not be replaced.
    """
    found = [n for n in (MODEL_FOLDER, *_RESULTS) if (path / n).exists()]
    if found and not overwrite:
        raise UserError(
            f"--out: {path} already contains {', '.join(found)}; pass --overwrite to replace the "
            "results, or another folder"
        )


def remove_results(path: Path, keep: Path | None) -> None:
    """Remove the results that belong to an earlier model.

    Parameters
    ----------
    path
        The output folder. The model itself stays until another one replaces it.
    keep
        The input file, which can be an earlier result.
    """
    for name in _RESULTS:
        if keep is None or (path / name).resolve() != keep.resolve():
            remove(path / name)


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


def without_copies(obs: pd.DataFrame) -> pd.DataFrame:
    """Columns without the copies that scvi-tools added.

    Parameters
    ----------
    obs
        Annotations of the cells.
    """
    return obs[own_columns(obs)]


def write_data(data: AnnData | MuData, folder: Path) -> Path:
    """Write the data to ``embedding.h5ad`` or ``embedding.h5mu``.

    Columns that scvi-tools added are removed, so that models of the data cannot be used afterwards.

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
    path = folder / EMBEDDINGS[isinstance(data, MuData)]
    data.obs = without_copies(data.obs)
    # The data may have been read from a file of this name.
    with replacing(path) as partial:
        data.write(partial)
    return path


def write_training_results(
    model: MultiDGD,
    data: AnnData | MuData,
    folder: Path,
    colors: Sequence[str],
    label_key: str | None,
) -> dict[str, Path]:
    """Write the data, the training history, the UMAP, the files for browsers and the report.

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
    label_key
        Column of obs with cell types for the report, if any.

    Returns
    -------
    dict
        Paths by description, including that of the model.
    """
    history, umap_figure = (folder / name for name in _FIGURES)
    pl.history(model, save=history)
    umap = {}
    if "X_umap" in data.obsm:
        umap["UMAP"] = umap_figure
        draw_umap(data, umap["UMAP"], colors, model.registry_["setup_args"])
    plt.close("all")
    paths = {"history": history, "model": folder / MODEL_FOLDER, **umap}
    if umap:
        cells = make_explorer(model, data)
        paths["cellxgene"] = write_cellxgene(cells, folder / _CELLXGENE)
        paths |= write_vitessce(cells, folder, colors)
    paths["report"] = model.report(
        folder / REPORT,
        label_key=label_key,
        basis="X_umap" if umap else None,
        title=folder.resolve().name,
    )
    logger.info("Open %s in a browser", paths["report"])
    return {"embedding": write_data(data, folder), **paths}


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
