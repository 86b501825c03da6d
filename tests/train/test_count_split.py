"""Count splitting of validation cells as a criterion of early stopping."""

import mudata as md
import numpy as np
import pytest
import scvi
import torch
from lightning.pytorch.callbacks import Callback
from tests.model.fitting import fitted
from tests.toy import toy_mudata

from multiDGD.inference import infer_representations
from multiDGD.stats import ProfileScores
from multiDGD.train import CountSplitValidation

SPLIT = {"plan_kwargs": {"split_validation_counts": True}}
METRIC = "count_split_validation"


def scores_of(model, name=METRIC):
    return model.history[name].iloc[:, 0].to_numpy(float)


def unequal_toy(n_cells=60):
    """A toy with library sizes from 1 count to hundreds."""
    mdata = toy_mudata(n_cells)
    factor = np.random.default_rng(0).integers(0, 9, (n_cells, 1))
    for part in mdata.mod.values():
        part.X = part.X.multiply(factor).tocsr().astype(np.float32)
        part.X[:, 0] = 1
    return mdata


class Recorder(Callback):
    """Scores computed from their definition, for the module at the end of each validation."""

    def __init__(self, mdata):
        self.mdata, self.found = mdata, []

    def on_validation_end(self, trainer, plan):
        split, splitter = plan.count_split, trainer.datamodule
        w = infer_representations(plan.module, split._seen)
        with torch.no_grad():
            logits = plan.module.generative(w, torch.zeros(len(w), 0))["logits"]
        found = {}
        for m, part in self.mdata.mod.items():
            x = part.X.toarray()
            average = x[splitter.train_idx].sum(0) + 1e-3
            seen, whole = split._seen[0]["counts"][m], x[splitter.val_idx]
            half = seen.to_dense().numpy()
            assert (half <= whole).all()
            np.testing.assert_array_equal(seen.library, half.sum(1))
            scores = ProfileScores(average / average.sum())
            profile = logits[m].softmax(1).numpy()
            n = len(half)
            scores.add(whole - half, profile, profile, half.sum(1) > 0, np.zeros(n))
            found[m] = np.nanmean(scores.cells()["decoded"])
        self.found.append(found)


def test_scores_equal_their_definition():
    mdata = unequal_toy()
    before = {m: part.X.copy() for m, part in mdata.mod.items()}
    recorder = Recorder(mdata)
    options = {"max_epochs": 3, "train_size": 0.6, "batch_size": 16, "callbacks": [recorder]}
    model = fitted(mdata, train={**SPLIT, **options}, batch_key="batch")
    for m in mdata.mod:
        expected = [found[m] for found in recorder.found]
        found = scores_of(model, f"count_split_{m}_validation")
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-5)
        assert (mdata[m].X != before[m]).nnz == 0
    mean = [np.mean(list(found.values())) for found in recorder.found]
    np.testing.assert_allclose(scores_of(model), mean, rtol=1e-3, atol=1e-5)
    assert len(mean) == 3 and len(set(mean)) == 3


def test_the_model_is_the_same_with_and_without():
    states = []
    for options in ({}, SPLIT):
        scvi.settings.seed = 0
        model = fitted(toy_mudata(), train={"max_epochs": 4, **options}, batch_key="batch")
        states.append(model.module.state_dict())
        assert (METRIC in model.history) == (options == SPLIT)
        np.testing.assert_array_equal(
            model.get_latent_representation(), states[-1]["representations.z"][:, :3].numpy()
        )
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


@pytest.mark.parametrize(
    ("chosen", "monitor", "mode"),
    [
        ({}, METRIC, "max"),
        (
            {"early_stopping_monitor": "count_split_atac_validation"},
            "count_split_atac_validation",
            "max",
        ),
        ({"early_stopping_monitor": "validation_loss"}, "validation_loss", "min"),
        ({"early_stopping_monitor": METRIC, "early_stopping_mode": "min"}, METRIC, "min"),
    ],
)
def test_what_early_stopping_monitors(chosen, monitor, mode):
    rates = dict.fromkeys(("lr", "lr_representation", "lr_mixture", "lr_likelihood"), 0.0)
    plan_kwargs = {**SPLIT["plan_kwargs"], **rates}
    options = {"max_epochs": 30, "early_stopping_patience": 3, "plan_kwargs": plan_kwargs}
    model = fitted(toy_mudata(), train={**options, **chosen})
    stopping = model.trainer.early_stopping_callback
    assert (stopping.monitor, stopping.mode) == (monitor, mode)
    # With learning rates of 0, neither the loss nor the score improves.
    assert len(model.history["train_loss"]) == 4


def test_a_score_that_is_not_computed_raises():
    with pytest.raises(ValueError, match="`early_stopping_monitor`.*split_validation_counts"):
        fitted(toy_mudata(), train={"early_stopping_monitor": METRIC})


def test_without_validation_cells():
    model = fitted(toy_mudata(), train={**SPLIT, "train_size": 1.0})
    assert METRIC not in model.history


def test_cells_without_a_modality_have_no_score_in_it():
    mdata = toy_mudata(60)
    parts = {"rna": mdata["rna"].copy(), "atac": mdata["atac"][:40].copy()}
    mosaic = md.MuData(parts)
    cells = {"external_indexing": [np.arange(35), np.arange(35, 60)]}
    model = fitted(mosaic, train={**SPLIT, "datasplitter_kwargs": cells})
    assert np.isfinite(scores_of(model, "count_split_atac_validation")).all()
    only_rna = {"external_indexing": [np.arange(40), np.arange(40, 60)]}
    model = fitted(mosaic, train={**SPLIT, "datasplitter_kwargs": only_rna})
    assert "count_split_atac_validation" not in model.history
    np.testing.assert_array_equal(scores_of(model), scores_of(model, "count_split_rna_validation"))


def test_splits_depend_on_the_seed_only():
    model = fitted(toy_mudata())
    manager = model.adata_manager

    def first_half(seed):
        torch.rand(3), np.random.random(3)
        split = CountSplitValidation(manager, np.arange(30), np.arange(30, 40), None, seed)
        return split._seen[0]["counts"]["rna"].to_dense()

    assert torch.equal(first_half(1), first_half(1))
    assert not torch.equal(first_half(1), first_half(2))


def test_real_cells_are_predicted_better_at_the_end_of_training(bmmc_cite):
    model = fitted(
        bmmc_cite,
        model={"n_latent": 10},
        train={**SPLIT, "max_epochs": 15, "batch_size": 128},
        batch_key="batch",
    )
    for name in (METRIC, "count_split_rna_validation", "count_split_prot_validation"):
        scores = scores_of(model, name)
        assert scores[-1] > scores[0] + 0.2
    summary = model.get_count_split_score(indices=model.validation_indices).attrs["summary"]
    mean = np.mean([found["decoded"] for found in summary.values()])
    assert scores_of(model)[-1] == pytest.approx(mean, abs=0.15)
