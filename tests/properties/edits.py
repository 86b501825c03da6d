"""Changes of an AnnData in place. Each takes the object and a random generator."""

import numpy as np
import pandas as pd
from scipy import sparse
from tests.properties.strategies import DENSE, SPARSE


def _stored(adata):
    """Stored values of the counts, which can be changed in place."""
    return adata.X.data if sparse.issparse(adata.X) else adata.X.reshape(-1)


def one_count(adata, r):
    values = _stored(adata)
    values[r.integers(len(values))] += 1


def all_counts(adata, r):
    values = _stored(adata)
    values *= values.dtype.type(2)


def swapped_counts(adata, r):
    """Exchange the counts of two cells, which keep their sum."""
    i, j = r.integers(adata.n_obs, size=2)
    x = adata.X.toarray() if sparse.issparse(adata.X) else adata.X.copy()
    x[[i, j]] = x[[j, i]]
    adata.X = sparse.csr_matrix(x)


def other_form(adata, r):
    x = adata.X.toarray() if sparse.issparse(adata.X) else adata.X.copy()
    forms = {k: f for k, f in {**DENSE, **SPARSE}.items() if "read-only" not in k}
    adata.X = forms[str(r.choice(list(forms)))](x)


def other_dtype(adata, r):
    adata.X = adata.X.astype(str(r.choice(["float32", "float64", "int64"])))


def batch_of_one_cell(adata, r):
    values = adata.obs["batch"].astype(object).to_numpy(copy=True)
    values[r.integers(len(values))] = str(r.choice(["b0", "b1"]))
    adata.obs["batch"] = values


def batch_of_all_cells(adata, r):
    adata.obs["batch"] = str(r.choice(["b0", "b1"]))


def type_of_batch(adata, r):
    adata.obs["batch"] = pd.Categorical(adata.obs["batch"].astype(str), ["b1", "none", "b0"])


def in_place_batch(adata, r):
    """Write to the values of the column, not to the column."""
    if adata.obs["batch"].dtype == object:
        adata.obs.iloc[int(r.integers(adata.n_obs)), adata.obs.columns.get_loc("batch")] = "b0"


def plate(adata, r):
    adata.obs["plate"] = r.integers(0, 3, adata.n_obs)


def age(adata, r):
    adata.obs["age"] = r.integers(-1, 3, adata.n_obs).astype(np.float32)


def label(adata, r):
    adata.obs["label"] = r.choice(["A", "B", "C"], adata.n_obs)


def no_labels(adata, r):
    adata.obs = adata.obs.drop(columns="label", errors="ignore")


def cell_names(adata, r):
    adata.obs_names = [f"r{r.integers(10**9)}_{i}" for i in range(adata.n_obs)]


def swapped_cell_names(adata, r):
    names = adata.obs_names.to_numpy(copy=True)
    i, j = r.integers(len(names), size=2)
    names[[i, j]] = names[[j, i]]
    adata.obs_names = names


def one_feature_name(adata, r):
    names = adata.var_names.to_numpy(copy=True).astype(object)
    names[r.integers(len(names))] = f"x{r.integers(10**9)}"
    adata.var_names = names


def swapped_feature_names(adata, r):
    names = adata.var_names.to_numpy(copy=True)
    i, j = r.integers(len(names), size=2)
    names[[i, j]] = names[[j, i]]
    adata.var_names = names


def cell_order(adata, r):
    adata._inplace_subset_obs(r.permutation(adata.n_obs))


def fewer_cells(adata, r):
    adata._inplace_subset_obs(np.sort(r.permutation(adata.n_obs)[: max(1, adata.n_obs - 2)]))


def feature_order(adata, r):
    adata._inplace_subset_var(r.permutation(adata.n_vars))


def fewer_features(adata, r):
    kept = np.sort(r.permutation(adata.n_vars)[: max(4, adata.n_vars - 1)])
    adata._inplace_subset_var(kept)


def unrelated(adata, r):
    adata.obs["note"] = r.integers(0, 9, adata.n_obs)
    adata.obsm["X_umap"] = r.normal(size=(adata.n_obs, 2))
    adata.var["mean"] = r.normal(size=adata.n_vars)


def new_batch(adata, r):
    values = adata.obs["batch"].astype(object).to_numpy(copy=True)
    values[r.integers(len(values))] = "b9"
    adata.obs["batch"] = values


def missing_batch(adata, r):
    values = adata.obs["batch"].astype(object).to_numpy(copy=True)
    values[r.integers(len(values))] = None
    adata.obs["batch"] = values


def without_batch(adata, r):
    adata.obs = adata.obs.drop(columns="batch", errors="ignore")


def negative_count(adata, r):
    x = (adata.X.toarray() if sparse.issparse(adata.X) else adata.X).astype(np.float32)
    x[r.integers(len(x)), 0] = -1
    adata.X = x


def empty_cell(adata, r):
    x = (adata.X.toarray() if sparse.issparse(adata.X) else adata.X).astype(np.float32)
    x[r.integers(len(x))] = 0
    adata.X = x


def missing_count(adata, r):
    x = (adata.X.toarray() if sparse.issparse(adata.X) else adata.X).astype(np.float32)
    x[r.integers(len(x)), 0] = np.nan
    adata.X = x


def repeated_cell_name(adata, r):
    names = adata.obs_names.to_numpy(copy=True).astype(object)
    names[-1] = names[0]
    adata.obs_names = names


def repeated_feature_name(adata, r):
    names = adata.var_names.to_numpy(copy=True).astype(object)
    names[-1] = names[0]
    adata.var_names = names


def unknown_features(adata, r):
    adata.var_names = [f"u{i}" for i in range(adata.n_vars)]


def text_of_age(adata, r):
    adata.obs["age"] = "old"


def missing_age(adata, r):
    adata.obs["age"] = np.nan


#: Changes after which the object still has answers.
VALID = [
    *(one_count, all_counts, swapped_counts, other_form, other_dtype),
    *(batch_of_one_cell, batch_of_all_cells, type_of_batch, in_place_batch, plate, age),
    *(label, no_labels, cell_names, swapped_cell_names, one_feature_name),
    *(swapped_feature_names, cell_order, fewer_cells, feature_order, fewer_features, unrelated),
]
#: Changes after which it has none, and a pattern of the error.
INVALID = {
    new_batch: "`batch_key`",
    missing_batch: "`batch_key`",
    without_batch: "`batch_key`",
    negative_count: "`X`",
    missing_count: "`X`",
    empty_cell: "no counts in any modality",
    repeated_cell_name: r"\(`obs_names`\)",
    repeated_feature_name: r"\(`var_names`\)",
    unknown_features: "0 of the model's",
    text_of_age: "`continuous_covariate_keys`",
    missing_age: "`continuous_covariate_keys`",
}
