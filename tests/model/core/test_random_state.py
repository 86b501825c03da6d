"""Global random generators: no call moves them, and with a seed no call reads them."""

import numpy as np
import pytest
import scvi
import torch
from tests.model.fitting import TRAIN, fitted, renamed_mudata
from tests.model.questions import QUESTIONS
from tests.toy import toy_mudata

from multiDGD import MultiDGD

SETUP = {"batch_key": "batch", "labels_key": "label"}


def global_state():
    _, key, position, has_gauss, cached = np.random.get_state()
    return torch.random.get_rng_state().tolist(), key.tolist(), position, has_gauss, cached


def stir(seed):
    """Change the states of the global generators but not the seed of scvi-tools."""
    torch.manual_seed(seed)
    np.random.seed(seed)


@pytest.fixture(scope="module")
def model():
    scvi.settings.seed = 0
    return fitted(toy_mudata(60), **SETUP)


@pytest.fixture(scope="module")
def query(model):
    return renamed_mudata(model.adata, "new")


@pytest.mark.parametrize("name", QUESTIONS)
@pytest.mark.parametrize("seed", [0, None])
def test_questions(model, query, name, seed, monkeypatch):
    monkeypatch.setattr(scvi.settings, "_seed", seed)
    ask = QUESTIONS[name]
    answers = []
    for state in (1, 2):
        stir(state)
        before = global_state()
        answers.append(ask(model, query if state == 1 else query.copy()))
        assert global_state() == before
    if seed is not None:
        for one, other in zip(*map(np.asarray, answers), strict=True):
            assert (one == other).all()


def test_training_mapping_and_files(tmp_path):
    states, representations = [], []
    for state in (1, 2):
        stir(state)
        mdata = toy_mudata(60)
        before = global_state()
        MultiDGD.setup_mudata(mdata, **SETUP)
        model = MultiDGD(mdata, n_latent=3)
        model.train(**TRAIN)
        model.save(tmp_path / "model", overwrite=True)
        loaded = MultiDGD.load(tmp_path / "model", adata=mdata)
        query = renamed_mudata(mdata, "new")
        query.obs["batch"] = "unseen"
        mapped = MultiDGD.load_query_data(query, loaded)
        mapped.train(max_epochs=3)
        states.append(global_state() == before)
        representations.append(mapped.get_latent_representation())
        representations.append(model.get_latent_representation())
    assert all(states)
    np.testing.assert_array_equal(representations[0], representations[2])
    np.testing.assert_array_equal(representations[1], representations[3])


def test_without_a_seed_draws_differ(model, monkeypatch):
    monkeypatch.setattr(scvi.settings, "_seed", None)
    torch.manual_seed(0)
    one, other = (model.sample(50)["rna"].X.toarray() for _ in range(2))
    assert (one != other).any()
