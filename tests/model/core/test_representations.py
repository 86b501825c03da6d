"""Trained representations of training cells and inferred representations of other cells."""

import mudata as md
import numpy as np
import pytest
from tests.model.fitting import fitted, renamed_mudata
from tests.toy import toy_mudata

from multiDGD.model.core._representations import as_positions


class TestTrainingCellsAreRecognised:
    @pytest.fixture
    def model(self):
        return fitted(toy_mudata(), batch_key="batch")

    @pytest.fixture
    def z(self, model):
        return model.get_latent_representation()

    def test_in_any_order(self, model, z):
        order = np.random.default_rng(0).permutation(40)
        permuted = model.adata[order].copy()
        np.testing.assert_array_equal(model.get_latent_representation(permuted), z[order])

    def test_in_a_view_and_a_subset(self, model, z):
        np.testing.assert_array_equal(model.get_latent_representation(model.adata[5:15]), z[5:15])
        np.testing.assert_array_equal(model.get_latent_representation(indices=[7, 2]), z[[7, 2]])
        mask = np.arange(40) > 30
        np.testing.assert_array_equal(model.get_latent_representation(indices=mask), z[mask])

    def test_among_other_cells(self, model, z):
        other = renamed_mudata(toy_mudata(), "new")
        both = md.concat([other, model.adata.copy()])
        both.obs["batch"] = [*other.obs["batch"], *model.adata.obs["batch"]]
        np.testing.assert_array_equal(model.get_latent_representation(both)[40:], z)

    def test_other_counts_under_the_same_names_are_not_recognised(self, model, z):
        other = toy_mudata()
        for part in other.mod.values():
            part.X = part.X[::-1].copy()
        inferred = model.get_latent_representation(other)
        trained = model.train_indices_
        assert (np.abs(inferred - z).max(1)[trained] > 1e-6).all()

    def test_same_counts_under_other_names_are_embedded(self, model):
        z = model.get_latent_representation(renamed_mudata(model.adata, "new"))
        assert np.isfinite(z).all()


def test_inferred_representations_are_cached(monkeypatch):
    model = fitted(toy_mudata(), batch_key="batch")
    query = renamed_mudata(model.adata, "new")
    some = model.get_latent_representation(query, indices=[3, 5])
    all_cells = model.get_latent_representation(query)
    np.testing.assert_array_equal(all_cells[[3, 5]], some)
    monkeypatch.setattr("multiDGD.model.core._representations.infer_representations", None)
    model.get_normalized_expression(query)
    model.get_cluster_assignments(query)


def test_a_single_cell_is_embedded():
    model = fitted(toy_mudata(), batch_key="batch")
    one = renamed_mudata(model.adata[3:4].copy(), "new")
    assert model.get_latent_representation(one).shape == (1, 3)


def test_unknown_batch_raises():
    model = fitted(toy_mudata(), batch_key="batch")
    query = renamed_mudata(model.adata, "new")
    query.obs["batch"] = "b9"
    with pytest.raises(ValueError, match="b9"):
        model.get_latent_representation(query)


@pytest.mark.parametrize("indices", [[0.5], ["cell1"], [40], np.ones(7, bool)])
def test_invalid_indices_raise(indices):
    model = fitted(toy_mudata())
    with pytest.raises(ValueError, match="`indices`"):
        model.get_latent_representation(indices=indices)


@pytest.mark.parametrize("indices", [True, 3, [[0], [1, 2]], [[]], np.ones((40, 2), dtype=bool)])
def test_indices_of_other_shapes_raise(indices):
    with pytest.raises(ValueError, match="`indices` must be a list of integers or a mask"):
        as_positions(indices, 40)
