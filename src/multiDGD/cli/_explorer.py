"""One AnnData with log-normalised counts, as cellxgene and Vitessce show it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from anndata import AnnData
from mudata import MuData
from scipy import sparse

from multiDGD._files import replacing
from multiDGD._names import is_copy
from multiDGD.init import NORMALIZATIONS

if TYPE_CHECKING:
    from multiDGD import MultiDGD


def make_explorer(model: MultiDGD, data: AnnData | MuData) -> AnnData:
    """Join log-normalised counts, annotations and embeddings of all modalities.

    cellxgene requires unique names of cells and features, finite coordinates, and recommends
    columns of 32 bits and a matrix that is stored by feature. Vitessce requires the same.

    Parameters
    ----------
    model
        A trained model of the data.
    data
        Its annotated data.

    Returns
    -------
    anndata.AnnData
        Cells by the features of all modalities; ``var["modality"]`` names the modality.
    """
    matrices, names, modalities = [], [], []
    for modality, features in model.summary.features.items():
        counts = model.adata_manager.matrix(modality)
        present = np.asarray(counts.sum(1)).ravel() > 0
        matrices.append(NORMALIZATIONS["log"](counts, present))
        names += [str(name) for name in features]
        modalities += [modality] * len(features)
    table = pd.DataFrame(
        {"modality": pd.Categorical(modalities)}, index=_unique(names, modalities)
    )
    # cellxgene selects the first embedding.
    keys = ["X_umap", *(key for key in data.obsm if str(key).startswith("X_") and key != "X_umap")]
    embeddings = {key: np.asarray(data.obsm[key], dtype=np.float32) for key in keys}
    return AnnData(
        sparse.csc_matrix(sparse.hstack(matrices, format="csc"), dtype=np.float32),
        obs=_columns(data.obs),
        var=table,
        obsm={key: x for key, x in embeddings.items() if _is_embedding(x)},
    )


def write_cellxgene(cells: AnnData, path: Path) -> Path:
    """Write the file for cellxgene.

    Parameters
    ----------
    cells
        Result of :func:`make_explorer`.
    path
        File to write; an existing one is replaced.

    Returns
    -------
    pathlib.Path
        The file.
    """
    with replacing(path) as partial:
        cells.write_h5ad(partial)
    return path


def _unique(names: list[str], modalities: list[str]) -> pd.Index:
    """Names of features, with their modality where several have the same name."""
    index = pd.Index(names)
    if index.is_unique:
        return index
    repeated = index.duplicated(keep=False)
    pairs = zip(names, modalities, repeated, strict=True)
    return pd.Index([f"{name} ({m})" if twice else name for name, m, twice in pairs])


def _columns(obs: pd.DataFrame) -> pd.DataFrame:
    """Annotations of the cells, with numbers of 32 bits and categories of text."""
    found = {}
    for key, column in obs.items():
        if is_copy(key):
            continue
        kind = column.dtype.kind if isinstance(column.dtype, np.dtype) else ""
        if kind == "f":
            found[str(key)] = column.astype(np.float32)
        elif kind in "iu" and kind:
            found[str(key)] = column.astype(np.int32)
        elif kind == "b":
            found[str(key)] = column
        else:
            text = column.astype(object).where(column.notna(), "NA").astype(str)
            found[str(key)] = text.astype("category")
    return pd.DataFrame(found, index=obs.index.astype(str))


def _is_embedding(values: np.ndarray) -> bool:
    is_plane = values.ndim == 2 and values.shape[1] >= 2
    return is_plane and not np.isinf(values).any() and not np.isnan(values).all()
