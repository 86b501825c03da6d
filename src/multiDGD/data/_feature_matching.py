"""What an object has of a trained model's features, and whether it can be asked about."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from anndata import AnnData
from mudata import MuData

from ._categories import check_categories
from ._checks import check_column, check_numeric, listed
from ._log import logger
from ._registry import DataSummary

_FEW = 0.8  # below this share of shared features scvi-tools warns too


def columns_of(adata: AnnData | MuData, features: Mapping[str, np.ndarray]) -> dict[str, pd.Index]:
    """Feature names that an object has where each modality would be, if it is there at all.

    Parameters
    ----------
    adata
        The object.
    features
        The model's feature names of each modality.
    """
    if isinstance(adata, MuData):
        return {m: adata.mod[m].var_names for m in features if m in adata.mod}
    return dict.fromkeys(features, adata.var_names)


def observed_features(
    adata: AnnData | MuData, features: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Positions of the model's features that an object has.

    Parameters
    ----------
    adata
        The object.
    features
        The model's feature names of each modality.

    Returns
    -------
    Ascending positions of each modality of which there are any.
    """
    found = {}
    for modality, columns in columns_of(adata, features).items():
        positions = np.flatnonzero(pd.Index(features[modality]).isin(columns))
        if len(positions):
            found[modality] = positions
    return found


def check_features(adata: AnnData | MuData, features: Mapping[str, np.ndarray]) -> None:
    """Raise if an object shares nothing with a model.

    Raises
    ------
    ValueError
        If no feature matches, or (MuData) none of a modality that is there. The message has some
        names of both sides.
    """
    observed = observed_features(adata, features)
    n_all = sum(map(len, features.values()))
    if isinstance(adata, MuData):
        columns = columns_of(adata, features)
        if not columns:
            there = {m: part.var_names for m, part in adata.mod.items()}
            raise ValueError(
                f"0 of the model's {n_all} features matched: the object has no modality of the "
                f"model. The model: {_sides(features)}. The object: {_sides(there)}. Name the "
                "modalities as in the reference."
            )
        for modality, names in columns.items():
            if modality not in observed:
                known = features[modality]
                raise ValueError(
                    f"0 of the model's {len(known)} features of modality {modality!r} matched. "
                    f"The model: {listed(known)}. The object: {listed(names)}. Name features as "
                    "in the reference, or leave the modality out."
                )
    elif not observed:
        raise ValueError(
            f"0 of the model's {n_all} features matched. The model: {_sides(features)}. "
            f"The object: {listed(adata.var_names)}. Name features as in the reference."
        )


def _sides(features: Mapping[str, np.ndarray | pd.Index]) -> str:
    return "; ".join(f"{m!r} with {listed(names)}" for m, names in features.items())


def check_query(
    adata: AnnData | MuData, summary: DataSummary, batch_key: str | None, extend: bool
) -> None:
    """Check an object against a trained model, before anything is written into it.

    Parameters
    ----------
    adata
        The object.
    summary
        What the model knows.
    batch_key
        Name of the batch among the covariates.
    extend
        Whether new categories are going to be learned.

    Raises
    ------
    ValueError
        If no features match, a column is missing, or a category is new and not to be learned.
    """
    check_features(adata, summary.features)
    for key, categories in summary.covariates.items():
        argument = "batch_key" if key == batch_key else "categorical_covariate_keys"
        check_column(adata.obs, key, argument, "`obs`")
        if not extend:
            check_categories(adata.obs, key, argument, categories)
    for key in summary.continuous:
        check_column(adata.obs, key, "continuous_covariate_keys", "`obs`")
        check_numeric(adata.obs, key, "continuous_covariate_keys")


def log_features(adata: AnnData | MuData, features: Mapping[str, np.ndarray]) -> None:
    """Say which features are missing and which are ignored.

    Parameters
    ----------
    adata
        The object.
    features
        The model's feature names of each modality.
    """
    observed = observed_features(adata, features)
    columns = columns_of(adata, features)
    for modality, names in features.items():
        if modality not in observed:
            logger.info("Modality %r is not there: it tells nothing about the cells.", modality)
            continue
        n_found = len(observed[modality])
        if n_found < len(names):
            log = logger.warning if n_found < _FEW * len(names) else logger.info
            log(
                "%d of the model's %d features of modality %r are there; the missing ones tell "
                "nothing about the cells.",
                n_found,
                len(names),
                modality,
            )
    if isinstance(adata, MuData):
        extra = {repr(m): len(c) - len(observed.get(m, ())) for m, c in columns.items()}
        ignored = [m for m in adata.mod if m not in features]
        if ignored:
            logger.info("Modalities %s are not in the model and are ignored.", ignored)
    else:
        known = np.concatenate(list(features.values()))
        extra = {"the object": int((~adata.var_names.isin(known)).sum())}
    for where, number in extra.items():
        if number:
            logger.info("%d features of %s are not in the model and are ignored.", number, where)
