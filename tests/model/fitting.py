"""Models of small objects, copies with other cell names, and query models."""

import anndata as ad
import mudata as md
from tests.toy import toy_adata

from multiDGD import MultiDGD

TRAIN = {"max_epochs": 2, "batch_size": 16, "enable_progress_bar": False, "accelerator": "cpu"}


def fitted(data, model=None, train=None, **setup):
    """Train a small model of ``data``; ``setup`` contains the arguments of its setup method."""
    method = MultiDGD.setup_mudata if isinstance(data, md.MuData) else MultiDGD.setup_anndata
    method(data, **setup)
    trained = MultiDGD(data, **{"n_latent": 3, **(model or {})})
    trained.train(**{**TRAIN, **(train or {})})
    return trained


def numbered_batches():
    """Cells with the batches 0 and 1, as integers, in the column `plate`."""
    adata = toy_adata()
    adata.obs["plate"] = [i % 2 for i in range(adata.n_obs)]
    return adata


def renamed(adata, prefix="new"):
    """Copy an AnnData with other cell names, without the columns of a setup."""
    obs = adata.obs[[c for c in adata.obs if c[0] != "_"]].copy()
    copied = ad.AnnData(adata.X.copy(), obs=obs)
    copied.obs_names = [prefix + name for name in adata.obs_names]
    copied.var_names = adata.var_names
    return copied


def renamed_mudata(mdata, prefix):
    """Copy a MuData with other cell names, without the columns of a setup."""
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
    """Map a query to a reference and train the query model."""
    model = MultiDGD.load_query_data(query, reference)
    model.train(**{"max_epochs": 5, **train})
    return model
