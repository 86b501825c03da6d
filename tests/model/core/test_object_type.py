"""Objects of another type than in the setup of the model."""

import warnings

import anndata as ad
import mudata as md
import pytest
from tests.model.fitting import fitted
from tests.toy import toy_mudata

from multiDGD import MultiDGD

WRAP = r"must be a MuData, as in the setup of the model, found AnnData. Wrap .*\(\{'atac': adata\}"
JOINED = {"axis": 1, "join": "outer", "label": "kind", "merge": "first"}


@pytest.fixture(scope="module")
def models():
    mdata = toy_mudata()
    return {
        "mudata": fitted(mdata),
        "anndata": fitted(mdata["atac"].copy()),
        "joined": fitted(ad.concat(mdata.mod, **JOINED), modality_key="kind"),
    }


def objects():
    """Objects of another type for each model, and the message."""
    mdata = toy_mudata()
    return {
        "mudata": (mdata["atac"].copy(), WRAP),
        "anndata": (mdata, r"must be an AnnData.*found MuData. Pass .*`mdata\['atac'\]`"),
        "joined": (mdata, r"must be an AnnData.*Join .*`anndata.concat\(.*label='kind'"),
    }


@pytest.mark.parametrize("kind", ["mudata", "anndata", "joined"])
def test_the_conversion_is_named(models, kind, tmp_path):
    model, (other, message) = models[kind], objects()[kind]
    with pytest.raises(ValueError, match=message):
        model.get_latent_representation(other)
    for inplace in (False, True):
        with pytest.raises(ValueError, match=message):
            MultiDGD.load_query_data(other, model, inplace_subset_query_vars=inplace)
    model.save(tmp_path / "model")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ValueError, match=message):
            MultiDGD.load(tmp_path / "model", adata=other, accelerator="cpu")
        with pytest.raises(ValueError, match="must be .*, found 'cells.h5mu'"):
            MultiDGD.load(tmp_path / "model", adata="cells.h5mu", accelerator="cpu")


def test_the_conversions_work(models):
    mdata = toy_mudata()
    for kind, converted in {
        "mudata": md.MuData({"atac": mdata["atac"].copy()}),
        "anndata": mdata["atac"],
        "joined": ad.concat(mdata.mod, **JOINED),
    }.items():
        assert len(models[kind].get_latent_representation(converted)) == 40
    with pytest.raises(ValueError, match="must be a MuData.*found 'cells.h5mu'"):
        MultiDGD.load_query_data("cells.h5mu", models["mudata"])


def test_objects_that_are_not_set_up():
    mdata = toy_mudata()
    with pytest.raises(ValueError, match=r"not set up: call `MultiDGD.setup_mudata\(mdata, "):
        MultiDGD(mdata)
    with pytest.raises(ValueError, match=r"not set up: call `MultiDGD.setup_anndata\(adata, "):
        MultiDGD(mdata["rna"].copy())
    with pytest.raises(TypeError, match="must be an AnnData or MuData, found str"):
        MultiDGD("cells.h5mu")
    MultiDGD.setup_mudata(mdata)
    with pytest.raises(ValueError, match=r"is a view .*`mdata = mdata.copy\(\)`"):
        MultiDGD(mdata[:20])
