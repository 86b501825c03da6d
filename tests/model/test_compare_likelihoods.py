"""Comparison of likelihoods on held-out counts."""

import anndata as ad
import mudata as md
import numpy as np
import pytest
import scvi
from scipy import sparse
from tests.toy import toy_adata, toy_mudata

from multiDGD import MultiDGD
from multiDGD.model._compare_likelihoods import _split_counts

QUIET = {"enable_progress_bar": False, "accelerator": "cpu", "logger": False}


def test_true_likelihood_has_the_best_score():
    rng = np.random.default_rng(0)
    mean = np.exp(rng.normal(1.5, 0.5, 30))
    parts = {
        "poisson": rng.poisson(mean, (300, 30)),
        "nb": rng.negative_binomial(1.5, 1.5 / (1.5 + mean), (300, 30)),
    }
    for name, x in parts.items():
        adata = ad.AnnData(sparse.csr_matrix(x.astype(np.float32)))
        adata.obs_names = [f"cell{i}" for i in range(300)]
        MultiDGD.setup_anndata(adata)
        table = MultiDGD.compare_likelihoods(
            adata,
            {"counts": ["poisson", "nb"]},
            max_epochs=15,
            model_kwargs={"n_latent": 2, "n_components": 1},
            batch_size=32,
            **QUIET,
        )
        table = table.set_index("likelihood")
        assert table.loc["poisson", "difference"] == 0
        difference, se = table.loc["nb", ["difference", "difference_se"]]
        assert difference > 3 * se if name == "nb" else difference < 0.5
        mean_nb, mean_poisson = table["log_likelihood"][["nb", "poisson"]]
        assert mean_nb - mean_poisson == pytest.approx(difference, rel=1e-4, abs=1e-4)


def test_columns_of_the_table(seed):
    mdata = toy_mudata(60)
    MultiDGD.setup_mudata(mdata, batch_key="batch")
    table = MultiDGD.compare_likelihoods(
        mdata,
        {"rna": ["nb", "poisson"], "atac": ["nb", "bernoulli"]},
        max_epochs=2,
        model_kwargs={"n_latent": 2},
        **QUIET,
    )
    assert list(table["modality"]) == ["rna", "rna", "atac", "atac"]
    assert (table["n_cells"] == 12).all()
    binary = (table["likelihood"] == "bernoulli").to_numpy()
    np.testing.assert_array_equal(table["log_likelihood"].isna(), binary)
    assert (table["detection"] < 0).all()
    assert (table["detection"][~binary] > table["log_likelihood"][~binary]).all()
    assert scvi.settings.seed == seed
    again = MultiDGD.compare_likelihoods(
        mdata, {"rna": ["nb"]}, max_epochs=2, model_kwargs={"n_latent": 2}, **QUIET
    )
    assert again.loc[0, "log_likelihood"] == table.loc[0, "log_likelihood"]


@pytest.mark.parametrize("layer", [None, "raw"])
def test_halves_sum_to_the_counts(layer):
    adata = toy_adata(50, rate=6)
    x = adata.X.toarray()
    if layer:
        adata.layers[layer] = adata.X
        adata.X = None
    halves = _split_counts(adata, layer, ["counts"], np.random.default_rng(0))
    first, second = (half.X if layer is None else half.layers[layer] for half in halves)
    np.testing.assert_array_equal((first + second).toarray(), x)
    assert first.sum() / x.sum() == pytest.approx(0.5, abs=0.03)
    assert np.var(first.toarray()[x == 6]) == pytest.approx(6 / 4, rel=0.3)


def test_invalid_arguments_raise():
    mdata = toy_mudata(30)
    MultiDGD.setup_mudata(mdata)
    for likelihoods, message in (
        ({}, r"must map modalities.*found \{\}"),
        ("nb", "must map modalities.*found 'nb'"),
        ({"prot": ["nb"]}, "'prot' is not one of"),
        ({"rna": "nb"}, "must list names"),
        (["nb", "poisson"], r"such as \{'rna': \['nb', 'poisson'\]\}.*Modalities: .*'atac'"),
        ({"rna": ["gauss"]}, "gauss"),
    ):
        with pytest.raises(ValueError, match=message):
            MultiDGD.compare_likelihoods(mdata, likelihoods)
    for argument, value in (("held_out", 1.0), ("held_out", "0.2"), ("seed", 0.5)):
        with pytest.raises(ValueError, match=f"`{argument}` must"):
            MultiDGD.compare_likelihoods(mdata, {"rna": ["nb"]}, **{argument: value})


def test_a_list_is_for_the_only_modality():
    MultiDGD.setup_anndata(adata := toy_adata(30))
    small = {"model_kwargs": {"n_latent": 2}, "max_epochs": 1, "batch_size": 16}
    table = MultiDGD.compare_likelihoods(adata, ["nb", "poisson"], **small, **QUIET)
    assert list(table["likelihood"]) == ["nb", "poisson"]
    assert table["modality"].nunique() == 1


@pytest.mark.parametrize(
    ("make", "read", "setup"),
    [
        (toy_adata, ad.read_h5ad, MultiDGD.setup_anndata),
        (toy_mudata, md.read_h5mu, MultiDGD.setup_mudata),
    ],
)
def test_backed_data_raise(make, read, setup, tmp_path):
    make().write(tmp_path / "cells")
    backed = read(tmp_path / "cells", backed="r")
    setup(backed)
    with pytest.raises(ValueError, match="`adata` is backed by the file .*without `backed`"):
        MultiDGD.compare_likelihoods(backed, {"rna": ["nb"]})
    backed.file.close()


def test_registration_of_new_objects_is_not_reported(caplog):
    mdata = toy_mudata()
    MultiDGD.setup_mudata(mdata)
    with caplog.at_level("INFO", logger="scvi"):
        MultiDGD.compare_likelihoods(mdata, {"rna": ["nb"]}, max_epochs=1, **QUIET)
        assert "not setup" not in caplog.text
        model = MultiDGD(mdata, n_latent=2)
        model.train(max_epochs=1, **QUIET)
        model.get_latent_representation(toy_mudata())
    assert "not setup" not in caplog.text


def test_global_seed_is_restored():
    scvi.settings.seed = None
    adata = toy_adata()
    MultiDGD.setup_anndata(adata)
    given = {"max_epochs": 1, "model_kwargs": {"n_latent": 2}, **QUIET}
    MultiDGD.compare_likelihoods(adata, {"counts": ["poisson"]}, **given)
    assert scvi.settings.seed is None


@pytest.mark.slow
def test_protein_likelihood_fits_proteins_best(bmmc_cite):
    MultiDGD.setup_mudata(bmmc_cite, batch_key="batch")
    table = MultiDGD.compare_likelihoods(
        bmmc_cite, {"prot": ["nb", "poisson", "protein"]}, max_epochs=30, **QUIET
    ).set_index("likelihood")
    assert table.loc["poisson", "difference"] < -5 * table.loc["poisson", "difference_se"]
    assert table.loc["protein", "difference"] > 2 * table.loc["protein", "difference_se"]
