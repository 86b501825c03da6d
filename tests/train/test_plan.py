import numpy as np
import pytest
import scvi
import torch
from scipy import sparse
from tests.seeds import SEEDS
from tests.toy import toy_adata, toy_mudata

from multiDGD import MultiDGD
from multiDGD._scores import batch_mixing, knn_accuracy
from multiDGD.train import MultiDGDTrainingPlan, RowAdam, monitored_names

QUIET = {"enable_progress_bar": False, "accelerator": "cpu"}


def fitted(adata=None, setup=None, model=None, **train):
    adata = toy_mudata() if adata is None else adata
    method = (
        MultiDGD.setup_anndata
        if hasattr(adata, "var_names_make_unique") and not hasattr(adata, "mod")
        else MultiDGD.setup_mudata
    )
    method(adata, **(setup or {}))
    found = MultiDGD(adata, **{"n_latent": 3, "n_components": 2, **(model or {})})
    found.train(**{"max_epochs": 3, "batch_size": 8, **QUIET, **train})
    return found


def decoder_of(model):
    return torch.cat([p.detach().flatten() for p in model.module.decoder.parameters()])


def test_validation_cells_do_not_affect_the_decoder():
    train, valid = np.arange(30), np.arange(30, 40)
    decoders, representations = [], []
    for seed in (0, 1):
        adata = toy_adata()
        x = adata.X.toarray()
        x[valid] = toy_adata(seed=10 + seed).X.toarray()[valid]
        adata.X = sparse.csr_matrix(x)
        torch.manual_seed(0)
        model = fitted(adata, datasplitter_kwargs={"external_indexing": [train, valid]})
        decoders.append(decoder_of(model))
        representations.append(model.get_latent_representation())
    torch.testing.assert_close(decoders[0], decoders[1])
    one, two = representations
    np.testing.assert_allclose(one[train], two[train], atol=1e-6)
    assert np.abs(one[valid] - two[valid]).max() > 1e-3


def test_representations_of_validation_cells_are_learned():
    model = fitted(max_epochs=30, train_size=0.7, early_stopping=True)
    loss = model.history["validation_loss"].iloc[:, 0]
    assert loss.iloc[-1] < loss.iloc[0]


def test_labels_of_validation_cells_are_not_used():
    losses = []
    for label in ("A", "B"):
        adata = toy_adata()
        adata.obs.loc[adata.obs_names[30:], "label"] = label
        torch.manual_seed(0)
        model = fitted(
            adata,
            setup={"labels_key": "label"},
            model={"n_components": None},
            datasplitter_kwargs={"external_indexing": [np.arange(30), np.arange(30, 40)]},
        )
        losses.append(model.history["validation_loss"].to_numpy(float))
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-6)


def test_every_term_is_logged_separately():
    model = fitted(setup={"batch_key": "batch", "categorical_covariate_keys": ["site"]})
    for mode in ("train", "validation"):
        terms = [
            "reconstruction_loss_rna",
            "reconstruction_loss_atac",
            "mixture_loss",
            "covariate_batch_loss",
            "covariate_site_loss",
        ]
        history = {k: v.iloc[:, 0].to_numpy(float) for k, v in model.history.items()}
        for term in terms:
            assert len(history[f"{term}_{mode}"]) == 3
        total = sum(history[f"{t}_{mode}"] for t in terms)
        if mode == "train":
            total = total + history["prior_loss_train"] / 36
        np.testing.assert_allclose(history[f"{mode}_loss"], total, rtol=1e-5)
        covariates = (
            history[f"covariate_batch_loss_{mode}"] + history[f"covariate_site_loss_{mode}"]
        )
        representations = history[f"mixture_loss_{mode}"] + covariates
        np.testing.assert_allclose(
            history[f"representation_loss_{mode}"], representations, rtol=1e-5
        )


@pytest.mark.parametrize(
    ("name", "alternative"),
    [
        ("elbo_train", "a MAP fit has no ELBO; see 'train_loss'"),
        ("kl_local_validation", "'representation_loss_validation'"),
        ("kl_global_train", "'prior_loss_train'"),
        ("kl_global_validation", "'prior_loss_train'"),
        ("validation_los", "Nearest: .'validation_loss'"),
    ],
)
def test_names_of_other_models_are_explained(name, alternative):
    model = fitted()
    assert name not in model.history
    with pytest.raises(KeyError, match=alternative) as raised:
        model.history[name]
    assert str(raised.value).rstrip("].\"'").rpartition("'")[2] in model.history


def test_training_decreases_the_loss_of_every_modality():
    model = fitted(max_epochs=40)
    for modality in ("rna", "atac"):
        loss = model.history[f"reconstruction_loss_{modality}_train"].iloc[:, 0]
        assert loss.iloc[-1] < loss.iloc[0]


def test_early_stopping():
    # With learning rates of 0 the loss cannot improve.
    rates = dict.fromkeys(("lr", "lr_representation", "lr_mixture", "lr_likelihood"), 0.0)
    model = fitted(max_epochs=50, early_stopping_patience=4, plan_kwargs=rates)
    assert len(model.history["train_loss"]) == 5


def test_each_learning_rate_affects_only_its_parameters():
    group_of = {
        "lr": "decoder",
        "lr_representation": "representations",
        "lr_mixture": "mixture",
        "lr_covariate_mixture": "covariate_mixtures",
        "lr_likelihood": "likelihoods",
    }
    fixed_rates = {**dict.fromkeys(group_of, 0.0), "weight_precision": 0.0, "hold": 0.0}
    model = fitted(
        setup={"batch_key": "batch"}, max_epochs=1, train_size=1.0, plan_kwargs=fixed_rates
    )
    for rate, group in group_of.items():
        before = {k: v.clone() for k, v in model.module.state_dict().items()}
        model.train(
            max_epochs=1,
            batch_size=8,
            train_size=1.0,
            **QUIET,
            plan_kwargs={**fixed_rates, rate: 0.01},
        )
        after = model.module.state_dict()
        assert {k.split(".")[0] for k in after if not torch.equal(after[k], before[k])} == {group}


@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_penalties_on_the_decoders_weights(weight_decay):
    module = fitted(max_epochs=1).module
    plan = MultiDGDTrainingPlan(
        module,
        l1=0.5,
        weight_precision=3.0,
        weight_decay=weight_decay,
        schedule="constant",
        hold=0.0,
    )
    optimizer = plan.configure_optimizers()["optimizer"]
    plan.optimizers = lambda: optimizer
    plan.n_obs_training = 40
    for p in module.parameters():
        p.grad = torch.zeros_like(p)
    cells = torch.arange(4)
    plan.row_optimizer = RowAdam(module.representations.z, lr=0.0)
    leaf = plan.row_optimizer.table[cells].requires_grad_()
    leaf.grad = torch.zeros_like(leaf)
    plan._visited = (cells, leaf)
    plan.lr_schedulers = lambda: None
    plan.on_after_backward()
    before = [p.detach().clone() for p in module.decoder.parameters()]
    optimizer.step()
    for p, old in zip(module.decoder.parameters(), before, strict=True):
        # L1 counts for each of the 4 cells; the prior counts once for all 40 cells.
        penalties = 0.5 * 4 * old.sign() + 3.0 * old * 4 / 40 if p.ndim > 1 else 0
        gradient = penalties + weight_decay * old
        # Recover the gradient from the first moment after one step.
        moment = optimizer.state[p]["exp_avg"] / (1 - plan.betas[0])
        torch.testing.assert_close(moment, gradient)


def test_same_seed_same_model():
    models = []
    for _ in range(2):
        torch.manual_seed(3)
        models.append(fitted(setup={"batch_key": "batch"}))
    a, b = (m.module.state_dict() for m in models)
    for key in a:
        torch.testing.assert_close(a[key], b[key])


def test_counts_kept_on_the_device_give_the_same_model():
    parts = []
    for keep_on_device in (False, True):
        torch.manual_seed(3)
        parts.append(fitted(setup={"batch_key": "batch"}, keep_on_device=keep_on_device))
    a, b = (m.module.state_dict() for m in parts)
    for key in a:
        torch.testing.assert_close(a[key], b[key])


@pytest.mark.parametrize("max_epochs", [3, 60])
def test_default_learning_rate_of_representations(max_epochs):
    # The first step of Adam is as long as its learning rate, for any gradient.
    fixed_rates = {"lr_mixture": 0.0, "schedule": "constant", "hold": 0.0}
    start = fitted(
        train_size=1.0, plan_kwargs={**fixed_rates, "lr_representation": 0.0}, max_epochs=1
    )
    model = fitted(train_size=1.0, plan_kwargs=fixed_rates, max_epochs=max_epochs, max_steps=5)
    moved = model.module.representations.z - start.module.representations.z
    assert moved.abs().median().item() == pytest.approx(1e-2, rel=1e-3)


def test_representations_are_fixed_in_the_first_epochs():
    fixed_rates = dict.fromkeys(("lr", "lr_representation", "lr_mixture"), 0.0)
    start = fitted(train_size=1.0, plan_kwargs=fixed_rates).get_latent_representation()
    # Representations are fixed in the first two of four epochs.
    for n_epochs, fixed in ((2, True), (3, False)):
        model = fitted(
            max_epochs=4, train_size=1.0, plan_kwargs={"hold": 0.5}, max_steps=n_epochs * 5
        )
        assert np.array_equal(model.get_latent_representation(), start) == fixed


def test_without_covariates_nothing_is_removed():
    found = []
    for at in (None, 0.5):
        scvi.settings.seed = 0
        model = fitted(train_size=1.0, max_epochs=4, plan_kwargs={"remove_covariates_at": at})
        found.append(model.get_latent_representation())
    np.testing.assert_array_equal(*found)


@pytest.mark.parametrize("seed", SEEDS)
def test_removing_covariates_mixes_protocols(sc_mixology, seed):
    scvi.settings.seed = seed
    genes = np.argsort(-np.asarray(sc_mixology.X.sum(0)).ravel())[:1500]
    cells = sc_mixology[:, genes].copy()
    batch, label = (cells.obs[c].to_numpy() for c in ("batch", "cell_type"))
    found = {}
    for at in (None, 0.5):
        model = fitted(
            cells.copy(),
            setup={"batch_key": "batch"},
            model={"n_latent": 20, "n_components": 10},
            max_epochs=20,
            batch_size=128,
            plan_kwargs={"remove_covariates_at": at},
        )
        z = model.get_latent_representation()
        found[at] = batch_mixing(z, batch, label), knn_accuracy(z, label)
    assert found[0.5][0] > found[None][0] + 0.04
    assert found[0.5][1] > found[None][1] - 0.01


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("hold", 1.0),
        ("remove_covariates_at", -0.1),
        ("remove_covariates_at", 1.0),
        ("lr", -1.0),
        ("l1", -0.1),
        ("schedule", "step"),
        ("lr", float("nan")),
    ],
)
def test_errors_name_the_argument(argument, value):
    with pytest.raises(ValueError, match=f"`{argument}`"):
        fitted(plan_kwargs={argument: value})


ELBO = {"elbo_train", "elbo_validation"}


def test_monitored_names_are_those_of_the_history_and_of_scvi_tools():
    setup = {"batch_key": "batch", "labels_key": "label"}
    model = fitted(toy_mudata(), setup, {"n_components": None}, max_epochs=2)
    names = set(monitored_names(model.module))
    assert {n for n in model.history if not n.endswith("_step")} == names - ELBO
    assert names <= set(model.trainer.callback_metrics)
    loss, elbo = (
        model.trainer.callback_metrics[n] for n in ("validation_loss", "elbo_validation")
    )
    assert loss == elbo
