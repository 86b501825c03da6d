"""Error messages of the methods of a trained model, and categories that are numbers."""

import numpy as np
import pandas as pd
import pytest
from tests.model.fitting import TRAIN, fitted, numbered_batches
from tests.toy import toy_mudata

from multiDGD import MultiDGD

ONE_EPOCH = {**TRAIN, "max_epochs": 1}


@pytest.fixture(scope="module")
def model():
    adata = numbered_batches()
    MultiDGD.setup_anndata(adata, batch_key="plate")
    model = MultiDGD(adata, n_latent=3)
    model.train(**ONE_EPOCH)
    return model


class TestNumberedBatches:
    def test_number_and_text_are_equivalent(self, model):
        number, text = (
            model.get_normalized_expression(transform_batch=b, return_numpy=True) for b in (1, "1")
        )
        other = model.get_normalized_expression(transform_batch=0, return_numpy=True)
        assert (number == text).all()
        assert (number != other).any()

    def test_unknown_number_raises(self, model):
        with pytest.raises(ValueError, match=r"`transform_batch`: 7 is not one of \[0, 1\]"):
            model.get_normalized_expression(transform_batch=7)

    def test_suggested_columns_exclude_those_of_the_setup(self, model):
        with pytest.raises(ValueError, match="'plat' is not a column of `obs`") as error:
            model.differential_expression(groupby="plat")
        assert "_scvi" not in str(error.value)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"groupby": "plate", "batchid1": ["0"]}, "`batchid1` requires `batch_correction=True`"),
        (
            {"groupby": "plate", "batchid2": ["7"], "batch_correction": True},
            r"`batchid2`: \['7'\] are not among the batches \[0, 1\]",
        ),
        ({"groupby": pd.Series([0, 1])}, "`groupby` must be the name of a .*found a Series"),
        ({"idx1": "plates == 1"}, r"`idx1`: obs.query\('plates == 1'\) failed.*'plate'"),
    ],
)
def test_invalid_groups_raise_without_a_message_before(model, caplog, arguments, message):
    with caplog.at_level("INFO", logger="scvi"), pytest.raises(ValueError, match=message):
        model.differential_expression(**arguments)
    assert "Comparing" not in caplog.text


def test_options_of_encoders_are_no_columns(model):
    with pytest.raises(ValueError, match="`weights`: 'importance' is an option of models with an"):
        model.differential_expression(groupby="plate", weights="importance", silent=True)


def test_column_of_a_modality_in_a_query():
    mdata = toy_mudata()
    query = toy_mudata()
    del query.obs["batch"]
    query["atac"].obs["batch"] = "b0"
    trained = fitted(mdata, batch_key="batch")
    with pytest.raises(ValueError, match=r"`batch_key`: .*`mdata.obs\['batch'\] = mdata\['atac'"):
        trained.get_latent_representation(query)
    del query["atac"].obs["batch"]
    query.obs = query.obs[[]]
    with pytest.raises(ValueError, match="`batch_key`: 'batch' is not .* It has no columns"):
        trained.get_latent_representation(query)


def test_all_refused_arguments_are_named():
    MultiDGD.setup_anndata(adata := numbered_batches())
    with pytest.raises(TypeError, match="`n_hidden`: .*Nor has it `dropout_rate`: "):
        MultiDGD(adata, n_hidden=128, n_latent=3, dropout_rate=0.1)


def test_view_in_the_setup():
    with pytest.raises(ValueError, match="`adata` is a view .*`adata = adata.copy"):
        MultiDGD.setup_anndata(numbered_batches()[:20])


def test_settings_without_effect_warn(caplog):
    adata = numbered_batches()
    adata.obs["type"] = "T"
    MultiDGD.setup_anndata(adata, labels_key="type")
    with caplog.at_level("WARNING", logger="scvi"):
        MultiDGD(adata, n_latent=3)
        assert "All labels are 'T'" in caplog.text
        MultiDGD.setup_anndata(adata)
        caplog.clear()
        MultiDGD(adata, n_latent=3, n_components=adata.n_obs)
        assert not caplog.text
        MultiDGD(adata, n_latent=3, n_components=adata.n_obs + 1)
    assert f"`n_components` is {adata.n_obs + 1} for {adata.n_obs} cells" in caplog.text


def test_ignored_groupby_is_logged(model, caplog):
    with caplog.at_level("INFO", logger="scvi"):
        table = model.differential_expression(groupby="plate", idx1="plate == 0", silent=True)
    assert "`groupby` is ignored: `idx1` chooses the cells" in caplog.text
    assert "comparison" not in table


def test_batch_size_is_checked_for_known_cells(model):
    with pytest.raises(ValueError, match="`batch_size` must be an integer of at least 1"):
        model.get_latent_representation(batch_size=0)


@pytest.mark.parametrize("kind", [float, bool, str])
def test_batches_are_selected_by_their_values(kind):
    adata = numbered_batches()
    adata.obs["plate"] = adata.obs["plate"].astype(kind)
    MultiDGD.setup_anndata(adata, batch_key="plate")
    model = MultiDGD(adata, n_latent=3)
    model.train(**ONE_EPOCH)
    one, other = adata.obs["plate"].unique()
    shares = model.get_normalized_expression(transform_batch=one, return_numpy=True)
    both = model.get_normalized_expression(transform_batch=[one, other], return_numpy=True)
    assert np.abs(shares - both).max() > 0


@pytest.mark.parametrize("value", [-1, 0, float("nan"), None, "observed", [1, 2]])
def test_invalid_library_sizes_raise(model, value):
    with pytest.raises(ValueError, match="`library_size` must be (a|one of)"):
        model.get_normalized_expression(library_size=value)


def test_weights_of_zero_raise(model):
    with pytest.raises(ValueError, match="`weights` are 0 for all cells"):
        model.differential_expression(groupby="plate", weights=np.zeros(model.adata.n_obs))


@pytest.mark.parametrize(
    ("method", "argument", "others"),
    [
        ("differential_expression", "groupby", {}),
        ("differential_expression", "sample_key", {"groupby": "plate"}),
        ("differential_accessibility", "weights", {"groupby": "plate"}),
        ("get_component_summary", "label_key", {}),
        ("perturb", "groupby", {"features": "gene1"}),
    ],
)
def test_missing_columns_raise(model, method, argument, others):
    message = f"`{argument}`: 'plat' is not a column of `obs`. Nearest names: .'plate'"
    with pytest.raises(ValueError, match=message):
        getattr(model, method)(**others, **{argument: "plat"})


def test_groups_without_cells_are_not_compared(model):
    obs = model.adata.obs
    obs["group"] = pd.Categorical(["a", "b"] * 20, categories=["a", "b", "c"])
    table = model.differential_expression(groupby="group")
    assert set(table["group1"]) == {"a", "b"}
    with pytest.raises(ValueError, match="`group1` 'c' has 0 cells"):
        model.differential_expression(groupby="group", group1="c")


def test_groups_are_selected_by_their_values(model):
    text = model.differential_expression(groupby="plate", group1="1", group2="0")
    pd.testing.assert_frame_equal(
        text, model.differential_expression(groupby="plate", group1=1, group2=0)
    )
    rest = model.differential_expression(groupby="plate", group2="0")
    assert list(rest["group1"].unique()) == [1]
    with pytest.raises(ValueError, match="`groupby` must be the name of a column"):
        model.differential_expression(groupby=["plate"])


@pytest.mark.parametrize(
    ("method", "arguments", "message"),
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
        (
            "get_expression_interval",
            {"library_size": "own"},
            "`library_size` must be one of .latent",
        ),
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
def test_invalid_arguments_raise(model, method, arguments, message):
    with pytest.raises(ValueError, match=message):
        getattr(model, method)(**arguments)
