"""Registration of data, and invalid arguments of the setup."""

import pytest
from tests.model.fitting import numbered_batches
from tests.toy import toy_adata, toy_mudata

from multiDGD import MultiDGD


def test_setup_can_be_viewed(capsys):
    adata = numbered_batches()
    MultiDGD.setup_anndata(adata, batch_key="plate", labels_key="label")
    MultiDGD(adata, n_latent=3).view_anndata_setup()
    shown = capsys.readouterr().out
    assert "'batch_key': 'plate'" in shown
    assert "batch State Registry" in shown


@pytest.mark.parametrize(
    ("setup", "data"),
    [(MultiDGD.setup_anndata, toy_adata), (MultiDGD.setup_mudata, toy_mudata)],
)
def test_unknown_argument_raises(setup, data):
    with pytest.raises(TypeError, match=r"no argument `label_key`. Nearest: \['labels_key'"):
        setup(data(), label_key="label")


@pytest.mark.parametrize("argument", ["batch_key", "labels_key", "categorical_covariate_keys"])
def test_fractional_categories_raise(argument):
    adata = numbered_batches()
    key = ["age"] if argument.endswith("keys") else "age"
    with pytest.raises(
        ValueError, match=f"`{argument}`: 'age' contains fractional values .40 different"
    ):
        MultiDGD.setup_anndata(adata, **{argument: key})


def test_integral_floats_are_categories():
    adata = numbered_batches()
    adata.obs["plate"] = adata.obs["plate"].astype(float)
    MultiDGD.setup_anndata(adata, batch_key="plate")
    assert list(MultiDGD(adata, n_latent=3).summary.covariates["plate"]) == [0.0, 1.0]


def test_categories_of_several_types_raise():
    adata = numbered_batches()
    adata.obs["mixed"] = [1, "b"] * 20
    with pytest.raises(ValueError, match=r"'mixed' contains values of several types \(int, str\)"):
        MultiDGD.setup_anndata(adata, labels_key="mixed")


def test_infinite_covariates_raise():
    adata = numbered_batches()
    adata.obs.loc["cell3", "age"] = float("inf")
    with pytest.raises(
        ValueError, match="`continuous_covariate_keys`: 1 entries of 'age' are inf"
    ):
        MultiDGD.setup_anndata(adata, continuous_covariate_keys=["age"])


@pytest.mark.parametrize("argument", ["categorical", "continuous"])
def test_duplicate_columns_raise(argument):
    with pytest.raises(ValueError, match="_covariate_keys` contains duplicate entries"):
        MultiDGD.setup_anndata(
            numbered_batches(), **{f"{argument}_covariate_keys": ["plate", "plate"]}
        )


def test_counts_in_a_layer_only():
    adata = numbered_batches()
    adata.layers["counts"], adata.X = adata.X, None
    with pytest.raises(ValueError, match=r"`X` is missing.*`layer`.*\['counts'\]"):
        MultiDGD.setup_anndata(adata)
    MultiDGD.setup_anndata(adata, layer="counts")
