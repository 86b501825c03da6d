"""Objects to train on, their digests, and answers about them by cell name."""

import hashlib
from collections.abc import Mapping

import anndata as ad
import numpy as np
import pandas as pd
from mudata import MuData
from scipy import sparse
from tests.toy import toy_adata, toy_mudata

#: Arguments of the setup of :func:`training_data`.
COLUMNS = {
    "batch_key": "batch",
    "labels_key": "label",
    "categorical_covariate_keys": ["plate"],
    "continuous_covariate_keys": ["age"],
}
N_FEATURES = 12


def training_data(n_cells=40, seed=0):
    """Cells with a batch of text and a plate of integers."""
    adata = toy_adata(n_cells, N_FEATURES, seed=seed, rate=4)
    adata.obs["plate"] = np.arange(n_cells) // 2 % 3
    adata.obs["age"] = adata.obs["age"] / 50
    return adata


def training_mudata(n_cells=40):
    """Paired cells of RNA and ATAC."""
    return toy_mudata(n_cells, (N_FEATURES, 10), rate=4)


def _is_own(key):
    """Whether an entry is one that scvi-tools documents as its own."""
    return not str(key).startswith("_scvi")


def digests(data):
    """SHA-256 of all content of an object but the entries of scvi-tools, by place."""
    if isinstance(data, MuData):
        own = {f"obsm/{key}": _digest(np.asarray(x)) for key, x in data.obsm.items()}
        parts = {
            f"{name}/{place}": found
            for name, part in data.mod.items()
            for place, found in digests(part).items()
        }
        return {**parts, **own, **_table("obs", data.obs), **_table("var", data.var)}
    found = {**_table("obs", data.obs), **_table("var", data.var)}
    if not data.isbacked:
        found["X"] = _digest(data.X)
    for group in ("layers", "obsm", "varm", "obsp", "varp", "uns"):
        for key, value in getattr(data, group).items():
            if _is_own(key):
                found[f"{group}/{key}"] = _digest(value)
    return found


def _table(place, table):
    columns = [c for c in table.columns if _is_own(c)]
    index = (type(table.index).__name__, str(table.index.name), *map(str, table.index))
    found = {f"{place}.index": _digest(repr(index)), f"{place}.columns": _digest(repr(columns))}
    for position, column in enumerate(columns):
        values = table.iloc[:, list(table.columns).index(column)]
        found[f"{place}/{position} {column}"] = _digest(repr((values.dtype, list(values))))
    return found


def _digest(value):
    if isinstance(value, Mapping):
        value = repr({key: _digest(v) for key, v in value.items()})
    if isinstance(value, pd.DataFrame):
        value = repr(_table("", value))
    if sparse.issparse(value):
        parts = [value.data, value.indices, value.indptr]
        kind = (value.format, isinstance(value, sparse.sparray))
        value = repr((*kind, value.shape, *map(_digest, parts)))
    if isinstance(value, np.ndarray):
        content = repr(value.tolist()) if value.dtype == object else value.tobytes().hex()
        value = repr((value.dtype, value.shape, value.flags.writeable, content))
    return hashlib.sha256(str(value).encode()).hexdigest()


def fresh(data):
    """A copy of an AnnData without the entries of scvi-tools, as if it had just been read."""
    obs = data.obs[[c for c in data.obs if _is_own(c)]].copy()
    return ad.AnnData(data.X.copy(), obs=obs, var=data.var.copy())


def answers(model, data, modality=None):
    """Answers of a model about all cells of an object, each with one row for each cell."""
    found = {
        "representation": model.get_latent_representation(data),
        "batch": model.get_covariate_representation("batch", data),
        "expression": model.get_normalized_expression(data, modality=modality, return_numpy=True),
    }
    if "labels" in model.registry_["field_registries"]:
        found["labels"] = model.predict(data, soft=True).to_numpy()
    return found


def by_name(found, data, names):
    """Rows of answers about an object, in the order of the given cell names."""
    at = pd.Index(data.obs_names.astype(str)).get_indexer(names)
    assert (at >= 0).all()
    return {question: rows[at] for question, rows in found.items()}


def assert_same(found, expected):
    """Compare answers that may have been inferred in different minibatches."""
    assert found.keys() == expected.keys()
    for question, rows in expected.items():
        assert np.isfinite(found[question]).all(), question
        np.testing.assert_allclose(found[question], rows, rtol=1e-3, atol=2e-4, err_msg=question)
