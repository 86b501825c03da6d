"""The file for cellxgene, against its requirements and, if installed, its own reader."""

import importlib.util

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from multiDGD import MultiDGD
from multiDGD.cli._explorer import make_explorer, write_cellxgene

# Types that cellxgene shows without conversion.
SHOWN = {"float32", "int32", "bool", "category"}


@pytest.fixture(scope="module")
def file(multiome, tmp_path_factory):
    """File of cells with columns of every type and a gene with the name of a peak."""
    data = multiome.copy()
    names = data["rna"].var_names.to_numpy().astype(object)
    names[0] = data["atac"].var_names[0]
    data["rna"].var_names = names
    data.update()
    n = data.n_obs
    data.obs["double"] = np.linspace(0, 1, n)
    data.obs["long"] = np.arange(n)
    data.obs["flag"] = np.arange(n) % 2 == 0
    data.obs["text"] = pd.Series(["a", None] * (n // 2), index=data.obs_names, dtype=object)
    data.obs["nullable"] = pd.array([1, None] * (n // 2), dtype="Int64")
    MultiDGD.setup_mudata(data, batch_key="batch")
    model = MultiDGD(data, n_latent=4, n_components=3)
    model.train(max_epochs=1, enable_progress_bar=False, accelerator="cpu")
    model.annotate()
    data.obsm["X_umap"] = data.obsm["X_multidgd"][:, :2]
    data.obsm["X_infinite"] = np.full((n, 2), np.inf)
    data.obsm["X_line"] = np.zeros((n, 1))
    path = tmp_path_factory.mktemp("explorer") / "cellxgene.h5ad"
    return write_cellxgene(make_explorer(model, data), path)


def test_requirements_of_cellxgene(file):
    found = ad.read_h5ad(file)
    assert found.shape == (80, 90)
    assert isinstance(found.X, sparse.csc_matrix) and found.X.dtype == np.float32
    assert found.obs_names.is_unique and found.var_names.is_unique
    assert {str(t) for t in found.obs.dtypes} == SHOWN
    assert not any(key.startswith("_scvi") for key in found.obs)
    assert next(iter(found.obsm)) in ("X_multidgd", "X_umap")
    assert set(found.obsm) == {"X_umap", "X_multidgd", "X_multidgd_batch", "X_true"}
    for embedding in found.obsm.values():
        assert embedding.dtype == np.float32 and np.isfinite(embedding).all()
    assert set(found.obs["text"]) == {"a", "NA"}


def test_values_and_names(file, multiome):
    found = ad.read_h5ad(file)
    counts = multiome["rna"].X.toarray()
    values = found.X[:, :30].toarray()
    np.testing.assert_array_equal(values > 0, counts > 0)
    peak = multiome["atac"].var_names[0]
    assert {f"{peak} (rna)", f"{peak} (atac)"} <= set(found.var_names)
    assert list(found.var["modality"]) == ["rna"] * 30 + ["atac"] * 60


def test_opens_in_cellxgene(file):
    if importlib.util.find_spec("server") is None:
        pytest.skip("cellxgene is not installed")
    config = pytest.importorskip("server.common.config.app_config")
    locator = pytest.importorskip("server.common.utils.data_locator")
    adaptor = pytest.importorskip("server.data_anndata.anndata_adaptor")
    app = config.AppConfig()
    app.update_server_config(single_dataset__datapath=str(file), app__flask_secret_key="x")
    app.complete_config()
    opened = adaptor.AnndataAdaptor(locator.DataLocator(str(file)), app, app.dataset_config)
    assert "umap" in opened.get_embedding_names()
    assert (opened.cell_count, opened.gene_count) == (80, 90)
    assert len(opened.annotation_to_fbs_matrix("obs")) > 0
