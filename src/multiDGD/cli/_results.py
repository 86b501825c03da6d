"""What the commands that train do with data that is set up: train, embed, draw, write."""

from __future__ import annotations

import logging
import math
import sys
import time
from collections.abc import Sequence
from contextlib import redirect_stdout
from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import scanpy as sc
import torch
from anndata import AnnData
from numpy.typing import NDArray

from multiDGD import pl
from multiDGD._scores import batch_mixing, kmeans_nmi_ari, knn_accuracy

from ._errors import UserError, blame_user

if TYPE_CHECKING:
    from mudata import MuData

    from multiDGD import MultiDGD

logger = logging.getLogger(__name__)

_MODEL = "model"
_MAX_LEGEND_ENTRIES = 40
# UMAP starts at eigenvectors, of which it takes one more than it has dimensions.
_MIN_UMAP_CELLS = 4
# As scanpy breaks its legends.
_ENTRIES_PER_COLUMN = 14


def make_folder(path: Path) -> None:
    """Make the folder for the results before any work is done.

    Raises
    ------
    UserError
        If it cannot be made, or is there but cannot be written to.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        # Modes do not tell: disks may be read-only or full.
        with TemporaryFile(dir=path):
            pass
    except OSError as error:
        raise UserError(f"cannot write to the folder {path}: {error.strerror}") from error


def train(model: MultiDGD, max_epochs: int | None, folder: Path) -> str:
    """Train with a progress bar on standard error, and save the model to ``folder / "model"``.

    It is saved at once: nothing that fails or is interrupted later costs the training.

    Returns
    -------
    str
        One line: how many epochs, and the seconds they took.

    Raises
    ------
    UserError
        If the cells cannot be trained on.
    """
    start = time.perf_counter()
    # The progress bar of scvi-tools writes to standard output, which is for results here.
    with redirect_stdout(sys.stderr), blame_user(ValueError):
        model.train(max_epochs=max_epochs)
    seconds = time.perf_counter() - start
    model.save(str(folder / _MODEL), overwrite=True)
    return f"trained {count_epochs(model)} epochs in {seconds:.0f} s"


def count_epochs(model: MultiDGD) -> int:
    """Epochs of the last training, by the model's history; 0 where it has none."""
    logged = (len(table) for name, table in model.history.items() if "step" not in name)
    return max(logged, default=0)


def embed(model: MultiDGD, data: AnnData | MuData, seed: int) -> NDArray[np.float32]:
    """Put UMAP, representations, components and predicted labels of the cells into the data.

    Parameters
    ----------
    model
        A trained model.
    data
        What it was trained on; gets what :meth:`multiDGD.MultiDGD.annotate` writes and, unless
        there are too few cells for one, obsm ``X_umap``.
    seed
        Seed of the UMAP.

    Returns
    -------
    ndarray
        The representation, of shape ``(n_cells, n_latent)``.
    """
    model.annotate()
    latent = data.obsm["X_multidgd"]
    if data.n_obs < _MIN_UMAP_CELLS:
        logger.warning("No UMAP: it takes %d cells, found %d", _MIN_UMAP_CELLS, data.n_obs)
        return latent
    logger.info("Computing the UMAP")
    frame = AnnData(obs=pd.DataFrame(index=data.obs_names), obsm={"X_multidgd": latent})
    n_neighbors = min(15, data.n_obs - 1)
    n_threads = torch.get_num_threads()
    sc.pp.neighbors(frame, n_neighbors=n_neighbors, use_rep="X_multidgd", random_state=seed)
    sc.tl.umap(frame, random_state=seed)
    # numba shares the OpenMP library with torch, and leaves its own number of threads there.
    torch.set_num_threads(n_threads)
    data.obsm["X_umap"] = frame.obsm["X_umap"]
    return latent


def score(
    latent: NDArray[np.float32],
    types: pd.Series | None,
    batch: pd.Series | None,
) -> dict[str, float]:
    """Scores of the representation, by what is known of the cells.

    Parameters
    ----------
    latent
        Representation of shape ``(n_cells, n_latent)``.
    types, batch
        Type and batch of each cell, where known.

    Returns
    -------
    dict
        Scores by their description. Types of which no two have two cells give none, with a
        warning in the log.
    """
    scores = {}
    if types is not None:
        try:
            accuracy = knn_accuracy(latent, types)
        except ValueError as error:
            logger.warning("No scores by %s: %s", types.name, error)
            types = None
        else:
            nmi, ari = kmeans_nmi_ari(latent, types)
            scores[f"kNN accuracy of {types.name}"] = accuracy
            scores[f"ARI of k-means with {types.name}"] = ari
            scores[f"NMI of k-means with {types.name}"] = nmi
    if batch is not None and batch.nunique() > 1:
        within = "" if types is None else f" within {types.name}"
        scores[f"mixing of {batch.name}{within}"] = batch_mixing(latent, batch, types)
    return scores


def table(scores: dict[str, float]) -> str:
    """Lay out scores, one a line.

    Examples
    --------
    >>> print(table({"accuracy": 0.5, "mixing of batch": 1.0}))
    accuracy         0.500
    mixing of batch  1.000
    """
    width = max(map(len, scores), default=0)
    return "\n".join(f"{name:<{width}}  {value:.3f}" for name, value in scores.items())


def write(
    model: MultiDGD, data: AnnData | MuData, folder: Path, colors: Sequence[str]
) -> dict[str, Path]:
    """Write figures and data beside the model.

    Parameters
    ----------
    model, data
        As :func:`embed` left them.
    folder
        Where :func:`train` saved the model; files of an earlier run are replaced.
    colors
        Columns of obs to colour the UMAP by.

    Returns
    -------
    dict
        What is there now, by what it is.
    """
    is_anndata = isinstance(data, AnnData)
    written = {
        "embedding": folder / ("embedding.h5ad" if is_anndata else "embedding.h5mu"),
        "history": folder / "history.png",
        "model": folder / _MODEL,
    }
    pl.history(model, save=written["history"])
    if "X_umap" in data.obsm:
        written["UMAP"] = folder / "umap.png"
        # In names a `$` begins no formula.
        with plt.rc_context({"text.parse_math": False}):
            _draw_umap(data, written["UMAP"], colors)
    plt.close("all")
    data.write(written["embedding"])
    return written


def _draw_umap(data: AnnData | MuData, path: Path, colors: Sequence[str]) -> None:
    """One UMAP panel for each column, without a legend that no panel could hold."""
    colors = list(dict.fromkeys(colors))
    frame = AnnData(obs=data.obs[colors].copy(), obsm={"X_umap": data.obsm["X_umap"]})
    for color in colors:
        # Numbers, too, name groups here; read as numbers they would be drawn as a scale.
        if not isinstance(frame.obs[color].dtype, pd.CategoricalDtype):
            frame.obs[color] = frame.obs[color].astype(str).astype("category")
    legend_columns = [
        math.ceil(n / _ENTRIES_PER_COLUMN) if n <= _MAX_LEGEND_ENTRIES else 0
        for n in frame.obs.nunique()
    ]
    widths = [4.0 + 1.4 * n for n in legend_columns]
    figure, axes = plt.subplots(
        1,
        len(colors),
        figsize=(sum(widths), 4),
        width_ratios=widths,
        squeeze=False,
        layout="constrained",
    )
    for ax, color, n_columns in zip(axes[0], colors, legend_columns, strict=True):
        sc.pl.embedding(
            frame,
            "umap",
            color=color,
            size=np.clip(30_000 / len(frame), 2, 60),
            ax=ax,
            show=False,
            frameon=False,
            legend_loc="right margin" if n_columns else None,
            legend_fontsize="x-small",
        )
    figure.savefig(path, dpi=150)
