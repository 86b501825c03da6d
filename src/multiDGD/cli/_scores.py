"""Scores of the representations against annotations of the cells."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from multiDGD._log import logger
from multiDGD._scores import batch_mixing, kmeans_nmi_ari, knn_accuracy

#: What the scores mean.
EXPLANATION = (
    "1 is the best value of each score. kNN accuracy: share of cells whose type is that of most of\n"
    "their 15 neighbours; ARI, NMI: agreement of k-means clusters with the types; mixing: diversity\n"
    "of batches among the neighbours, 1 as by chance, 0 if batches are separate"
)


def score(
    latent: NDArray[np.float32],
    types: pd.Series | None,
    batch: pd.Series | None,
) -> dict[str, float]:
    """Score the representations against cell types and batches.

    Parameters
    ----------
    latent
        Representations, shape ``(n_cells, n_latent)``.
    types, batch
        Type and batch of each cell, if available.

    Returns
    -------
    dict
        Scores by description. If fewer than two types have two or more cells, the scores by type
        are skipped with a warning in the log.
    """
    scores = {}
    if types is not None:
        try:
            accuracy = knn_accuracy(latent, types)
        except ValueError as error:
            logger.warning("Skipped the scores by %s: %s", types.name, error)
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


def format_scores(scores: dict[str, float]) -> str:
    """Format scores as aligned lines.

    Parameters
    ----------
    scores
        Scores by description.

    Returns
    -------
    str
        One line per score.

    Examples
    --------
    >>> print(format_scores({"accuracy": 0.5, "mixing of batch": 1.0}))
    accuracy         0.500
    mixing of batch  1.000
    """
    width = max(map(len, scores), default=0)
    return "\n".join(f"{name:<{width}}  {value:.3f}" for name, value in scores.items())


def format_table(columns: Mapping[str, Mapping[str, float]]) -> str:
    """Format the scores of several methods as a table with a line for each score.

    Parameters
    ----------
    columns
        Scores by description, by method. A method may lack some of those of the first one.

    Returns
    -------
    str
        A header and one line per score; a dash for a missing score.

    Examples
    --------
    >>> print(format_table({"model": {"accuracy": 0.5, "mixing": 1.0}, "PCA": {"accuracy": 0.25}}))
              model    PCA
    accuracy  0.500  0.250
    mixing    1.000      -
    """
    names = list(next(iter(columns.values())))
    label = max(map(len, names))
    widths = {method: max(len(method), 5) for method in columns}
    lines = [" " * label + "".join(f"  {m:>{w}}" for m, w in widths.items())]
    for name in names:
        values = (f"{scores[name]:.3f}" if name in scores else "-" for scores in columns.values())
        cells = zip(values, widths.values(), strict=True)
        lines.append(f"{name:<{label}}" + "".join(f"  {v:>{w}}" for v, w in cells))
    return "\n".join(lines)
