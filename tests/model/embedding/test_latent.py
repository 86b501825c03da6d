"""Covariate representations, and posterior probabilities of components and labels."""

import numpy as np
import pytest
from tests.model.fitting import fitted
from tests.toy import toy_mudata


def test_covariate_representations():
    model = fitted(
        toy_mudata(),
        batch_key="batch",
        categorical_covariate_keys=["site"],
        continuous_covariate_keys=["age"],
    )
    u = model.get_covariate_representation("site", indices=[4, 9])
    assert u.shape == (2, 2)
    with pytest.raises(ValueError, match=r"`key`.*\['batch', 'site'\]"):
        model.get_covariate_representation()
    with pytest.raises(ValueError, match="`key`.*'donor'"):
        model.get_covariate_representation("donor")


def test_soft_assignments_and_labels():
    model = fitted(toy_mudata(), model={"n_components_per_class": 2}, labels_key="label")
    soft = model.get_cluster_assignments(soft=True)
    assert soft.shape == (40, 6)
    assert list(soft.index) == list(model.adata.obs_names)
    assert list(soft.columns) == list(range(6))
    np.testing.assert_allclose(soft.sum(axis=1), 1, rtol=1e-5)
    np.testing.assert_array_equal(soft.idxmax(axis=1), model.get_cluster_assignments())
    table = model.predict(soft=True)
    assert list(table.columns) == ["A", "B", "C"]
    np.testing.assert_allclose(table.sum(axis=1), 1, rtol=1e-5)
    np.testing.assert_array_equal(
        model.predict(), table.columns.to_numpy()[table.to_numpy().argmax(1)]
    )
