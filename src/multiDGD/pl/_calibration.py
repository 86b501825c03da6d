"""Calibration of label probabilities."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from multiDGD._checks import positive_int
from multiDGD._scores import UNKNOWN_LABELS

from ._figure import finish, not_found, panel

_Z = 1.96
# Height at which the number of cells in each bin is written.
_COUNT_HEIGHT = -0.1


def calibration(
    probabilities: pd.DataFrame,
    labels: pd.Series | Sequence[object] | np.ndarray,
    *,
    n_bins: int = 10,
    ax: Axes | None = None,
    show: bool | None = None,
    save: str | Path | None = None,
) -> Axes:
    """Plot a reliability diagram of label probabilities.

    Cells are grouped into bins of equal width by the probability of their predicted label. Each
    point is a bin: its mean probability against its accuracy, with a 95 % Wilson interval. The
    area of a point grows with the number of cells, which is written below it. The title gives the
    expected calibration error (ECE): the absolute difference between probability and accuracy of
    the bins, averaged over cells.

    Parameters
    ----------
    probabilities
        Table of cells by labels, as returned by ``model.predict(soft=True)``.
    labels
        True label of each cell: a series, which is matched by cell name, or one value for each
        cell, in order. Cells with a missing label, or one such as ``"NA"`` or ``"unknown"``, are
        left out. Another label that is not a column of ``probabilities`` counts as a wrong
        prediction.
    n_bins
        Number of bins between 0 and 1.
    ax
        Axes to draw on. A new figure by default.
    show
        Whether to call :func:`matplotlib.pyplot.show`. Off by default, because notebooks display
        new figures themselves.
    save
        File to save the figure to; its extension sets the format.

    Returns
    -------
    The axes drawn on.

    Raises
    ------
    TypeError, ValueError
        If ``probabilities`` is not a table whose rows sum to 1, ``labels`` do not match its cells
        or none of them is a column, or ``n_bins`` is below 1.

    Examples
    --------
    >>> import pandas as pd
    >>> probabilities = pd.DataFrame({"T": [0.75, 0.75, 0.75, 0.75], "B": 0.25})
    >>> calibration(probabilities, ["T", "T", "T", "B"]).get_title()
    'ECE 0.000, 4 cells'
    """
    positive_int("n_bins", n_bins)
    confidence, is_correct = _outcomes(probabilities, labels)
    in_bin = np.clip((confidence * n_bins).astype(int), 0, n_bins - 1)
    n = np.bincount(in_bin, minlength=n_bins)
    filled = n > 0
    n = n[filled]
    x = np.bincount(in_bin, confidence, minlength=n_bins)[filled] / n
    y = np.bincount(in_bin, is_correct, minlength=n_bins)[filled] / n
    ece = float(np.sum(n * np.abs(x - y)) / n.sum())
    ax = panel(ax, (4.2, 4.0))
    ax.plot([0, 1], [0, 1], color="0.6", linewidth=0.8, zorder=0)
    low, high = _wilson(y, n)
    ax.vlines(x, low, high, color="C0", linewidth=1)
    ax.plot(x, y, color="C0", linewidth=1)
    ax.scatter(x, y, s=15 + 120 * n / n.max(), color="C0", edgecolors="white", zorder=3)
    for at, n_cells in zip(x, n, strict=True):
        ax.text(at, _COUNT_HEIGHT, f"{n_cells:,}", ha="center", fontsize="x-small", color="0.4")
    ax.set_xlim(-0.03, 1.05)
    ax.set_ylim(_COUNT_HEIGHT - 0.03, 1.05)
    ax.set_xlabel("probability of the predicted label")
    ax.set_ylabel("observed accuracy")
    ax.set_title(f"ECE {ece:.3f}, {n.sum():,} cells", fontsize="medium")
    finish(ax, show, save)
    return ax


def _outcomes(
    probabilities: pd.DataFrame, labels: pd.Series | Sequence[object] | np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Probability of each labelled cell's predicted label, and whether it is correct."""
    if not isinstance(probabilities, pd.DataFrame):
        kind = type(probabilities).__name__
        raise TypeError(
            f"`probabilities` must be a table returned by `predict(soft=True)`, found {kind}."
        )
    p = probabilities.to_numpy(dtype=float)
    if not np.allclose(p.sum(1), 1, atol=1e-3) or (p < 0).any():
        raise ValueError("`probabilities` must have non-negative rows that sum to 1.")
    if isinstance(labels, pd.Series):
        missing = ~probabilities.index.isin(labels.index)
        if missing.any():
            raise ValueError(
                f"`labels` has no entry for {missing.sum()} of {len(p)} cells, such as "
                f"{probabilities.index[missing][0]!r}."
            )
        labels = labels.reindex(probabilities.index)
    truth = pd.Series(np.asarray(labels, dtype=object))
    if len(truth) != len(p):
        raise ValueError(f"`labels` has {len(truth)} entries for {len(p)} cells.")
    names = probabilities.columns.astype(str)
    unknown = set(UNKNOWN_LABELS).difference(names)
    is_known = (truth.notna() & ~truth.isin(unknown)).to_numpy()
    truth = truth[is_known].astype(str)
    if not len(truth):
        raise ValueError("`labels` has only missing values.")
    if not truth.isin(names).any():
        raise not_found("labels", truth.iloc[0], names, "the columns of `probabilities`")
    p = p[is_known]
    return p.max(1), (names.to_numpy()[p.argmax(1)] == truth.to_numpy()).astype(float)


def _wilson(share: np.ndarray, n: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """95 % Wilson interval of a share of ``n``."""
    middle = (share + _Z**2 / (2 * n)) / (1 + _Z**2 / n)
    half = _Z / (1 + _Z**2 / n) * np.sqrt(share * (1 - share) / n + _Z**2 / (4 * n**2))
    return middle - half, middle + half
