"""Results in the slots of AnnData and MuData that scanpy and muon use."""

import anndata as ad
import mudata as md
import numpy as np
import pandas as pd
import pytest
import scanpy as sc
import scvi
from scipy import sparse
from tests.toy import toy_adata, toy_mudata, write_10x

from multiDGD import MultiDGD
from multiDGD._mudata import without_pulling


def fitted(data, **setup):
    method = MultiDGD.setup_anndata if isinstance(data, ad.AnnData) else MultiDGD.setup_mudata
    method(data, **setup)
    model = MultiDGD(data, n_latent=3, **({} if "labels_key" in setup else {"n_components": 4}))
    model.train(max_epochs=2, batch_size=16, enable_progress_bar=False, accelerator="cpu")
    return model


def like_muon(n_cells=40):
    """MuData with the columns of `.var` that muon adds to 10x files."""
    mdata = toy_mudata(n_cells)
    for kind, part in zip(("Gene Expression", "Peaks"), mdata.mod.values(), strict=True):
        part.var["gene_ids"] = part.var_names
        part.var["feature_types"] = kind
        part.var["genome"] = "GRCh38"
    with without_pulling():
        mdata.update()
    return mdata


def assert_annotated(data, model, query=None, prefix="multidgd"):
    z = model.get_latent_representation(query)
    np.testing.assert_array_equal(data.obsm[f"X_{prefix}"], z)
    for key in model.module.covariates:
        u = model.get_covariate_representation(key, query)
        np.testing.assert_array_equal(data.obsm[f"X_{prefix}_{key}"], u)
    component = data.obs[f"{prefix}_component"]
    assert (component.astype(int) == model.get_cluster_assignments(query)).all()
    numbers = [int(name) for name in component.cat.categories]
    assert numbers == sorted(set(numbers))


@pytest.mark.parametrize("make", [toy_adata, like_muon])
def test_all_results_are_written_and_saved(make, tmp_path):
    data = make()
    model = fitted(
        data, batch_key="batch", categorical_covariate_keys=["site"], labels_key="label"
    )
    assert model.annotate() is None
    assert_annotated(data, model)
    assert {"X_multidgd", "X_multidgd_batch", "X_multidgd_site"} <= set(data.obsm)
    assert list(data.obs["multidgd_label"]) == list(model.predict())
    assert list(data.obs["multidgd_label"].cat.categories) == ["A", "B", "C"]
    if isinstance(data, ad.AnnData):
        data.write_h5ad(tmp_path / "cells.h5ad")
        again = ad.read_h5ad(tmp_path / "cells.h5ad")
    else:
        data.write_h5mu(tmp_path / "cells.h5mu")
        again = md.read_h5mu(tmp_path / "cells.h5mu")
    assert_annotated(again, model)


def test_without_labels_and_covariates():
    data = toy_adata()
    fitted(data).annotate()
    keys = {key for key in (*data.obs, *data.obsm) if "multidgd" in key}
    assert keys == {"multidgd_component", "X_multidgd"}


def test_query_cells_and_another_prefix():
    data, query = toy_adata(), toy_adata(15, seed=3)
    query.obs_names = [f"new{i}" for i in range(15)]
    model = fitted(data, batch_key="batch")
    model.annotate(query, prefix="dgd")
    assert_annotated(query, model, query, "dgd")
    assert not any("dgd" in key for key in (*data.obs, *data.obsm))


def test_scanpy_computes_neighbours():
    data = like_muon()
    fitted(data, batch_key="batch").annotate()
    sc.pp.neighbors(data, n_neighbors=5, use_rep="X_multidgd")
    assert data.obsp["distances"].shape == (40, 40)


def test_existing_results_are_replaced():
    data = toy_adata()
    model = fitted(data)
    data.obsm["X_multidgd"] = np.zeros((40, 7))
    model.annotate()
    assert_annotated(data, model)


def test_model_without_data(tmp_path):
    data = like_muon()
    fitted(data, batch_key="batch").save(tmp_path / "model")
    model = MultiDGD.load(tmp_path / "model", adata=False)
    with pytest.raises(ValueError, match="`adata` is required"):
        model.annotate()
    again = like_muon()
    model.annotate(again)
    assert_annotated(again, model, again)


def test_views_raise():
    data = toy_adata()
    model = fitted(data)
    with pytest.raises(ValueError, match="`adata` is a view"):
        model.annotate(data[:10])
    mdata = like_muon()
    model = fitted(mdata)
    with pytest.raises(ValueError, match="`adata` is a view"):
        model.annotate(mdata[:10])


def test_untrained_model_raises():
    data = toy_adata()
    MultiDGD.setup_anndata(data)
    with pytest.raises(RuntimeError, match="not trained"):
        MultiDGD(data).annotate()


@pytest.mark.filterwarnings("ignore:.*names are not unique")  # two genes share a symbol
def test_data_read_by_muon(tmp_path):
    muon = pytest.importorskip("muon", reason="muon is not installed")
    parts = toy_mudata(40)
    joint = ad.concat(parts.mod.values(), axis=1)
    joint.var["feature_types"] = ["Gene Expression"] * 12 + ["Peaks"] * 15
    path = write_10x(tmp_path / "matrix.h5", joint, sparse.csr_matrix(joint.X))
    mdata = muon.read_10x_h5(path)
    mdata.var_names_make_unique()
    mdata.obs["batch"] = pd.Categorical(parts.obs["batch"])
    model = fitted(mdata, batch_key="batch")
    model.annotate()
    assert_annotated(mdata, model)
    assert list(mdata.mod) == ["rna", "atac"]


@pytest.mark.parametrize("silent", [False, True])
def test_progress_bars(monkeypatch, capsys, silent):
    model = fitted(toy_adata(), labels_key="label")
    monkeypatch.setattr(scvi.settings, "batch_size", 5)
    query = toy_adata()
    query.obs_names = [f"new{name}" for name in query.obs_names]
    model.annotate(query, silent=silent)
    shown = capsys.readouterr().out
    assert ("Embedding" in shown, "Evaluating" in shown) == (not silent, not silent)
