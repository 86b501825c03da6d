"""Spectral initialisation: recovery of types, invariances, mosaics and edge cases."""

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.spatial.distance import pdist
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score
from sklearn.neighbors import KNeighborsClassifier

from multiDGD.init import _modality_scores, spectral_embedding


def _agreement(z, types):
    labels = KMeans(len(np.unique(types)), n_init=5, random_state=0).fit_predict(z)
    return adjusted_rand_score(types, labels)


def test_shape_scale_and_types(simulate):
    counts, types = simulate()
    z = spectral_embedding(counts, n_latent=10)
    assert z.shape == (300, 10)
    assert z.dtype == np.float32
    np.testing.assert_allclose((z**2).mean(), 1, rtol=1e-4)
    np.testing.assert_allclose(z.mean(0), 0, atol=1e-4)
    assert _agreement(z, types) > 0.98


def test_deterministic(simulate):
    counts, _ = simulate()
    codes = [np.arange(300) % 3]
    first = spectral_embedding(counts, n_latent=8, covariates=codes, seed=3)
    np.testing.assert_array_equal(
        first, spectral_embedding(counts, n_latent=8, covariates=codes, seed=3)
    )


@pytest.mark.parametrize("with_covariate", [False, True])
@pytest.mark.parametrize("lanczos", [False, True])
def test_invariance_to_the_order_of_cells_features_and_modalities(
    simulate, monkeypatch, lanczos, with_covariate
):
    if lanczos:
        monkeypatch.setattr(_modality_scores, "_MAX_GRAM", 0)
        monkeypatch.setattr(_modality_scores, "N_SCORES", 6)
    counts, _ = simulate()
    rng = np.random.default_rng(1)
    cells, genes = rng.permutation(300), rng.permutation(120)
    codes = np.arange(300) % 2
    other = {"prot": counts["prot"][cells], "rna": counts["rna"][cells][:, genes]}
    a = spectral_embedding(counts, n_latent=6, covariates=[codes] * with_covariate)
    b = spectral_embedding(other, n_latent=6, covariates=[codes[cells]] * with_covariate)
    np.testing.assert_allclose(pdist(a[cells]), pdist(b), rtol=0.02, atol=0.02)


def test_both_decompositions_agree_with_numpy():
    rng = np.random.default_rng(0)
    dense = rng.poisson(rng.gamma(1, 1, (150, 5)) @ rng.gamma(1, 1, (5, 200))).astype(np.float64)
    mean, weight = dense.mean(0), rng.random(200)
    expected = np.linalg.svd((dense - mean) * weight)[2][:5].T
    rows = sp.csr_matrix(dense.astype(np.float32))
    for axes in (
        _modality_scores._gram_axes(rows, mean, weight, 5),
        _modality_scores._lanczos_axes(rows, mean, weight, 5, 0),
    ):
        np.testing.assert_allclose(np.abs((axes * expected).sum(0)), 1, atol=1e-3)


def test_tall_gram_in_slices_agrees_with_numpy(monkeypatch):
    monkeypatch.setattr(_modality_scores, "_SLICE_ENTRIES", 700)
    dense = np.random.default_rng(0).poisson(2.0, (200, 12)).astype(np.float32)
    mean, weight = dense.mean(0).astype(np.float64), np.ones(12)
    expected = np.linalg.svd(dense - mean)[2][:3].T
    axes = _modality_scores._gram_axes(sp.csr_matrix(dense), mean, weight, 3)
    np.testing.assert_allclose(np.abs((axes * expected).sum(0)), 1, atol=1e-4)


def test_axes_do_not_follow_library_size():
    rng = np.random.default_rng(0)
    sizes = rng.lognormal(4, 1.0, 400)
    profile = rng.dirichlet(np.ones(200))
    counts = {
        "rna": sp.csr_matrix(rng.poisson(sizes[:, None] * profile)),
        "atac": sp.csr_matrix(rng.poisson(sizes[:, None] * profile[::-1])),
    }
    z = spectral_embedding(counts, n_latent=10, normalization={"atac": "tfidf"})
    correlation = [abs(np.corrcoef(axis, np.log(sizes))[0, 1]) for axis in z.T]
    assert max(correlation) < 0.75


def test_cells_outside_the_fit_are_projected(simulate):
    counts, types = simulate(400)
    fit = np.arange(400) < 300
    z = spectral_embedding(counts, n_latent=6, fit_cells=fit)
    changed = {name: x.copy() for name, x in counts.items()}
    for x in changed.values():
        x.data[x.indptr[350] :] += 3
    again = spectral_embedding(changed, n_latent=6, fit_cells=fit)
    np.testing.assert_allclose(z[:350], again[:350], atol=1e-5)
    guess = KNeighborsClassifier(5).fit(z[fit], types[fit]).predict(z[~fit])
    assert (guess == types[~fit]).mean() > 0.98


def test_covariate_with_unequal_composition_is_removed():
    rng = np.random.default_rng(0)
    batch = np.repeat([0, 1], 300)
    types = np.where(batch == 0, rng.integers(0, 4, 600), rng.integers(2, 6, 600))
    log_mean = rng.normal(0, 1, (6, 150))[types] + rng.normal(0, 0.8, (2, 150))[batch]
    counts = {"rna": sp.csr_matrix(rng.poisson(np.exp(log_mean)))}
    before = spectral_embedding(counts, n_latent=10)
    after = spectral_embedding(counts, n_latent=10, covariates=[batch])
    shared = np.isin(types, [2, 3])

    def across(z):
        training = batch == 0
        knn = KNeighborsClassifier(5).fit(z[training & shared], types[training & shared])
        return (knn.predict(z[~training & shared]) == types[~training & shared]).mean()

    assert across(after) > 0.98
    assert _agreement(after, types) > max(0.95, _agreement(before, types))


def test_covariate_without_effect_preserves_types(simulate):
    counts, types = simulate(500, n_types=5)
    codes = np.random.default_rng(0).integers(0, 4, 500)
    z = spectral_embedding(counts, n_latent=8, covariates=[codes, np.full(500, -1)])
    assert _agreement(z, types) > 0.98


def _without(x, cells):
    keep = np.ones(x.shape[0])
    keep[cells] = 0
    return sp.csr_matrix(sp.diags(keep) @ x)


def test_cells_of_one_type_are_integrated_across_modalities(simulate):
    counts, types = simulate(600)
    only_rna, only_prot = np.arange(0, 150), np.arange(150, 300)
    counts["prot"] = _without(counts["prot"], only_rna)
    counts["rna"] = _without(counts["rna"], only_prot)
    z = spectral_embedding(counts, n_latent=8)
    knn = KNeighborsClassifier(5)
    assert (
        knn.fit(z[only_rna], types[only_rna]).predict(z[only_prot]) == types[only_prot]
    ).mean() > 0.95
    assert _agreement(z, types) > 0.95


def test_modalities_are_linked_by_a_third_one(simulate):
    counts, types = simulate(600)
    rng = np.random.default_rng(2)
    other = rng.gamma(0.5, 2.0, (4, 80))
    counts["third"] = _without(sp.csr_matrix(rng.poisson(other[types])), np.arange(300))
    counts["prot"] = _without(counts["prot"], np.arange(300, 600))
    z = spectral_embedding(counts, n_latent=8)  # no cell has both prot and third
    assert np.isfinite(z).all()
    assert _agreement(z, types) > 0.95


def test_no_cell_with_both_modalities(simulate):
    counts, _ = simulate(200)
    counts["prot"] = _without(counts["prot"], np.arange(100))
    counts["rna"] = _without(counts["rna"], np.arange(100, 200))
    z = spectral_embedding(counts, n_latent=8)
    assert np.isfinite(z).all()
    assert (z.std(0) > 0).all()


@pytest.mark.parametrize("shape", [(1, 10), (2, 3), (5, 200), (40, 1), (40, 2), (3, 1)])
@pytest.mark.parametrize("kind", ["auto", "log", "tfidf", "clr"])
def test_small_shapes(shape, kind):
    x = sp.csr_matrix(np.random.default_rng(0).poisson(2.0, shape))
    z = spectral_embedding(
        {"a": x}, n_latent=20, covariates=[np.zeros(shape[0], int)], normalization=kind
    )
    assert z.shape == (shape[0], 20)
    assert np.isfinite(z).all()


def test_empty_features_cells_and_modality(simulate):
    counts, types = simulate()
    rna = counts["rna"].toarray()
    rna[:, :10] = 0
    rna[7] = 0
    rna[8] = 1
    counts = {
        "rna": sp.csr_matrix(rna),
        "prot": _without(counts["prot"], [7]),
        "nothing": sp.csr_matrix((300, 5)),
        "no_features": sp.csr_matrix((300, 0)),
        "one": sp.csr_matrix(np.random.default_rng(0).poisson(3.0, (300, 1))),
    }
    z = spectral_embedding(counts, n_latent=8)
    assert np.isfinite(z).all()
    assert _agreement(z, types) > 0.9


def test_identical_cells():
    z = spectral_embedding({"a": sp.csr_matrix(np.ones((20, 8)))}, n_latent=4)
    assert np.isfinite(z).all()


def test_stored_zeros_have_no_effect_and_input_is_unchanged(simulate):
    counts, _ = simulate()
    padded = {name: x.copy() for name, x in counts.items()}
    padded["rna"].data[::7] = 0
    before = padded["rna"].copy()
    clean = {name: x.copy() for name, x in padded.items()}
    clean["rna"].eliminate_zeros()
    a = spectral_embedding(padded, n_latent=5)
    np.testing.assert_allclose(a, spectral_embedding(clean, n_latent=5), atol=1e-5)
    np.testing.assert_array_equal(padded["rna"].data, before.data)


def test_errors(simulate):
    counts, _ = simulate()
    with pytest.raises(ValueError, match="normalization"):
        spectral_embedding(counts, n_latent=5, normalization="nope")
    with pytest.raises(ValueError, match="fit_cells"):
        spectral_embedding(counts, n_latent=5, fit_cells=np.zeros(300, bool))
    with pytest.raises(ValueError, match="counts"):
        spectral_embedding({}, n_latent=5)
    with pytest.raises(ValueError, match="same number"):
        spectral_embedding({"a": counts["rna"], "b": counts["prot"][:10]}, n_latent=5)


def test_signs_of_axes_are_deterministic():
    axes = np.random.default_rng(0).normal(size=(9, 4))
    found = _modality_scores.with_signs(axes * [1, -1, -1, 1])
    np.testing.assert_array_equal(found, _modality_scores.with_signs(axes))
    np.testing.assert_array_equal(np.abs(found), np.abs(axes))
    assert (found.max(axis=0) == np.abs(axes).max(axis=0)).all()
