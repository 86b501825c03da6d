"""What the model says of itself, and of what it was not meant to be asked."""

import numpy as np
import pandas as pd
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
        with pytest.raises(ValueError, match="'plat' is not in obs") as error:
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
    with pytest.raises(
        ValueError, match=f"`{argument}`: 'age' contains fractional values .40 different"
    ):
        MultiDGD.setup_anndata(adata, **{argument: key})


def test_whole_floats_are_categories():
    adata = numbered()
    adata.obs["plate"] = adata.obs["plate"].astype(float)
    MultiDGD.setup_anndata(adata, batch_key="plate")
    assert list(MultiDGD(adata, n_latent=3).summary.covariates["plate"]) == [0.0, 1.0]


def test_categories_of_several_types():
    adata = numbered()
    adata.obs["mixed"] = [1, "b"] * 20
    with pytest.raises(ValueError, match=r"'mixed' contains values of several types \(int, str\)"):
        MultiDGD.setup_anndata(adata, labels_key="mixed")


@pytest.mark.parametrize("kind", [float, bool, str])
def test_batches_by_their_own_values(kind):
    adata = numbered()
    adata.obs["plate"] = adata.obs["plate"].astype(kind)
    MultiDGD.setup_anndata(adata, batch_key="plate")
    model = MultiDGD(adata, n_latent=3)
    model.train(**TRAIN)
    one, other = adata.obs["plate"].unique()
    shares = model.get_normalized_expression(transform_batch=one, return_numpy=True)
    both = model.get_normalized_expression(transform_batch=[one, other], return_numpy=True)
    assert np.abs(shares - both).max() > 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"sd_mean": 0}, "`sd_mean` must be a number above 0"),
        ({"sd_sd": "1"}, "`sd_sd` must be a finite number"),
        ({"softball": 2}, "`softball` must be a pair"),
        ({"softball": (0, 5)}, "`softball` must be a number above 0"),
        ({"dirichlet_alpha": 0}, "`dirichlet_alpha` must be a number above 0"),
    ],
)
def test_arguments_are_called_by_their_names(arguments, message):
    adata = numbered()
    MultiDGD.setup_anndata(adata)
    with pytest.raises(ValueError, match=message):
        MultiDGD(adata, **arguments)


@pytest.mark.parametrize("value", [2.5, 0, "3"])
def test_epochs_are_whole_numbers(value):
    adata = numbered()
    MultiDGD.setup_anndata(adata)
    with pytest.raises(ValueError, match="`max_epochs` must be an integer of at least 1"):
        MultiDGD(adata, n_latent=3).train(max_epochs=value)


@pytest.mark.parametrize("value", [0, -0.5, 1.5])
def test_share_to_train_on(value):
    adata = numbered()
    MultiDGD.setup_anndata(adata)
    with pytest.raises(ValueError, match="`train_size` must be above 0 and at most 1"):
        MultiDGD(adata, n_latent=3).train(train_size=value)


@pytest.mark.parametrize("value", [-1, 0, float("nan"), None, "observed", [1, 2]])
def test_library_sizes(model, value):
    with pytest.raises(ValueError, match="`library_size` must be a"):
        model.get_normalized_expression(library_size=value)


def test_weights_of_no_cell(model):
    with pytest.raises(ValueError, match="`weights` are 0 for all cells"):
        model.differential_expression(groupby="plate", weights=np.zeros(model.adata.n_obs))


@pytest.mark.parametrize(
    ("ask", "argument", "others"),
    [
        ("differential_expression", "groupby", {}),
        ("differential_expression", "sample_key", {"groupby": "plate"}),
        ("differential_accessibility", "weights", {"groupby": "plate"}),
        ("get_component_summary", "label_key", {}),
        ("perturb", "groupby", {"features": "gene1"}),
    ],
)
def test_columns_that_are_not_there(model, ask, argument, others):
    message = f"`{argument}`: 'plat' is not in obs. Nearest names: .'plate'"
    with pytest.raises(ValueError, match=message):
        getattr(model, ask)(**others, **{argument: "plat"})


def test_groups_without_cells_are_not_compared(model):
    obs = model.adata.obs
    obs["group"] = pd.Categorical(["a", "b"] * 20, categories=["a", "b", "c"])
    table = model.differential_expression(groupby="group")
    assert set(table["group1"]) == {"a", "b"}
    with pytest.raises(ValueError, match="`group1` 'c' has 0 cells"):
        model.differential_expression(groupby="group", group1="c")


def test_groups_that_are_numbers(model):
    text = model.differential_expression(groupby="plate", group1="1", group2="0")
    pd.testing.assert_frame_equal(
        text, model.differential_expression(groupby="plate", group1=1, group2=0)
    )
    rest = model.differential_expression(groupby="plate", group2="0")
    assert list(rest["group1"].unique()) == [1]
    with pytest.raises(ValueError, match="`groupby` must be the name of a column"):
        model.differential_expression(groupby=["plate"])


def test_components_of_cells_without_labels(model):
    model.adata.obs["nothing"] = np.nan
    table = model.get_component_summary(label_key="nothing")
    assert table["n_cells"].sum() == model.adata.n_obs
    assert table["top_share"].isna().all()


def test_infinite_covariates():
    adata = numbered()
    adata.obs.loc["cell3", "age"] = float("inf")
    with pytest.raises(
        ValueError, match="`continuous_covariate_keys`: 1 entries of 'age' are inf"
    ):
        MultiDGD.setup_anndata(adata, continuous_covariate_keys=["age"])


@pytest.mark.parametrize(
    ("ask", "arguments", "message"),
    [
        ("get_expression_interval", {"transform_batch": [0, 1]}, "`transform_batch` must be one"),
        (
            "impute",
            {"modality": "counts", "transform_batch": [0]},
            "`transform_batch` must be one",
        ),
        ("posterior_predictive_sample", {"transform_batch": [0]}, "`transform_batch` must be one"),
        (
            "get_expression_interval",
            {"library_size": 0},
            "`library_size` must be a number above 0",
        ),
        ("get_expression_interval", {"library_size": "own"}, "`library_size` must be a finite"),
        ("get_normalized_expression", {"n_samples": -1}, "`n_samples` must be an integer of at"),
        ("get_normalized_expression", {"n_samples": 2.0}, "`n_samples` must be an integer of at"),
        ("get_normalized_expression", {"batch_size": 0}, "`batch_size` must be an integer of at"),
        ("get_normalized_expression", {"indices": [0, -41]}, "between 0 and 39, found -41"),
        ("get_normalized_expression", {"indices": 3}, "must be a list .* found int of int64"),
        ("gene2peak", {"gene": ["gene1", "gene2"]}, "`gene` must be the name of one"),
        ("get_expression_interval", {"level": "0.9"}, "`level` must be a finite number"),
        ("sample", {"n": 3, "covariates": "x"}, "`covariates` must map names .* found 'x'"),
        ("sample", {"n": 3, "seed": 1.5}, "`seed` must be an integer of at least 0, found 1.5"),
        ("get_component_summary", {"n_top_features": 2.5}, "`n_top_features` must be an integer"),
        ("get_component_summary", {"n_top_features": -1}, "`n_top_features` .* least 0, found -1"),
        ("perturb", {"features": "gene1", "fold": "2"}, "`fold` must be a finite number"),
        ("perturb", {"features": "gene1", "fold": 1}, "`fold` must not be 1"),
        ("perturb", {"features": "gene1", "direction": ["up"]}, "`direction` must be one of"),
        ("differential_expression", {"cred_interval_lvls": 0.9}, "`cred_.*` must be a list"),
        (
            "differential_expression",
            {"groupby": "plate", "group2": [0, 1]},
            "`group2` must be the name of one",
        ),
    ],
)
def test_what_cannot_be_used_is_named(model, ask, arguments, message):
    with pytest.raises(ValueError, match=message):
        getattr(model, ask)(**arguments)


@pytest.mark.parametrize("argument", ["categorical", "continuous"])
def test_columns_are_named_once(argument):
    with pytest.raises(ValueError, match="_covariate_keys` contains duplicate entries"):
        MultiDGD.setup_anndata(numbered(), **{f"{argument}_covariate_keys": ["plate", "plate"]})


def test_counts_that_are_in_a_layer_only():
    adata = numbered()
    adata.layers["counts"], adata.X = adata.X, None
    with pytest.raises(ValueError, match=r"`X` is missing.*`layer`.*\['counts'\]"):
        MultiDGD.setup_anndata(adata)
    MultiDGD.setup_anndata(adata, layer="counts")


@pytest.mark.parametrize(
    ("argument", "value", "message"),
    [
        *[("devices", value, "must be one, found") for value in (2, [0, 1], "0,1", "2")],
        *[
            ("precision", value, "must be '32-true' or 'bf16-mixed', found")
            for value in (16, "16-mixed", "16-true", "bf16-true")
        ],
    ],
)
def test_devices_and_precisions_that_do_not_work(argument, value, message):
    """Several devices would each keep a table of their own; counts are too large for 16 bits."""
    adata = numbered()
    MultiDGD.setup_anndata(adata)
    model = MultiDGD(adata, n_latent=3)
    with pytest.raises(ValueError, match=f"`{argument}` {message}"):
        model.train(**{"accelerator": "cpu", argument: value})
    assert not model.is_initialised_


@pytest.mark.parametrize("start", ["spectral", "zero"])
@pytest.mark.parametrize("n_cells", [1, 2, 3])
def test_fewest_cells(n_cells, start):
    adata = toy_adata(n_cells)
    MultiDGD.setup_anndata(adata)
    model = MultiDGD(adata, n_latent=3)
    if n_cells < 3:
        with pytest.raises(ValueError, match=f"has {n_cells} cells, .*; at least 3 are needed"):
            model.train(start=start, **TRAIN)
        assert not model.is_initialised_
    else:
        model.train(start=start, **TRAIN)
        assert model.is_trained


@pytest.mark.parametrize("devices", [1, "1", "auto"])
def test_one_device(devices):
    adata = numbered()
    MultiDGD.setup_anndata(adata)
    model = MultiDGD(adata, n_latent=3)
    model.train(max_epochs=1, accelerator="cpu", devices=devices, enable_progress_bar=False)
    assert model.is_trained
