"""Observed against predicted counts of features."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np
from anndata import AnnData
from matplotlib.axes import Axes
from mudata import MuData

from multiDGD._checks import choice

from ._figure import finish, not_found, panel

if TYPE_CHECKING:
    from multiDGD.model import MultiDGD

Statistic: TypeAlias = Literal["mean", "detected"]
_LABELS: dict[Statistic, str] = {"mean": "mean count", "detected": "detection rate"}
# Number of cells to decode at once, to limit memory.
_CHUNK = 1024
# Lowest prediction that is drawn to scale, relative to the smallest observed value.
_LOWEST = 0.2


def counts_vs_predicted(
    model: MultiDGD,
    modality: str | None = None,
    *,
    statistic: Statistic = "mean",
    adata: AnnData | MuData | None = None,
    indices: Sequence[int] | None = None,
    ax: Axes | None = None,
    show: bool | None = None,
    save: str | Path | None = None,
) -> Axes:
    """Plot observed against predicted counts, one point per feature, on logarithmic axes.

    Averages are over the cells in which the modality was measured. Predictions use each cell's
    own library size. The title gives the number of features and the Pearson correlation of the
    logarithms. If all values lie within a decade, the axes and the correlation are linear. Features without counts are left out. Triangles at the lower border mark features
    whose prediction is below a fifth of the smallest observed value.

    Parameters
    ----------
    model
        A trained model.
    modality
        Name of the modality; by default the first one.
    statistic
        ``"mean"`` for the mean count of each feature. ``"detected"`` for the detection rate, the
        share of cells with counts of a feature; it also depends on the dispersion of the
        likelihood. The ``"bernoulli"`` likelihood predicts detection only.
    adata
        Cells; those of the model by default.
    indices
        Positions (or a mask) of the cells, all by default.
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
    ValueError
        If the model has no such modality, it was not measured in these cells, or ``statistic`` is
        not an option.

    Examples
    --------
    >>> import multiDGD
    >>> mdata = multiDGD.datasets.simulate_multiome(n_cells=100, n_genes=20, n_peaks=40)
    >>> multiDGD.MultiDGD.setup_mudata(mdata)
    >>> model = multiDGD.MultiDGD(mdata, n_latent=4)
    >>> model.train(max_epochs=2, enable_progress_bar=False, accelerator="cpu")
    >>> multiDGD.pl.counts_vs_predicted(model, "atac").get_xlabel()
    'observed mean count'
    """
    choice("statistic", statistic, list(_LABELS))
    modalities = model.module.modalities
    modality = modalities[0] if modality is None else modality
    if modality not in modalities:
        raise not_found("modality", modality, modalities, "the model")
    observed, predicted = _averages(model, modality, statistic, adata, indices)
    ax = panel(ax, (4.2, 4.0))
    has_counts = (observed > 0) & (predicted > 0)
    x, y = observed[has_counts], predicted[has_counts]
    # Within a decade, logarithmic axes have no marks that can be read.
    is_narrow = len(x) > 0 and max(x.max(), y.max()) < 10 * min(x.min(), y.min())
    if not is_narrow:
        ax.set_xscale("log")
        ax.set_yscale("log")
    size = float(np.clip(20_000 / max(len(x), 1), 2, 14))
    # Few features with tiny predictions would leave little space for all others.
    low = x.min() * _LOWEST
    is_below = y < low
    ax.scatter(x[~is_below], y[~is_below], s=size, alpha=0.5, linewidths=0, rasterized=True)
    if is_below.any():
        label = f"predicted < {low:.1g} ({is_below.sum():,})"
        ax.scatter(
            x[is_below],
            np.full(is_below.sum(), low),
            s=16,
            marker="v",
            color="C1",
            linewidths=0,
            label=label,
        )
        ax.legend(frameon=False, fontsize="small", loc="upper left", handletextpad=0.2)
    ends = [min(x.min(), max(y.min(), low)), max(x.max(), y.max())]
    ax.plot(ends, ends, color="0.3", linewidth=0.8, zorder=0)
    values = (x, y) if is_narrow else (np.log(x), np.log(y))
    r = np.corrcoef(*values)[0, 1] if len(x) > 2 else np.nan
    title = f"{modality}: {len(x):,} features, r = {r:.3f}"
    ax.set_title(title, fontsize="medium", parse_math=False)
    ax.set_xlabel(f"observed {_LABELS[statistic]}")
    ax.set_ylabel(f"predicted {_LABELS[statistic]}")
    ax.set_aspect("equal", adjustable="datalim")
    # At full size, the minor labels within a decade would overlap.
    ax.tick_params(which="minor", labelsize="x-small")
    finish(ax, show, save)
    return ax


def _averages(
    model: MultiDGD,
    modality: str,
    statistic: str,
    adata: AnnData | MuData | None,
    indices: Sequence[int] | None,
) -> tuple[np.ndarray, np.ndarray]:
    """Observed and predicted averages of the features over cells."""
    # This call registers new cells with the model.
    model.get_latent_representation(adata, indices, silent=True)
    data = model.adata if adata is None else adata
    manager = model.get_anndata_manager(data, required=True)
    cells = np.arange(data.n_obs)
    cells = cells if indices is None else cells[np.asarray(indices)]
    counts = manager.matrix(modality, cells)
    has_counts = np.asarray(counts.sum(1)).ravel() > 0
    cells, counts = cells[has_counts], counts[has_counts]
    # Cells of different panels have only some features in common.
    observed, codes = manager.panels
    features = reduce(
        np.intersect1d,
        (observed[panel].get(modality, np.zeros(0, int)) for panel in np.unique(codes[cells])),
        np.arange(counts.shape[1]),
    )
    if not len(cells):
        raise ValueError(
            f"`modality`: {modality!r} was not measured in any of these cells. Pass cells with "
            "counts of it."
        )
    counts = counts[:, features]
    total = np.zeros(len(features))
    for part in (cells[i : i + _CHUNK].tolist() for i in range(0, len(cells), _CHUNK)):
        if statistic == "mean":
            decoded = model.get_normalized_expression(
                adata, part, modality, library_size="latent", return_numpy=True
            )
        else:
            decoded = model.get_accessibility_estimates(
                adata, part, modality, library_size="latent", return_numpy=True
            )
        total += np.asarray(decoded)[:, features].sum(0, dtype=float)
    observed = counts if statistic == "mean" else counts > 0
    return np.asarray(observed.sum(0), dtype=float).ravel() / len(cells), total / len(cells)
