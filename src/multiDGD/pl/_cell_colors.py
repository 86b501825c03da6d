"""Colours of a model's cells: a column of ``obs``, a component, an uncertainty or a feature."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from anndata import AnnData
from mudata import MuData

from multiDGD._names import own_columns

from ._figure import not_found
from ._scatter import Coloring

if TYPE_CHECKING:
    from multiDGD.model import MultiDGD

COMPONENT = "component"
UNCERTAINTY = "uncertainty"
#: Title of a colour bar of :func:`uncertainty_of_cells`.
UNCERTAINTY_TITLE = "posterior sd"


def color_cells(
    model: MultiDGD,
    color: str | None,
    adata: AnnData | MuData | None,
    indices: Sequence[int] | None,
    modality: str | None,
) -> Coloring:
    """Colours of cells by the name of their values.

    Parameters
    ----------
    model
        A trained model.
    color
        Column of ``obs``, ``"component"``, ``"uncertainty"`` or a feature; the first that exists.
    adata, indices
        Cells, and positions (or a mask) of those to draw.
    modality
        Modality of the feature. With it, ``color`` is a feature even if ``obs`` has such a column.

    Raises
    ------
    ValueError
        If there are no such values, or several modalities have the feature.
    """
    if color is None:
        return Coloring()
    data = model.adata if adata is None else adata
    if modality is None:
        if data is not None and color in data.obs:
            return Coloring.by(data.obs[color], color, data, indices)
        if color == COMPONENT:
            codes = model.get_cluster_assignments(adata, indices)
            categories = range(model.module.mixture.n_mix_comp)
            return Coloring.by(pd.Series(pd.Categorical(codes, categories)), COMPONENT)
        if color == UNCERTAINTY:
            return Coloring(UNCERTAINTY_TITLE, uncertainty_of_cells(model, adata, indices))
    modality = _modality_of(model, color, data, modality)
    value = model.get_normalized_expression(
        adata, indices, modality, gene_list=[color], library_size="median", return_numpy=True
    )
    values = np.log1p(np.asarray(value, dtype=float)[:, 0])
    return Coloring(f"{color} ({modality}), log1p of decoded counts", pd.Series(values))


def uncertainty_of_cells(
    model: MultiDGD, adata: AnnData | MuData | None, indices: Sequence[int] | None = None
) -> pd.Series:
    """Root mean square over dimensions of the posterior standard deviations of each cell."""
    _, variance = model.get_latent_representation(adata, indices, return_dist=True, silent=True)
    return pd.Series(np.sqrt(variance.mean(1)))


def _modality_of(
    model: MultiDGD, name: str, data: AnnData | MuData | None, modality: str | None
) -> str:
    """The modality that has a feature.

    Raises
    ------
    ValueError
        If none or several have it.
    """
    features = model.summary.features
    if modality is not None and modality not in features:
        raise not_found("modality", modality, features, "the model")
    having = [m for m in features if name in features[m] and modality in (None, m)]
    if len(having) == 1:
        return having[0]
    if having:
        raise ValueError(f"`color`: {name!r} is a feature of {having}. Pass one as `modality`.")
    if modality is not None:
        raise not_found("color", name, features[modality], f"the features of {modality!r}")
    where = "`adata.obs` or the features of the model"
    if data is None:
        where = (
            "the features of the model, which was loaded without data: pass `adata` for a column "
            "of `obs`"
        )
    columns = [] if data is None else own_columns(data.obs)
    known = [*columns, COMPONENT, UNCERTAINTY, *(f for names in features.values() for f in names)]
    raise not_found("color", name, known, where)
