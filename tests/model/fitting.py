"""Models of small objects, the same cells under other names, and queries."""

import anndata as ad
import mudata as md

from multiDGD import MultiDGD

TRAIN = {"max_epochs": 2, "batch_size": 16, "enable_progress_bar": False, "accelerator": "cpu"}


def fitted(data, model=None, train=None, **setup):
    """A small model of ``data``; ``setup`` are arguments of its setup method."""
    method = MultiDGD.setup_mudata if isinstance(data, md.MuData) else MultiDGD.setup_anndata
    method(data, **setup)
    found = MultiDGD(data, **{"n_latent": 3, **(model or {})})
    found.train(**{**TRAIN, **(train or {})})
    return found


def renamed(adata, prefix="new"):
    """The same counts under other names, without traces of a setup."""
    found = ad.AnnData(adata.X.copy(), obs=adata.obs[[c for c in adata.obs if c[0] != "_"]].copy())
    found.obs_names = [prefix + name for name in adata.obs_names]
    found.var_names = adata.var_names
    return found


def renamed_mudata(mdata, prefix):
    """The same counts under other names."""
    parts = {}
    for name, part in mdata.mod.items():
        parts[name] = part.copy()
        parts[name].obs_names = [prefix + n for n in part.obs_names]
    other = md.MuData(parts)
    for column in mdata.obs:
        if not column.startswith("_scvi"):
            other.obs[column] = mdata.obs[column].to_numpy()
    return other


def load(query, reference, **train):
    """A query's model, trained."""
    model = MultiDGD.load_query_data(query, reference)
    model.train(**{"max_epochs": 5, **train})
    return model
