"""Construction and training of the model for all kinds of data."""

import mudata as md
import numpy as np
import pytest
from tests.model.fitting import fitted, numbered_batches
from tests.toy import toy_adata, toy_mudata

from multiDGD import MultiDGD


@pytest.mark.parametrize(
    ("data", "setup", "modalities"),
    [
        (lambda: toy_adata(), {}, ["counts"]),
        (lambda: toy_mudata(), {}, ["rna", "atac"]),
        (lambda: toy_mudata(names=("prot", "rna")), {}, ["prot", "rna"]),
        (
            lambda: toy_mudata(names=("a", "b.c", "keys"), n_features=(5, 6, 7)),
            {},
            ["a", "b.c", "keys"],
        ),
        (lambda: toy_mudata(), {"modalities": ["atac"]}, ["atac"]),
        (lambda: toy_mudata(), {"modalities": ["atac", "rna"]}, ["atac", "rna"]),
    ],
)
def test_modalities_with_any_number_and_names(data, setup, modalities):
    data = data()
    model = fitted(data, **setup)
    assert model.get_latent_representation().shape == (40, 3)
    assert model.module.modalities == modalities
    for modality in modalities:
        table = model.get_normalized_expression(modality=modality)
        names = data.mod[modality].var_names if isinstance(data, md.MuData) else data.var_names
        assert list(table.columns) == list(names)
        assert list(table.index) == list(data.obs_names)
        np.testing.assert_allclose(table.sum(axis=1), 1, rtol=1e-4)


def test_modalities_in_one_anndata():
    adata = toy_adata(n_features=20)
    adata.var["feature_types"] = np.where(np.arange(20) % 3 == 0, "Peaks", "Gene Expression")
    model = fitted(adata, modality_key="feature_types")
    table = model.get_normalized_expression(modality="Peaks")
    assert list(table.columns) == list(adata.var_names[adata.var["feature_types"] == "Peaks"])


def test_mosaic():
    mdata = toy_mudata()
    mosaic = md.MuData({"rna": mdata["rna"][:30].copy(), "atac": mdata["atac"][20:].copy()})
    model = fitted(mosaic)
    assert np.isfinite(model.get_latent_representation()).all()
    share = model.get_normalized_expression(modality="atac").to_numpy()
    np.testing.assert_allclose(share.sum(1), 1, rtol=1e-4)


def test_text_summary_contains_all_covariates():
    adata = numbered_batches()
    MultiDGD.setup_anndata(adata, batch_key="plate", continuous_covariate_keys=["age"])
    assert "covariates ['plate', 'age']" in MultiDGD(adata, n_latent=3)._model_summary_string


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n_components": 2}, "`n_components` is 2, below the 3 labels"),
        ({"n_components": 7}, "not a multiple of the 3 labels"),
        ({"n_components": 0, "supervised": False}, "`n_components`"),
        ({"n_latent": 0}, "`n_latent`"),
        ({"likelihoods": {"prot": "nb"}}, "`likelihoods`"),
        ({"decoder_kwargs": {"n_units": 0}}, "`n_units`"),
        ({"decoder_kwargs": {"units": 9}}, "`decoder_kwargs` has no item 'units'.*'n_units'"),
    ],
)
def test_arguments_that_do_not_fit_the_data_raise(arguments, message):
    mdata = toy_mudata()
    MultiDGD.setup_mudata(mdata, labels_key="label")
    with pytest.raises((TypeError, ValueError), match=message):
        MultiDGD(mdata, **arguments)


@pytest.mark.parametrize(
    "argument",
    ["n_latent", "n_components", "n_components_per_class", "n_covariate_latent"],
)
@pytest.mark.parametrize("value", ["10", 10.5, 0, True])
def test_invalid_sizes_raise(argument, value):
    adata = numbered_batches()
    MultiDGD.setup_anndata(adata)
    valid = "an integer of at least 1"
    if argument == "n_components" and isinstance(value, str):
        valid = "'auto' or a number"
    with pytest.raises(ValueError, match=f"`{argument}` must be {valid}, found"):
        MultiDGD(adata, **{argument: value})


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
def test_invalid_priors_raise(arguments, message):
    adata = numbered_batches()
    MultiDGD.setup_anndata(adata)
    with pytest.raises(ValueError, match=message):
        MultiDGD(adata, **arguments)


def test_representations_of_an_untrained_model_raise():
    mdata = toy_mudata()
    MultiDGD.setup_mudata(mdata)
    model = MultiDGD(mdata)
    with pytest.raises(RuntimeError, match="not trained"):
        model.get_latent_representation()


def test_typicality_of_an_untrained_model_raises():
    adata = numbered_batches()
    MultiDGD.setup_anndata(adata)
    with pytest.raises(RuntimeError, match="not trained"):
        MultiDGD(adata, n_latent=3).get_typicality()
