"""Objects in zarr stores."""

import builtins

import anndata as ad
import mudata as md
import numpy as np
import pytest
from anndata.abc import CSRDataset
from tests.data.test_dataset import dense, manager_of
from tests.model.fitting import fitted
from tests.toy import toy_adata, toy_mudata

from multiDGD import MultiDGD
from multiDGD.data import open_zarr

zarr = pytest.importorskip("zarr")
pytestmark = pytest.mark.filterwarnings("ignore:Writing zarr v2")


@pytest.mark.parametrize("dense_x", [False, True])
def test_anndata(tmp_path, dense_x):
    adata = toy_adata(dense=dense_x)
    adata.layers["doubled"] = adata.X * 2
    adata.write_zarr(tmp_path / "x.zarr")
    found = open_zarr(tmp_path / "x.zarr")
    assert isinstance(found.X, zarr.Array if dense_x else CSRDataset)
    assert found.obs.equals(ad.read_zarr(tmp_path / "x.zarr").obs)
    expected = toy_adata(dense=True).X
    cells = [9, 2, 5]
    np.testing.assert_array_equal(dense(manager_of(found), "counts", cells), expected[cells])
    doubled = manager_of(found, layer="doubled")
    np.testing.assert_array_equal(dense(doubled, "counts", cells), 2 * expected[cells])


def test_anndata_without_x(tmp_path):
    adata = toy_adata()
    ad.AnnData(obs=adata.obs, var=adata.var, layers={"counts": adata.X}).write_zarr(
        tmp_path / "x.zarr"
    )
    found = open_zarr(tmp_path / "x.zarr")
    assert found.X is None
    expected = toy_adata(dense=True).X
    counts = dense(manager_of(found, layer="counts"), "counts", [9, 2])
    np.testing.assert_array_equal(counts, expected[[9, 2]])


def test_mudata_of_a_mosaic(tmp_path):
    mdata = toy_mudata(names=("rna", "atac"))
    parts = {"rna": mdata["rna"][5:].copy(), "atac": mdata["atac"][:30].copy()}
    mosaic = md.MuData(parts)
    mosaic.obs["batch"] = mdata.obs.loc[mosaic.obs_names, "batch"].to_numpy()
    mosaic.write_zarr(tmp_path / "x.zarr")
    found = open_zarr(str(tmp_path / "x.zarr"))
    assert list(found.mod) == ["rna", "atac"]
    assert found.obs_names.equals(mosaic.obs_names)
    assert (found.obs["batch"] == mosaic.obs["batch"]).all()
    z = [
        fitted(x, model={"n_components": 2}, batch_key="batch").get_latent_representation()
        for x in (found, mosaic)
    ]
    np.testing.assert_allclose(*z, atol=1e-4)


def test_errors(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="`path`: there is no folder"):
        open_zarr(tmp_path / "nothing")
    with pytest.raises(ValueError, match="`path` must be a zarr store"):
        open_zarr(tmp_path)
    zarr.open_array(str(tmp_path / "array.zarr"), mode="w", shape=(3,), dtype="float32")
    with pytest.raises(ValueError, match="`path` must be a zarr store"):
        open_zarr(tmp_path / "array.zarr")
    zarr.open_group(str(tmp_path / "other.zarr"), mode="w")
    with pytest.raises(ValueError, match="object of type None. Write it with"):
        open_zarr(tmp_path / "other.zarr")
    original = builtins.__import__

    def without_zarr(name, *args, **kwargs):
        if name == "zarr":
            raise ImportError(name)
        return original(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without_zarr)
    with pytest.raises(ImportError, match="pip install zarr"):
        open_zarr(tmp_path)


def test_annbatch_raises():
    with pytest.raises(TypeError, match=r"open_zarr.*setup_mudata"):
        MultiDGD.setup_annbatch("collection", batch_key="batch")
