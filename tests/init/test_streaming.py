"""The spectral initialisation of counts that are read in blocks."""

import numpy as np
import pytest
import scipy.sparse as sp

from multiDGD.init import (
    NORMALIZATIONS,
    CountBlocks,
    _krylov,
    _modality_scores,
    _normalize,
    _streamed_scores,
    choose_normalization,
    spectral_embedding,
)


def in_blocks(x, size=70):
    return CountBlocks(x.shape, lambda: (x[i : i + size] for i in range(0, x.shape[0], size)))


def relative_difference(found, expected):
    """Largest difference of an axis relative to its norm, up to its sign."""
    signs = np.sign((found * expected).sum(0))
    return (
        np.linalg.norm(found * signs - expected, axis=0) / np.linalg.norm(expected, axis=0)
    ).max()


@pytest.mark.parametrize("max_gram", [100, 1000])
def test_streamed_embedding_is_that_of_matrices(simulate, monkeypatch, max_gram):
    monkeypatch.setattr(_streamed_scores, "_MAX_GRAM", max_gram)
    monkeypatch.setattr(_krylov, "_BLOCK", 16)
    counts, _ = simulate(400, n_rna=500)
    fit = np.random.default_rng(0).random(400) < 0.9
    codes = np.arange(400) % 2
    rna = counts["rna"].tolil()
    rna[np.flatnonzero(~fit)[0], 5] = 3
    rna[fit, 5] = 0  # seen in other cells only
    rna[:40] = 0  # not measured
    counts["rna"] = rna.tocsr()
    arguments = {"n_latent": 8, "fit_cells": fit, "covariates": [codes]}
    expected = spectral_embedding(counts, **arguments)
    found = spectral_embedding({m: in_blocks(x) for m, x in counts.items()}, **arguments)
    assert relative_difference(found, expected) < 1e-3


@pytest.mark.parametrize("kind", sorted(NORMALIZATIONS))
def test_normalisations_of_blocks(kind):
    rng = np.random.default_rng(0)
    mean = rng.gamma(0.5, 1.0, 30)
    mean[3] = 20  # dominant
    x = sp.csr_matrix(rng.poisson(mean, (100, 30)).astype(np.float32))
    fit = rng.random(100) < 0.8
    blocks = in_blocks(x, 40)
    found = sp.vstack(list(blocks.map(_normalize.FITS[kind](blocks, fit))))
    expected = NORMALIZATIONS[kind](x, fit)
    np.testing.assert_allclose(found.toarray(), expected.toarray(), rtol=1e-6)


@pytest.mark.parametrize("shape", [(1, 10), (2, 3), (5, 200), (40, 1), (3, 1)])
@pytest.mark.parametrize("max_gram", [0, 1000])
def test_small_shapes(shape, max_gram, monkeypatch):
    monkeypatch.setattr(_streamed_scores, "_MAX_GRAM", max_gram)
    x = sp.csr_matrix(np.random.default_rng(0).poisson(2.0, shape))
    z = spectral_embedding({"a": in_blocks(x, 2)}, n_latent=20)
    assert z.shape == (shape[0], 20)
    assert np.isfinite(z).all()


@pytest.mark.parametrize("rank", [2, 60])
def test_axes_agree_with_numpy(rank):
    rng = np.random.default_rng(0)
    x = (rng.normal(size=(300, rank)) * 0.8 ** np.arange(rank)) @ rng.normal(size=(rank, 200))
    mean, weight = x.mean(0), rng.random(200)
    n = min(rank, 10)
    expected = np.linalg.svd((x - mean) * weight)[2][:n].T
    rows = sp.csr_matrix(x.astype(np.float32))
    axes = _krylov.krylov_axes(lambda: iter([rows[:90], rows[90:]]), mean, weight, 10, 0)
    np.testing.assert_allclose(axes.T @ axes, np.eye(10), atol=1e-4)
    np.testing.assert_allclose(np.abs((axes[:, :n] * expected).sum(0)), 1, atol=1e-5)


def test_choice_of_the_normalisation():
    rng = np.random.default_rng(0)
    protein = sp.csr_matrix(rng.poisson(20, (50, 15)))
    even = sp.random(200, 3000, 0.02, format="csr", random_state=0)
    even.data[:] = 1
    skewed = sp.csr_matrix(rng.poisson(rng.gamma(0.02, 5.0, 3000), (200, 3000)))
    for x in (protein, even, skewed):
        assert choose_normalization(in_blocks(x)) == choose_normalization(x)


def test_stored_zeros_and_repeated_entries_have_no_effect():
    x = sp.csr_matrix(np.random.default_rng(0).poisson(1.0, (60, 20)).astype(np.float32))
    repeated = sp.csr_matrix(
        (np.repeat(x.data / 2, 2), np.repeat(x.indices, 2), 2 * x.indptr), x.shape
    )
    expected = spectral_embedding({"a": x}, n_latent=3)
    found = spectral_embedding({"a": in_blocks(repeated)}, n_latent=3)
    assert relative_difference(found, expected) < 1e-3


def test_added_normalisations_raise(simulate, monkeypatch):
    monkeypatch.setitem(NORMALIZATIONS, "own", NORMALIZATIONS["log"])
    rna = simulate()[0]["rna"]
    spectral_embedding({"rna": rna}, n_latent=2, normalization="own")
    with pytest.raises(ValueError, match=r"`normalization` of 'rna' must be one of auto, clr"):
        spectral_embedding({"rna": in_blocks(rna)}, n_latent=2, normalization="own")


def test_scores_of_each_modality_are_those_of_matrices(simulate):
    counts, _ = simulate(500, n_rna=300)
    for x, kind in ((counts["rna"], "log"), (counts["rna"], "tfidf"), (counts["prot"], "clr")):
        fit = np.arange(500) < 450
        expected, present = _modality_scores.modality_scores(x, kind, fit)
        found, also = _streamed_scores.streamed_scores(in_blocks(x), kind, fit)
        np.testing.assert_array_equal(present, also)
        assert relative_difference(found, expected) < 1e-3
