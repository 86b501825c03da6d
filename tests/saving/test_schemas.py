"""Small saves of every schema, which must load for ever."""

import json

import numpy as np
import pytest
from scipy.stats import spearmanr
from tests.saves.make import HERE, PREFIXES, results

from multiDGD import MultiDGD
from multiDGD.saving._manifest import SCHEMA

FOLDERS = sorted(HERE.glob("schema_*/*data"))


def test_every_schema_has_saves():
    found = {(folder.parent.name, folder.name) for folder in FOLDERS}
    assert found == {(f"schema_{n}", name) for n in range(SCHEMA + 1) for name in PREFIXES}


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda f: f"{f.parent.name}-{f.name}")
def test_numbers_are_the_same(folder):
    model = MultiDGD.load(folder, prefix=PREFIXES[folder.name], accelerator="cpu")
    assert model.is_trained_
    assert len(model.history_) > 5
    expected = json.loads((folder / "expected.json").read_text())
    found = results(model)
    assert set(found) == set(expected)
    # The former typicality was an estimate from random draws.
    typicality, former = found.pop("typicality"), expected.pop("typicality")
    assert spearmanr(typicality, former).statistic > 0.7
    assert abs(np.mean(typicality) - np.mean(former)) < 0.1
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, rtol=0.02, atol=0.01, err_msg=name)
    exact = np.round(expected["representation"], 5)
    np.testing.assert_allclose(model.get_latent_representation(), exact, atol=1e-5)
