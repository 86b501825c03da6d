"""Tables of a report: the fit, components, batches and missing modalities."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ._counts import Matrices
from ._sections import Component, Fit, Group, Modality

if TYPE_CHECKING:
    from multiDGD.model import MultiDGD

_PACKAGES = ("multidgd", "scvi-tools", "torch", "anndata", "mudata", "scanpy")
_N_MARKERS = 5
# Smaller log2 fold changes, of 19 % or less, mark no component.
_MIN_LFC = 0.25


def fit_of(model: MultiDGD, counts: Matrices) -> Fit:
    """Summarise the data, the settings and the versions.

    Parameters
    ----------
    model
        A trained model.
    counts
        Counts of the drawn cells, by modality, for the medians of features.
    """
    summary, manager = model.summary, model.adata_manager
    setup = model.registry_["setup_args"]
    # Query models keep the split of their reference.
    is_query = model.new_categories_ is not None
    parts = {
        "training": model.train_indices_,
        "validation": model.validation_indices_,
        "test": model.test_indices_,
    }
    split = {} if is_query else {name: len(at) for name, at in parts.items() if len(at)}
    modalities = []
    for column, (name, n_features) in enumerate(summary.n_features.items()):
        library = manager.libraries[:, column]
        present = library > 0
        detected = np.diff(counts[name].indptr)
        modalities.append(
            Modality(
                name,
                n_features,
                model.module.likelihood(name).name,
                int(present.sum()),
                _median(library[present]),
                _median(detected[detected > 0]),
            )
        )
    covariates: dict[str, int | None] = {k: len(found) for k, found in summary.covariates.items()}
    covariates |= dict.fromkeys(summary.continuous)
    return Fit(
        len(manager.libraries),
        split,
        modalities,
        covariates,
        setup.get("labels_key") if len(summary.labels) else None,
        _as_text(setup),
        _as_text(_arguments(model)),
        _versions(),
        datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z").strip(),
    )


def components_of(model: MultiDGD, label_key: str | None) -> list[Component]:
    """Components with at least one cell, largest first, with their markers.

    Parameters
    ----------
    model
        A trained model.
    label_key
        Column of ``obs`` with labels.
    """
    table = model.get_component_summary(label_key=label_key, n_top_features=0)
    names = model.summary.features
    changes = model._fold_changes()
    found = []
    for number, row in table.iterrows():
        markers = {}
        for modality, lfc_kf in changes.items():
            top = np.argsort(-lfc_kf[number], kind="stable")[:_N_MARKERS]
            pairs = [(str(names[modality][j]), float(lfc_kf[number, j])) for j in top]
            markers[modality] = [(name, lfc) for name, lfc in pairs if lfc > _MIN_LFC]
        label, top_label, top_share = (
            row.get(key) for key in ("label_of_component", "top_label", "top_share")
        )
        found.append(
            Component(
                int(number),
                None if label is None else str(label),
                int(row["n_cells"]),
                None if pd.isna(top_label) else str(top_label),
                None if pd.isna(top_share) else float(top_share),
                markers,
            )
        )
    present = [component for component in found if component.n_cells]
    return sorted(present, key=lambda component: -component.n_cells)


def groups_of(
    model: MultiDGD, cells: np.ndarray, atypical: np.ndarray | None
) -> dict[str, list[Group]]:
    """Cells by category, for each categorical covariate.

    Parameters
    ----------
    model
        A trained model.
    cells
        Positions of the cells with known typicality.
    atypical
        Whether each of them is atypical; `None` if unknown.
    """
    manager = model.adata_manager
    libraries, modalities = manager.libraries, list(model.summary.features)
    found: dict[str, list[Group]] = {}
    for key in model.summary.covariates:
        column = manager.adata.obs[key].astype(str).to_numpy()
        found[key] = []
        for name in pd.unique(column):
            member = column == name
            medians = {
                m: _median(libraries[member, i][libraries[member, i] > 0])
                for i, m in enumerate(modalities)
            }
            inside = member[cells]
            share = np.nan
            if atypical is not None and inside.any():
                share = float(atypical[inside].mean())
            found[key].append(Group(str(name), int(member.sum()), medians, share))
    return found


def missing_of(model: MultiDGD) -> dict[str, int]:
    """Numbers of cells by measured modalities, most frequent first; empty if none is missing.

    Parameters
    ----------
    model
        A trained model.
    """
    names = list(model.summary.features)
    present = model.adata_manager.libraries > 0
    if present.all():
        return {}
    patterns, n_cells = np.unique(present, axis=0, return_counts=True)
    order = np.argsort(-n_cells, kind="stable")
    return {
        " + ".join(n for n, here in zip(names, patterns[i], strict=True) if here): int(n_cells[i])
        for i in order
    }


def _median(values: np.ndarray) -> float:
    return float(np.median(values)) if len(values) else float("nan")


def _arguments(model: MultiDGD) -> dict[str, Any]:
    arguments = model.init_params_
    return {**arguments.get("non_kwargs", {}), **arguments.get("kwargs", {})}


def _as_text(values: Mapping[str, Any]) -> dict[str, str]:
    """Arguments that were given, as text."""
    return {str(k): str(v) for k, v in values.items() if v is not None and v != {} and v != []}


def _versions() -> dict[str, str]:
    found = {"Python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:  # a source tree that is not installed
            found[package] = "unknown"
    return found
