"""Data as the first implementation of multiDGD saw them."""

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
_SAME = {"gex": "rna", "gene expression": "rna", "peaks": "atac"}


def _kind(modality: str) -> str:
    return _SAME.get(modality.lower(), modality.lower())


def setup_arguments(
    checkpoint: LegacyCheckpoint, adata: AnnData | MuData
) -> tuple[str, dict[str, Any]]:
    """Name of the method that sets ``adata`` up, and its arguments.

    Parameters
    ----------
    checkpoint
        Which says what the model was trained on.
    adata
        The cells.

    Raises
    ------
    ValueError
        If the column of the covariate or of modalities is not there.
    """
    kinds = [_kind(m) for m in checkpoint.n_features]
    batch_key = _covariate_column(checkpoint, adata.obs)
    if isinstance(adata, MuData):
        # In the order of the checkpoint; others are none of its business.
        named = {_kind(m): m for m in adata.mod}
        chosen = [named[k] for k in kinds if k in named] or None
        return "setup_mudata", {"modalities": chosen, "batch_key": batch_key}
    if len(kinds) == 1:
        return "setup_anndata", {"batch_key": batch_key}
    for key in _MODALITY_KEYS:
        if key in adata.var and {_kind(str(m)) for m in adata.var[key].unique()} == set(kinds):
            return "setup_anndata", {"modality_key": key, "batch_key": batch_key}
    raise ValueError(
        f"`adata` has no column of `var` that names the modalities {list(checkpoint.n_features)}; "
        f"looked for {list(_MODALITY_KEYS)}. Set it up before: "
        "`MultiDGD.setup_anndata(adata, modality_key=...)`."
    )


def _covariate_column(checkpoint: LegacyCheckpoint, obs: pd.DataFrame) -> str | None:
    if checkpoint.covariate is None:
        return None
    names = [checkpoint.covariate, f"covariate_{checkpoint.covariate}"]
    for key in names:
        if key in obs:
            return key
    raise ValueError(
        f"The model was trained with the covariate {names[0]!r}, but `adata.obs` has neither "
        f"{names[0]!r} nor {names[1]!r}: {list(obs)}."
    )


def match_modalities(ours: Mapping[str, int], theirs: Mapping[str, int]) -> list[str]:
    """Name that the checkpoint has for each modality of the data.

    Parameters
    ----------
    ours, theirs
        Number of features of each modality of the data and of the checkpoint.

    Raises
    ------
    ValueError
        If the modalities or their numbers of features are others.
    """
    named = {_kind(m): m for m in theirs}
    found = [named.get(_kind(m)) for m in ours]
    if len(ours) == len(theirs) == 1:
        found = list(theirs)
    known = [m for m in found if m is not None]
    if sorted(known) != sorted(theirs) or len(known) < len(ours):
        raise ValueError(
            f"The model was trained on the modalities {list(theirs)}, `adata` has {list(ours)}."
        )
    for mine, m in zip(ours, known, strict=True):
        if ours[mine] != theirs[m]:
            raise ValueError(
                f"The model was trained on {theirs[m]} features of {m!r}, `adata` has "
                f"{ours[mine]} in {mine!r}. Give the features of training, in their order."
            )
    return known


def category_codes(
    checkpoint: LegacyCheckpoint, summary: DataSummary, obs: pd.DataFrame, train_cells: np.ndarray
) -> list[int]:
    """The checkpoint's code of each registered category.

    The first implementation numbered the sorted categories of its training cells.

    Parameters
    ----------
    checkpoint
        The model.
    summary
        Of the registered data.
    obs
        What is known of its cells.
    train_cells
        Positions of the training cells.

    Raises
    ------
    ValueError
        If the covariates or their categories are others.
    """
    wanted = [] if checkpoint.covariate is None else [checkpoint.covariate]
    registered = [*summary.covariates, *summary.continuous]
    if [key.removeprefix("covariate_") for key in registered] != wanted:
        raise ValueError(
            f"The model was trained with the covariates {wanted}, `adata` is set up with "
            f"{registered}."
        )
    if not registered:
        return []
    key = registered[0]
    if checkpoint.n_categories == 1:
        raise ValueError(
            f"The model was trained with one category of {checkpoint.covariate!r}, which a model "
            "of this package does not learn. It cannot be represented."
        )
    known = np.unique(obs[key].to_numpy(dtype=object)[train_cells])
    others = [c for c in summary.covariates[key] if c not in known]
    if others:
        raise ValueError(
            f"`adata.obs[{key!r}]` has categories that the model was not trained on: {others}. "
            "Leave these cells out, then map them with `MultiDGD.load_query_data`."
        )
    if len(known) != checkpoint.n_categories:
        raise ValueError(
            f"The model was trained with {checkpoint.n_categories} categories of "
            f"{checkpoint.covariate!r}, its training cells in `adata` have {list(known)}."
        )
    return [int(code) for code in np.searchsorted(known, summary.covariates[key])]
