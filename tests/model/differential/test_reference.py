"""Reference of fold changes, ranking of features, and groups of few cells."""

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scvi
import torch
from scipy import sparse

from multiDGD import MultiDGD
from multiDGD.model.differential import _table
from multiDGD.stats import GroupRates

QUIET = {"enable_progress_bar": False, "accelerator": "cpu"}
N_GENES = 150
N_CELLS = 300


@pytest.fixture(scope="module")
def model():
    """In half of the cells, gene 0 has most of the counts and genes 1 to 10 are higher."""
    rng = np.random.default_rng(0)
    share = rng.lognormal(0, 1, N_GENES)
    share /= share.sum()
    treated = np.arange(N_CELLS) < N_CELLS // 2
    mean = np.tile(share, (N_CELLS, 1))
    mean[np.ix_(treated, np.arange(1, 11))] *= 8
    mean[treated, 0] = 4 * mean[treated].sum(1)
    mean *= 3000 / mean.sum(1, keepdims=True)
    counts = sparse.csr_matrix(rng.poisson(mean).astype(np.float32))
    adata = ad.AnnData(counts, obs={"group": np.where(treated, "treated", "control")})
    adata.var_names = [f"gene_{i}" for i in range(N_GENES)]
    scvi.settings.seed = 0
    MultiDGD.setup_anndata(adata)
    model = MultiDGD(adata, n_latent=3, n_components=2)
    model.train(max_epochs=5, **QUIET)
    return model


def compare(model, **options):
    table = model.differential_expression(
        groupby="group", group1="treated", group2="control", silent=True, **options
    )
    return table.reindex(model.adata.var_names)


def test_median_is_robust_to_a_dominant_gene(model):
    table = compare(model)
    called = table.index[table["is_de_fdr_0.05"]]
    assert set(called) == {f"gene_{i}" for i in range(11)}
    np.testing.assert_allclose(table["lfc_mean"].iloc[1:11], 3, atol=0.4)
    assert abs(table["lfc_mean"].iloc[11:].median()) < 0.05
    # The shares of unchanged genes decrease to about a fifth.
    x = model.adata.X.toarray()
    share = x / x.sum(1, keepdims=True)
    treated = (model.adata.obs["group"] == "treated").to_numpy()
    change = np.log2(share[treated].mean(0) / share[~treated].mean(0))
    np.testing.assert_allclose(table["lfc_reference"], np.median(change[11:]), atol=0.1)


def test_shares_of_unchanged_genes_decrease(model, caplog):
    with caplog.at_level("WARNING", logger="scvi"):
        table = compare(model, reference="share")
    assert (table["lfc_reference"] == 0).all()
    assert (table["lfc_mean"].iloc[11:] < -1).mean() > 0.95
    (warning,) = [r.getMessage() for r in caplog.records if "are called" in r.getMessage()]
    assert "More than 80 %" in warning
    assert "treated vs control" in warning
    assert '"median"' in warning and '"share"' not in warning


def test_shift_of_the_median_is_logged(model, caplog):
    with caplog.at_level("INFO", logger="scvi"):
        shift = compare(model)["lfc_reference"].iloc[0]
        compare(model, reference="share")
        compare(model, reference=["gene_20"])
    (message,) = [r.getMessage() for r in caplog.records if "median feature" in r.getMessage()]
    assert shift < -1 and f"changes by {shift:+.1f} log2 in treated vs control" in message


def test_features_as_reference(model):
    unchanged = [f"gene_{i}" for i in range(11, N_GENES)]
    median, features = compare(model), compare(model, reference=unchanged)
    np.testing.assert_allclose(features["lfc_reference"], median["lfc_reference"], atol=0.1)
    np.testing.assert_allclose(features["lfc_mean"], median["lfc_mean"], atol=0.15)
    for names in (np.array(unchanged), pd.Index(unchanged)):
        pd.testing.assert_frame_equal(compare(model, reference=names), features)
    higher = compare(model, reference=["gene_1", "gene_2", "gene_3"])
    np.testing.assert_allclose(higher["lfc_reference"] - median["lfc_reference"], 3, atol=0.3)


def test_log_odds_do_not_saturate(model):
    table = compare(model).iloc[:11]
    assert (table["proba_de"] == 1).sum() > 1
    assert table["bayes_factor"].is_unique
    assert table["bayes_factor"].max() > 30


def test_change_in_an_unknown_direction_is_no_discovery():
    class Undecided:
        reference = 0.0

        def summary(self, delta, levels):
            log = np.log([[0.48, 0.48, 0.04], [0.98, 0.01, 0.01]]).T
            return {
                f"log_proba_{name}": x for name, x in zip(("up", "down", "none"), log, strict=True)
            }

    rates = [GroupRates(torch.ones(2), torch.ones(2), 10)] * 2
    table = _table.probabilities(Undecided(), rates, _table.TestSettings("change", 0.25, 0.05, ()))
    np.testing.assert_allclose(table["proba_de"], [0.96, 0.99])
    np.testing.assert_allclose(table["lfdr"], [0.52, 0.02])
    assert table["is_de_fdr_0.05"].tolist() == [False, True]


def test_order_of_features(model):
    options = {"groupby": "group", "group1": "control", "group2": "treated", "silent": True}
    changed = {f"gene_{i}" for i in range(11)}
    for options_of, column in (({}, "information"), ({"order_by": "lfc_bound"}, "lfc_bound")):
        table = model.differential_expression(**options, **options_of)
        assert table[column].is_monotonic_decreasing
        # Genes that are lower in the first group are the last ones.
        assert set(table.index[-11:]) == changed
    by_evidence = model.differential_expression(order_by="bayes_factor", **options)
    assert by_evidence["bayes_factor"].is_monotonic_decreasing
    assert set(by_evidence.index[:11]) == changed


def test_information_is_the_divergence_between_the_counts_of_a_cell(model):
    table = compare(model)
    r = model.module.likelihood("counts").dispersion.detach().numpy()
    library = np.median(np.asarray(model.adata.X.sum(1)))
    larger = library * np.where(table["lfc_bound"] > 0, table["scale1"], table["scale2"])
    smaller = larger * 2.0 ** -table["lfc_bound"].abs()
    expected = larger * np.log(larger / smaller)
    expected -= (larger + r) * np.log((larger + r) / (smaller + r))
    np.testing.assert_allclose(
        table["information"], np.sign(table["lfc_bound"]) * expected, rtol=1e-3, atol=1e-6
    )
    # Of two genes with the same change, the one with more counts distinguishes better.
    changed = table.iloc[1:11]
    assert changed["information"].corr(changed["scale1"], method="spearman") > 0.9


def test_swapped_groups(model):
    forth = compare(model)
    back = model.differential_expression(
        groupby="group", group1="control", group2="treated", silent=True
    ).reindex(forth.index)
    np.testing.assert_allclose(forth["lfc_mean"], -back["lfc_mean"], atol=0.05)
    np.testing.assert_allclose(forth["lfc_bound"], -back["lfc_bound"], atol=0.09)
    np.testing.assert_allclose(forth["lfc_reference"], -back["lfc_reference"], atol=0.05)
    np.testing.assert_allclose(forth["information"], -back["information"], rtol=0.1, atol=0.01)


def test_several_modalities(bmmc_cite):
    MultiDGD.setup_mudata(bmmc_cite)
    model = MultiDGD(bmmc_cite, n_latent=5)
    model.train(max_epochs=2, **QUIET)
    options = {"groupby": "cell_type", "group1": "NK", "silent": True}
    both = model.differential_expression(modality=["prot", "rna"], **options)
    for name in ("rna", "prot"):
        one = model.differential_expression(modality=name, **options)
        part = both[both["modality"] == name].drop(columns="modality")
        assert part.equals(one)


@pytest.fixture(scope="module")
def bone_marrow(_read):
    bmmc_cite = _read("bmmc_cite.h5mu")
    scvi.settings.seed = 0
    MultiDGD.setup_mudata(bmmc_cite, batch_key="batch")
    model = MultiDGD(bmmc_cite)
    model.train(max_epochs=20, **QUIET)
    table = model.differential_expression(groupby="cell_type", silent=True)
    return dict(list(table.groupby("group1", observed=True)))


def test_haemoglobin_does_not_change_all_genes(bone_marrow):
    table = bone_marrow["Reticulocyte"]
    assert table.index[0] == "HBB"
    assert table["lfc_reference"].iloc[0] < -3
    assert abs(table["lfc_median"].median()) < 0.6
    called = table[table["is_de_fdr_0.05"]]
    assert 0.25 < (called["lfc_mean"] > 0).mean() < 0.75
    assert len(called) < 0.8 * len(table)


@pytest.mark.parametrize("name", ["cDC2", "T reg"])
def test_few_cells_have_few_discoveries(bone_marrow, name):
    table = bone_marrow[name]
    assert table["is_de_fdr_0.05"].mean() < 0.1
    assert abs(table["lfc_median"].median()) < 0.1


@pytest.mark.parametrize(
    ("name", "markers"),
    [
        ("CD14+ Mono", ["FCN1", "MNDA"]),
        ("NK", ["NKG7", "KLRD1"]),
        ("Naive CD20+ B IGKC+", ["BANK1"]),
    ],
)
def test_markers_are_among_the_first(bone_marrow, name, markers):
    assert set(markers) <= set(bone_marrow[name].index[:20])
