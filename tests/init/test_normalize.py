"""Normalisations against their formulas, and their automatic choice."""

import numpy as np
import pytest
import scipy.sparse as sp

from multiDGD.init import NORMALIZATIONS, choose_normalization


@pytest.fixture
def counts() -> sp.csr_matrix:
    x = np.random.default_rng(0).poisson(0.7, (30, 40)).astype(np.float64)
    x[3] = 0
    return sp.csr_matrix(x)


def test_log_matches_its_formula(counts):
    x = counts.toarray()
    n = x.sum(1, keepdims=True)
    expected = np.log1p(np.median(n[n > 0]) * x / np.where(n > 0, n, 1))
    got = NORMALIZATIONS["log"](counts, np.ones(30, bool))
    np.testing.assert_allclose(got.toarray(), expected, rtol=1e-5)


def test_log_sizes_exclude_a_dominant_feature(counts):
    x = counts.toarray()
    x[:, 0] = np.random.default_rng(1).poisson(500, 30)
    got = NORMALIZATIONS["log"](sp.csr_matrix(x), np.ones(30, bool)).toarray()
    n = x[:, 1:].sum(1)
    n = np.where(n > 0, n, x.sum(1))
    expected = np.log1p(np.median(n) * x / n[:, None])
    np.testing.assert_allclose(got, expected, rtol=1e-5)


def test_tfidf_matches_its_formula(counts):
    x = counts.toarray()
    n = np.maximum(x.sum(1, keepdims=True), 1)
    idf = np.log1p(29 / np.maximum((x > 0).sum(0), 1))
    got = NORMALIZATIONS["tfidf"](counts, np.ones(30, bool))
    np.testing.assert_allclose(got.toarray(), np.log1p(1e4 * x / n * idf), rtol=1e-5)


def test_clr_matches_its_formula(counts):
    x = counts.toarray()
    expected = np.log1p(x / np.exp(np.log1p(x).mean(1, keepdims=True)))
    got = NORMALIZATIONS["clr"](counts, np.ones(30, bool))
    np.testing.assert_allclose(got.toarray(), expected, rtol=1e-5)


@pytest.mark.parametrize("kind", sorted(NORMALIZATIONS))
def test_result_is_sparse_float32_and_input_is_unchanged(counts, kind):
    before = counts.copy()
    got = NORMALIZATIONS[kind](counts, np.ones(30, bool))
    assert got.dtype == np.float32
    assert got.nnz <= counts.nnz
    assert (counts != before).nnz == 0


@pytest.mark.parametrize("kind", ["log", "tfidf"])
def test_invariance_to_library_size(counts, kind):
    fit = np.zeros(30, bool)
    fit[10:] = True
    factor = np.where(fit, 1.0, 2.0)
    twice = sp.csr_matrix(sp.diags(factor) @ counts)
    got = NORMALIZATIONS[kind](twice, fit).toarray()
    np.testing.assert_allclose(got, NORMALIZATIONS[kind](counts, fit).toarray(), rtol=1e-5)


@pytest.mark.parametrize("name", ["chr1-10-20", "chr1:10-20", "chrX_10_20", "GL000194.1:5-90"])
def test_coordinates_select_tfidf(counts, name):
    assert choose_normalization(counts, [name] * 40) == "tfidf"


def test_choices_from_counts(counts):
    rng = np.random.default_rng(0)
    assert choose_normalization(counts, ["HLA-A", "MT-CO1", "AC012-1.2"]) == "log"
    assert choose_normalization(sp.csr_matrix(rng.poisson(20, (50, 15)))) == "clr"
    even = sp.random(200, 3000, 0.02, format="csr", random_state=0)
    even.data[:] = 1
    assert choose_normalization(even) == "tfidf"
    skewed = sp.csr_matrix(rng.poisson(rng.gamma(0.02, 5.0, 3000), (200, 3000)))
    assert choose_normalization(skewed) == "log"


def test_density_excludes_unmeasured_cells():
    x = sp.csr_matrix(np.vstack([np.ones((10, 5)), np.zeros((90, 5))]))
    assert choose_normalization(x, list("abcde")) == "clr"
