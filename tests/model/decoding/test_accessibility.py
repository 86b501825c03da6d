"""Probabilities that regions are open."""

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import issparse
from tests.model.fitting import fitted
from tests.toy import toy_adata, toy_mudata


@pytest.fixture(scope="module")
def model():
    return fitted(toy_mudata(names=("atac", "rna")), batch_key="batch")


def test_peaks_are_found_by_the_name_of_the_modality(model):
    found = model.get_accessibility_estimates()
    assert list(found.columns) == [f"atac{j}" for j in range(12)]


def test_peaks_are_found_by_their_names():
    adata = toy_adata()
    adata.var_names = [f"chr1:{100 * j}-{100 * j + 50}" for j in range(adata.n_vars)]
    assert fitted(adata).get_accessibility_estimates().shape == adata.shape


@pytest.mark.parametrize("method", ["get_accessibility_estimates", "get_normalized_accessibility"])
def test_without_peaks_raises(method):
    model = fitted(toy_mudata(names=("rna", "prot")))
    with pytest.raises(
        ValueError,
        match=r"`modality` must be given, because no modality consists of peaks.*\['rna', 'prot'\]",
    ):
        getattr(model, method)()
    # A modality that is named is the user's choice.
    assert getattr(model, method)(modality="prot").shape == (40, 15)


class TestNormalizedAccessibility:
    def test_equals_the_estimates(self, model):
        for given in ({}, {"region_list": ["atac3", "atac1"], "indices": [4, 2]}):
            pd.testing.assert_frame_equal(
                model.get_normalized_accessibility(**given),
                model.get_accessibility_estimates(**given),
            )
        np.testing.assert_array_equal(
            model.get_normalized_accessibility(normalize_cells=True, return_numpy=True),
            model.get_accessibility_estimates(library_size="latent", return_numpy=True),
        )

    def test_values_below_the_threshold_are_zero(self, model):
        dense = model.get_normalized_accessibility(return_numpy=True)
        threshold = float(np.median(dense))
        expected = np.where(dense < threshold, 0, dense)
        sparse = model.get_normalized_accessibility(threshold=threshold, return_numpy=True)
        assert issparse(sparse) and sparse.nnz == (expected > 0).sum()
        np.testing.assert_array_equal(sparse.toarray(), expected)
        table = model.get_normalized_accessibility(threshold=threshold)
        assert (table.dtypes == pd.SparseDtype(np.float32, 0)).all()
        np.testing.assert_array_equal(table.to_numpy(), expected)
        with pytest.raises(ValueError, match="`threshold` must be between 0 and 1, found 2"):
            model.get_normalized_accessibility(threshold=2)

    def test_draws(self, model):
        one = model.get_normalized_accessibility(use_z_mean=False, return_numpy=True)
        assert np.abs(one - model.get_normalized_accessibility(return_numpy=True)).max() > 1e-4
        drawn = model.get_normalized_accessibility(n_samples_overall=60)
        assert len(drawn) == 60 and set(drawn.index) <= set(model.adata.obs_names)
