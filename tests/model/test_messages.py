"""What the model says of itself, and of what it was not meant to be asked."""

import pytest
from tests.toy import toy_adata, toy_mudata

from multiDGD import MultiDGD

TRAIN = {"max_epochs": 1, "batch_size": 16, "enable_progress_bar": False, "accelerator": "cpu"}


def numbered():
    """Cells whose batches are the numbers 0 and 1."""
    adata = toy_adata()
    adata.obs["plate"] = [i % 2 for i in range(adata.n_obs)]
    return adata


@pytest.fixture(scope="module")
def model():
    adata = numbered()
    MultiDGD.setup_anndata(adata, batch_key="plate")
    model = MultiDGD(adata, n_latent=3)
    model.train(**TRAIN)
    return model


def test_setup_is_shown(capsys):
    adata = numbered()
    MultiDGD.setup_anndata(adata, batch_key="plate", labels_key="label")
    MultiDGD(adata, n_latent=3).view_anndata_setup()
    shown = capsys.readouterr().out
    assert "'batch_key': 'plate'" in shown
    assert "batch State Registry" in shown


def test_summary_names_all_covariates():
    adata = numbered()
    MultiDGD.setup_anndata(adata, batch_key="plate", continuous_covariate_keys=["age"])
    assert "covariates ['plate', 'age']" in MultiDGD(adata, n_latent=3)._model_summary_string


@pytest.mark.parametrize(
    ("setup", "data"),
    [(MultiDGD.setup_anndata, toy_adata), (MultiDGD.setup_mudata, toy_mudata)],
)
def test_setup_names_an_argument_it_does_not_have(setup, data):
    with pytest.raises(TypeError, match=r"no argument `label_key`. Nearest: \['labels_key'"):
        setup(data(), label_key="label")


def test_untrained_model_has_no_typicality():
    adata = numbered()
    MultiDGD.setup_anndata(adata)
    with pytest.raises(RuntimeError, match="not trained"):
        MultiDGD(adata, n_latent=3).get_typicality()


class TestNumberedBatches:
    def test_are_named_as_they_are_written(self, model):
        number, text = (
            model.get_normalized_expression(transform_batch=b, return_numpy=True) for b in (1, "1")
        )
        other = model.get_normalized_expression(transform_batch=0, return_numpy=True)
        assert (number == text).all()
        assert (number != other).any()

    def test_that_are_not_there(self, model):
        with pytest.raises(ValueError, match=r"`transform_batch`: 7 is not one of \[0, 1\]"):
            model.get_normalized_expression(transform_batch=7)

    def test_nearest_columns_are_the_users(self, model):
        with pytest.raises(KeyError, match="'plat' is not in obs") as error:
            model.differential_expression(groupby="plat")
        assert "_scvi" not in str(error.value)


def test_batch_size_without_cells():
    adata = numbered()
    MultiDGD.setup_anndata(adata)
    with pytest.raises(ValueError, match="`batch_size` must be an integer of at least 1, found 0"):
        MultiDGD(adata, n_latent=3).train(batch_size=0)


@pytest.mark.parametrize(
    "argument",
    ["n_latent", "n_components", "n_components_per_class", "n_covariate_latent"],
)
@pytest.mark.parametrize("value", ["10", 10.5, 0, True])
def test_sizes_are_whole_numbers(argument, value):
    adata = numbered()
    MultiDGD.setup_anndata(adata)
    with pytest.raises(ValueError, match=f"`{argument}` must be an integer of at least 1, found"):
        MultiDGD(adata, **{argument: value})


@pytest.mark.parametrize("argument", ["batch_key", "labels_key", "categorical_covariate_keys"])
def test_fractions_are_no_categories(argument):
    adata = numbered()
    key = ["age"] if argument.endswith("keys") else "age"
    with pytest.raises(ValueError, match=f"`{argument}`: 'age' holds fractions .40 different"):
        MultiDGD.setup_anndata(adata, **{argument: key})


def test_whole_floats_are_categories():
    adata = numbered()
    adata.obs["plate"] = adata.obs["plate"].astype(float)
    MultiDGD.setup_anndata(adata, batch_key="plate")
    assert list(MultiDGD(adata, n_latent=3).summary.covariates["plate"]) == [0.0, 1.0]


def test_infinite_covariates():
    adata = numbered()
    adata.obs.loc["cell3", "age"] = float("inf")
    with pytest.raises(
        ValueError, match="`continuous_covariate_keys`: 1 entries of 'age' are inf"
    ):
        MultiDGD.setup_anndata(adata, continuous_covariate_keys=["age"])
