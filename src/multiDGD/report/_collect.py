"""Collection of everything that a report shows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from multiDGD._log import logger
from multiDGD._scores import batch_mixing, has_labels
from multiDGD.model.core._train_arguments import default_max_epochs

from . import _checks
from ._annotations import annotation_colorings, column_keys
from ._bytes import pack, pack_lines, plane_integers
from ._counts import counts_of
from ._features import feature_colorings
from ._notes import notes_on
from ._plane import plane_of
from ._prediction import predictions
from ._sections import Cells, Component, Fit, Report
from ._summary import components_of, fit_of, groups_of, missing_of
from ._training import count_epochs, loss_curves

if TYPE_CHECKING:
    from multiDGD.model import MultiDGD

# Uncertainty and typicality take milliseconds for each cell.
_MAX_SCORED = 10_000
_ATYPICAL = 0.05


def collect(
    model: MultiDGD,
    *,
    label_key: str | None = None,
    basis: str | None = None,
    title: str = "MultiDGD",
    max_cells: int = 100_000,
    seed: int = 0,
) -> Report:
    """Collect the contents of a report on a trained model and its data.

    Parameters
    ----------
    model, label_key, basis, title, max_cells, seed
        As for :meth:`multiDGD.MultiDGD.report`.

    Returns
    -------
    The contents, as plain values; its ``checks`` are the traffic lights.

    Examples
    --------
    >>> [check.light for check in collect(model).checks]  # doctest: +SKIP
    """
    manager = model._manager_of(None)
    data, summary = manager.adata, model.summary
    label_key = label_key or model.registry_["setup_args"].get("labels_key")
    batch_key = next((k for k in summary.covariates if data.obs[k].nunique() > 1), None)
    generator = np.random.default_rng(seed)
    # The random order also prevents one category from covering the others on the page.
    cells = generator.permutation(data.n_obs)[:max_cells]
    counts = counts_of(manager, cells)
    latent = model.get_latent_representation(indices=cells.tolist(), silent=True)
    component = model.get_cluster_assignments(indices=cells.tolist())

    scored = cells[:_MAX_SCORED]
    logger.info("Computing the typicality and uncertainty of %d cells", len(scored))
    typicality, sd, reliability = _scores_of(model, scored)
    is_atypical = typicality < _ATYPICAL
    share = None if np.isnan(typicality).all() else float(is_atypical.mean())
    groups = groups_of(model, scored, None if share is None else is_atypical)
    components = components_of(model, label_key)
    fit = fit_of(model, counts)
    # The parameters of a query model are those of its reference.
    history = model.history if model.new_categories_ is None else None
    curves = loss_curves(history, list(summary.features))
    n_epochs = count_epochs(curves)
    held_out, training = _held_out(model)
    predicted = predictions(model, held_out, training, seed)

    mixing, types_key = None, None
    if batch_key is not None:
        table = data.obs.iloc[scored]
        types_key = label_key if label_key and has_labels(table[label_key]) else None
        types = None if types_key is None else table[types_key]
        mixing = batch_mixing(latent[: len(scored)], table[batch_key], types)
    xy, axis = plane_of(data, latent, cells, basis, seed)
    x, y = plane_integers(xy)
    scores = {
        "atypicality (-log10 of typicality)": _padded(-np.log10(typicality), len(cells)),
        "uncertainty (posterior sd)": _padded(sd, len(cells)),
    }
    keys = column_keys(model, label_key, batch_key)
    every_group = [(key, group) for key, found in groups.items() for group in found]
    return Report(
        title=title,
        fit=fit,
        checks=[
            _checks.check_prediction(predicted),
            _checks.check_convergence(curves, n_epochs, default_max_epochs(len(training))),
            _checks.check_mixing(batch_key, mixing, types_key),
            _checks.check_typicality(share, len(scored), every_group),
            _checks.check_depth(reliability, _depth(fit)),
        ],
        notes=notes_on(model, fit, components, len(cells), counts),
        n_epochs=n_epochs,
        curves=curves,
        predictions=predicted,
        components=components,
        groups=groups,
        missing=missing_of(model),
        cells=Cells(
            len(cells),
            axis,
            pack(x),
            pack(y),
            pack_lines(map(str, data.obs_names[cells])),
            annotation_colorings(model, cells, component, scores, keys),
            feature_colorings(manager, cells, counts, component, _markers(components)),
        ),
    )


def _scores_of(model: MultiDGD, cells: np.ndarray) -> tuple[np.ndarray, np.ndarray, float | None]:
    """Typicality and uncertainty of cells, and the reliability of their representations."""
    typicality = np.full(len(cells), np.nan)
    if model._learned.typical_scores is not None:
        typicality = model.get_typicality(indices=cells.tolist(), silent=True)
    mean, variance = model.get_latent_representation(
        indices=cells.tolist(), return_dist=True, silent=True
    )
    between = float(mean.var(0).sum())
    within = float(variance.mean(0).sum())
    reliability = between / (between + within) if between + within > 0 else None
    return typicality, np.sqrt(variance.mean(1)), reliability


def _held_out(model: MultiDGD) -> tuple[np.ndarray, np.ndarray]:
    """Positions of the cells that had no part in training, and of those that had."""
    n_cells = model.adata_manager.adata.n_obs
    if model.new_categories_ is not None:
        return np.arange(n_cells), np.arange(n_cells)
    held_out = np.concatenate([model.validation_indices_, model.test_indices_]).astype(int)
    return held_out, np.asarray(model.train_indices_).astype(int)


def _padded(values: np.ndarray, n: int) -> np.ndarray:
    """Values of the first cells, followed by NaN."""
    return np.concatenate([values, np.full(n - len(values), np.nan)])


def _markers(components: Sequence[Component]) -> dict[str, list[str]]:
    """Names of the markers of all components by modality, the first of each component first."""
    found: dict[str, list[str]] = {}
    for rank in range(max((len(p) for c in components for p in c.markers.values()), default=0)):
        for component in components:
            for modality, pairs in component.markers.items():
                if rank < len(pairs):
                    found.setdefault(modality, []).append(pairs[rank][0])
    return {modality: list(dict.fromkeys(names)) for modality, names in found.items()}


def _depth(fit: Fit) -> str:
    several = len(fit.modalities) > 1
    return "median counts: " + ", ".join(
        f"{m.name} {m.median_counts:,.0f}" if several else f"{m.median_counts:,.0f}"
        for m in fit.modalities
    )
