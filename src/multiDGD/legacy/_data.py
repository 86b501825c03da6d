"""Matching of data to a model of the first implementation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from mudata import MuData

from multiDGD.data import DataSummary

from ._checkpoint import LegacyCheckpoint

_MODALITY_KEYS = ("modality", "feature_types")
_SYNONYMS = {"gex": "rna", "gene expression": "rna", "peaks": "atac"}


def _canonical(modality: str) -> str:
    """Lower-case name of a modality, with synonyms replaced."""
    return _SYNONYMS.get(modality.lower(), modality.lower())


def setup_arguments(
    checkpoint: LegacyCheckpoint, adata: AnnData | MuData
) -> tuple[str, dict[str, Any]]:
    """Return the name of the setup method for ``adata`` and its arguments.

    Parameters
    ----------
    checkpoint
        Checkpoint with the modalities and the covariate of the model.
    adata
        Training cells.

    Raises
    ------
    ValueError
        If the column of the covariate or of the modalities does not exist.
    """
    required = [_canonical(m) for m in checkpoint.n_features]
    batch_key = _covariate_column(checkpoint, adata.obs)
    if isinstance(adata, MuData):
        # Modalities have the order of the checkpoint; additional ones are ignored.
        names = {_canonical(m): m for m in adata.mod}
        modalities = [names[m] for m in required if m in names] or None
        return "setup_mudata", {"modalities": modalities, "batch_key": batch_key}
    if len(required) == 1:
        return "setup_anndata", {"batch_key": batch_key}
    for key in _MODALITY_KEYS:
        if key in adata.var:
            found = {_canonical(str(m)) for m in adata.var[key].unique()}
            if found == set(required):
                return "setup_anndata", {"modality_key": key, "batch_key": batch_key}
    raise ValueError(
        f"`adata.var` has no column with the modalities {list(checkpoint.n_features)}; searched "
        f"{list(_MODALITY_KEYS)}. Call `MultiDGD.setup_anndata(adata, modality_key=...)` first."
    )


def _covariate_column(checkpoint: LegacyCheckpoint, obs: pd.DataFrame) -> str | None:
    """Column of the covariate, with or without the prefix of the first implementation."""
    if checkpoint.covariate is None:
        return None
    names = [checkpoint.covariate, f"covariate_{checkpoint.covariate}"]
    for key in names:
        if key in obs:
            return key
    raise ValueError(
        f"The model was trained with the covariate {names[0]!r}, but `adata.obs` has neither "
        f"{names[0]!r} nor {names[1]!r}; found {list(obs)}."
    )


def match_modalities(ours: Mapping[str, int], theirs: Mapping[str, int]) -> list[str]:
    """Return the checkpoint's name of each modality of the data.

    Parameters
    ----------
    ours, theirs
        Number of features of each modality in the data and in the checkpoint.

    Raises
    ------
    ValueError
        If the modalities or their numbers of features differ.
    """
    names = {_canonical(m): m for m in theirs}
    found = [names.get(_canonical(m)) for m in ours]
    if len(ours) == len(theirs) == 1:
        found = list(theirs)
    known = [m for m in found if m is not None]
    if sorted(known) != sorted(theirs) or len(known) < len(ours):
        raise ValueError(
            f"The model was trained on the modalities {list(theirs)}, but `adata` has "
            f"{list(ours)}."
        )
    for mine, m in zip(ours, known, strict=True):
        if ours[mine] != theirs[m]:
            raise ValueError(
                f"The model was trained on {theirs[m]} features of {m!r}, but `adata` has "
                f"{ours[mine]} in {mine!r}. Pass the training features in their original order."
            )
    return known


def category_codes(
    checkpoint: LegacyCheckpoint, summary: DataSummary, obs: pd.DataFrame, train_cells: np.ndarray
) -> list[int]:
    """Return the checkpoint's code of each registered category.

    The codes of the first implementation are the positions of the sorted categories of its
    training cells.

    Parameters
    ----------
    checkpoint
        Checkpoint of the model.
    summary
        Summary of the registered data.
    obs
        Annotation of the cells.
    train_cells
        Positions of the training cells.

    Raises
    ------
    ValueError
        If the covariates or their categories differ.
    """
    wanted = [] if checkpoint.covariate is None else [checkpoint.covariate]
    registered = [*summary.covariates, *summary.continuous]
    if [key.removeprefix("covariate_") for key in registered] != wanted:
        raise ValueError(
            f"The model was trained with the covariates {wanted}, but `adata` is set up with "
            f"{registered}."
        )
    if not registered:
        return []
    key = registered[0]
    if checkpoint.n_categories == 1:
        raise ValueError(
            f"The model was trained with one category of {checkpoint.covariate!r}. This is not "
            "supported, since models of this package do not learn such a covariate."
        )
    known = np.unique(obs[key].to_numpy(dtype=object)[train_cells])
    others = [c for c in summary.covariates[key] if c not in known]
    if others:
        raise ValueError(
            f"`adata.obs[{key!r}]` has categories that the model was not trained on: {others}. "
            "Remove these cells, load the model, and map them with `MultiDGD.load_query_data`."
        )
    if len(known) != checkpoint.n_categories:
        raise ValueError(
            f"The model was trained with {checkpoint.n_categories} categories of "
            f"{checkpoint.covariate!r}, but its training cells in `adata` have {list(known)}."
        )
    return [int(code) for code in np.searchsorted(known, summary.covariates[key])]
