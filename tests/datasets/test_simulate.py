"""Simulated counts against their parameters."""

import mudata
import numpy as np
import pandas as pd
import pytest
from scipy import stats
from scipy.sparse import csr_matrix

from multiDGD._mudata import without_pulling
from multiDGD.datasets import simulate_multiome, simulate_wide
from multiDGD.datasets._negative_binomial import sample_negative_binomial


@pytest.fixture(scope="module")
def sim():
    return simulate_multiome(
        n_cells=2000,
        n_genes=60,
        n_peaks=150,
        n_types=4,
        n_batches=3,
        batch_effect=0.4,
        n_linked_peaks=2,
        rna_library_size=300.0,
        atac_library_size=200.0,
        library_sd=0.25,
        rna_inverse_dispersion=2.0,
        atac_inverse_dispersion=5.0,
        true_means=True,
        seed=3,
    )


class TestNegativeBinomial:
    @pytest.mark.parametrize(("mean", "r"), [(0.05, 0.5), (2.0, 2.0), (25.0, 8.0), (80.0, 3.0)])
    def test_distribution_function(self, mean, r):
        n = 40_000
        dense = np.full((200, n // 200), mean, dtype=np.float32)
        counts = sample_negative_binomial(dense, r, np.random.default_rng(0)).toarray().ravel()
        edges = np.unique(stats.nbinom.ppf(np.linspace(0, 0.999, 12), r, r / (r + mean)))
        observed = np.searchsorted(np.sort(counts), edges, side="right") / n
        expected = stats.nbinom.cdf(edges, r, r / (r + mean))
        # The Kolmogorov distance of 40,000 draws exceeds 0.01 once in a thousand times.
        np.testing.assert_allclose(observed, expected, atol=0.01)

    def test_mixed_means_in_one_matrix(self):
        mean = np.tile(np.array([0.1, 10.0, 1000.0], dtype=np.float32), (20_000, 1))
        counts = sample_negative_binomial(mean, 50.0, np.random.default_rng(0))
        np.testing.assert_allclose(np.asarray(counts.mean(axis=0)).ravel(), mean[0], rtol=0.04)
        assert counts.has_canonical_format
        assert (counts.data > 0).all()


class TestMoments:
    @pytest.mark.parametrize(("name", "r"), [("rna", 2.0), ("atac", 5.0)])
    def test_mean_and_dispersion(self, sim, name, r):
        counts = sim[name].X.toarray()
        mean = sim[name].layers["true_mean"]
        assert counts.sum() == pytest.approx(mean.sum(), rel=0.01)
        # E[(x - mu)^2 - x] = mu^2 / r for a negative binomial.
        excess = ((counts - mean) ** 2 - counts).sum()
        assert (mean.astype(np.float64) ** 2).sum() / excess == pytest.approx(r, rel=0.15)

    def test_library_sizes(self, sim):
        for name, median in (("rna", 300.0), ("atac", 200.0)):
            library = sim[name].obs["library_size"]
            np.testing.assert_allclose(sim[name].layers["true_mean"].sum(1), library, rtol=1e-4)
            assert np.median(library) == pytest.approx(median, rel=0.03)
            assert np.log(library).std() == pytest.approx(0.25, rel=0.06)

    def test_batch_effects(self, sim):
        effects = sim["atac"].varm["batch_effect"]
        np.testing.assert_allclose(effects.mean(axis=1), 0.0, atol=1e-6)
        assert effects.std() == pytest.approx(0.4, rel=0.1)

    def test_means_match_the_formula(self, sim):
        rna = sim["rna"]
        batch = sim.obs["batch"].cat.codes.to_numpy()
        logits = sim.obsm["X_true"] @ rna.varm["loadings"].T + rna.var["base"].to_numpy()
        y = np.exp(logits + rna.varm["batch_effect"].T[batch])
        y /= y.sum(axis=1, keepdims=True)
        mean = y * rna.obs["library_size"].to_numpy()[:, None]
        np.testing.assert_allclose(mean, rna.layers["true_mean"], rtol=1e-4)

    def test_latent_clusters(self, sim):
        latent = pd.DataFrame(sim.obsm["X_true"])
        by_type = latent.groupby(sim.obs["cell_type"].to_numpy(), observed=True)
        np.testing.assert_allclose(by_type.std(), 0.3, rtol=0.15)
        assert by_type.mean().std().mean() > 0.5


class TestLinks:
    def test_tables(self, sim):
        links = sim.uns["truth"]["links"]
        assert (links["gene"].value_counts() == 2).all()
        assert links["gene"].nunique() == 60
        assert links["peak"].is_unique
        genes, peaks = sim["rna"].var, sim["atac"].var
        assert (
            genes.loc[links["gene"], "chrom"].to_numpy() == peaks.loc[links["peak"], "chrom"]
        ).all()
        distance = peaks.loc[links["peak"], "start"].to_numpy() - genes.loc[links["gene"], "start"]
        assert (distance.to_numpy() == links["distance"]).all()
        assert links["distance"].abs().max() <= 50_000

    def test_counts_of_linked_peaks_correlate_with_their_genes(self, sim):
        links = sim.uns["truth"]["links"]
        rna, atac = (
            np.log1p(100 * sim[name].X.toarray() / sim[name].X.sum(1)) for name in ("rna", "atac")
        )
        correlation = np.corrcoef(np.asarray(rna).T, np.asarray(atac).T)[:60, 60:]
        gene = sim["rna"].var_names.get_indexer(links["gene"])
        peak = sim["atac"].var_names.get_indexer(links["peak"])
        linked = correlation[gene, peak]
        assert linked.mean() > np.abs(correlation).mean() + 3 * linked.std() / np.sqrt(len(linked))
        # Another pairing of the same genes and peaks has a lower correlation.
        assert linked.mean() > 4 * abs(correlation[gene, np.roll(peak, 7)].mean())

    def test_coordinates(self, sim):
        for name in ("rna", "atac"):
            var = sim[name].var
            assert var.index.is_unique
            assert (var["end"] > var["start"]).all()
            assert (var["start"] > 0).all()
        peaks = sim["atac"].var
        name = peaks["chrom"].astype(str) + ":" + peaks["start"].astype(str)
        assert (name + "-" + peaks["end"].astype(str) == peaks.index).all()
        for _, chromosome in peaks.groupby("chrom", observed=True):
            assert (chromosome["start"].to_numpy()[1:] >= chromosome["end"].to_numpy()[:-1]).all()


class TestReproducible:
    def test_seed_determines_the_data_without_global_generators(self):
        state = np.random.get_state()[1].copy()
        first, second = simulate_multiome(60, 20, 40), simulate_multiome(60, 20, 40)
        other = simulate_multiome(60, 20, 40, seed=1)
        assert (np.random.get_state()[1] == state).all()
        for name in ("rna", "atac"):
            assert (first[name].X != second[name].X).nnz == 0
            assert (first[name].X != other[name].X).nnz > 0
        pd.testing.assert_frame_equal(first.obs, second.obs)

    def test_more_peaks_do_not_change_cells_and_genes(self):
        small, large = simulate_multiome(60, 20, 40), simulate_multiome(60, 20, 90)
        assert (small["rna"].X != large["rna"].X).nnz == 0
        assert (small.obsm["X_true"] == large.obsm["X_true"]).all()

    def test_means_do_not_depend_on_the_block_size(self, monkeypatch):
        whole = simulate_multiome(60, 20, 40, true_means=True)
        monkeypatch.setattr("multiDGD.datasets._log_linear._CHUNK_ENTRIES", 100)
        blocks = simulate_multiome(60, 20, 40, true_means=True)
        for name in ("rna", "atac"):
            np.testing.assert_allclose(
                blocks[name].layers["true_mean"], whole[name].layers["true_mean"], rtol=1e-5
            )
            assert blocks[name].shape == whole[name].shape


def test_h5mu_round_trip(tmp_path):
    sim = simulate_multiome(60, 20, 40, true_means=True)
    with without_pulling():
        sim.write(tmp_path / "sim.h5mu")
        back = mudata.read_h5mu(tmp_path / "sim.h5mu")
    assert list(back.obs["cell_type"]) == list(sim.obs["cell_type"])
    assert (back.obsm["X_true"] == sim.obsm["X_true"]).all()
    assert back.uns["truth"]["links"].to_numpy().tolist() == (
        sim.uns["truth"]["links"].to_numpy().tolist()
    )
    assert back.uns["truth"]["parameters"] == sim.uns["truth"]["parameters"]
    assert isinstance(back["rna"].X, csr_matrix)
    assert back["rna"].X.dtype == np.float32
    assert (back["atac"].X != sim["atac"].X).nnz == 0


def test_every_type_and_batch_has_a_cell():
    sim = simulate_multiome(12, 20, 40, n_types=12, n_batches=12)
    assert (sim.obs["cell_type"].value_counts() == 1).all()
    assert (sim.obs["batch"].value_counts() == 1).all()


def test_one_batch_has_no_effect():
    sim = simulate_multiome(30, 20, 40, n_batches=1, batch_effect=3.0)
    assert (sim["rna"].varm["batch_effect"] == 0).all()


def test_wide_has_the_given_density():
    sim = simulate_wide(n_cells=200, n_genes=500, n_peaks=4000, density=0.05)
    for name in ("rna", "atac"):
        assert sim[name].X.nnz / np.prod(sim[name].shape) == pytest.approx(0.05, rel=0.05)


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"n_cells": 0}, "`n_cells` must be positive"),
        ({"n_peaks": 10}, "`n_linked_peaks` = 1"),
        ({"n_types": 31}, "`n_types` must not exceed the 30 cells"),
        ({"n_batches": 31}, "`n_batches` must not exceed"),
        ({"batch_effect": -0.1}, "`batch_effect` must be at least 0"),
        ({"library_sd": np.nan}, "`library_sd`"),
        ({"rna_inverse_dispersion": 0.0}, "`rna_inverse_dispersion` must be positive"),
        ({"density": 1.0}, "`density` must be below 1"),
        ({"density": 0.0}, "`density` must be positive"),
        ({"seed": -1}, "`seed`"),
    ],
)
def test_bad_values(arguments, match):
    with pytest.raises(ValueError, match=match):
        simulate_multiome(**{"n_cells": 30, "n_genes": 20, "n_peaks": 40, **arguments})


def test_numbers_of_features_must_be_integers():
    with pytest.raises(TypeError, match="`n_genes` must be an integer"):
        simulate_multiome(n_cells=30, n_genes=20.5, n_peaks=40)
