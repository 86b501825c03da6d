"""Reconstruction errors."""

import mudata as md
import numpy as np
import pytest
from tests.model.fitting import fitted
from tests.toy import toy_mudata


@pytest.fixture(scope="module")
def model():
    return fitted(toy_mudata(), train={"train_size": 1.0})


def test_is_a_sum_over_modalities(model):
    error = model.get_reconstruction_error()
    assert error["reconstruction_loss"] == pytest.approx(
        error["reconstruction_loss_rna"] + error["reconstruction_loss_atac"], rel=1e-5
    )
    sizes = [model.get_reconstruction_error(batch_size=b)["reconstruction_loss"] for b in (7, 40)]
    assert sizes[0] == pytest.approx(sizes[1], rel=1e-5)


def test_of_each_cell(model):
    means = model.get_reconstruction_error()
    each = model.get_reconstruction_error(return_mean=False, batch_size=7)
    assert list(each) == list(means)
    for key, values in each.items():
        assert values.shape == (40,)
        assert values.mean() == pytest.approx(means[key], rel=1e-5)
    part = model.get_reconstruction_error(indices=[9, 3], return_mean=False)
    np.testing.assert_allclose(
        part["reconstruction_loss"], each["reconstruction_loss"][[9, 3]], rtol=1e-5
    )


def test_unmeasured_modalities_are_missing(model):
    rna = model.adata["rna"][:10].copy()
    rna.obs_names = [f"new{i}" for i in range(10)]
    query = md.MuData({"rna": rna})
    each = model.get_reconstruction_error(query, return_mean=False)
    np.testing.assert_allclose(each["reconstruction_loss"], each["reconstruction_loss_rna"])
    assert np.isnan(each.get("reconstruction_loss_atac", np.full(10, np.nan))).all()


@pytest.mark.parametrize("return_mean", [True, False])
def test_of_no_cells_raises(model, return_mean):
    with pytest.raises(ValueError, match="`indices` must contain at least one cell"):
        model.get_reconstruction_error(indices=[], return_mean=return_mean)
