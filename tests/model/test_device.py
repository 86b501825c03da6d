"""Training and results on a CUDA device, compared with the CPU."""

import numpy as np
import pandas as pd
import pytest
import scvi
import torch
from tests.model.fitting import fitted, renamed_mudata

from multiDGD import MultiDGD
from multiDGD.datasets import simulate_multiome
from multiDGD.train import MultiDGDTrainingPlan
from multiDGD.train._step_graph import StepGraph

pytestmark = pytest.mark.gpu

GPU = {"accelerator": "gpu", "devices": 1}


@pytest.fixture(scope="module")
def simulation():
    return simulate_multiome(300, n_genes=60, n_peaks=120, density=0.2, seed=0)


@pytest.fixture(scope="module")
def models_and_query(simulation, tmp_path_factory):
    """A model trained on the GPU, loaded on GPU and CPU; and query cells."""
    setup = {"labels_key": "cell_type", "batch_key": "batch"}
    train = {"max_epochs": 30, "batch_size": 64, **GPU}
    trained = fitted(simulation, {"n_latent": 8}, train, **setup)
    assert trained.module.device.type == "cuda"
    folder = tmp_path_factory.mktemp("model") / "saved"
    trained.save(folder)
    models = {
        name: MultiDGD.load(folder, adata=simulation, accelerator=name) for name in ("gpu", "cpu")
    }
    assert models["gpu"].module.device.type == "cuda"
    assert models["cpu"].module.device.type == "cpu"
    return models, renamed_mudata(simulation[:50].copy(), "new")


def numbers(result):
    """All numbers in a result, as one array."""
    if isinstance(result, pd.DataFrame):
        return result.select_dtypes("number").to_numpy(dtype=float)
    if isinstance(result, dict):
        return np.concatenate([np.ravel(numbers(v)) for v in result.values()])
    if isinstance(result, tuple):
        return np.concatenate([np.ravel(numbers(v)) for v in result])
    return np.asarray(result, dtype=float)


DETERMINISTIC = {
    "representations": lambda m, new: m.get_latent_representation(),
    "representations of new cells": lambda m, new: m.get_latent_representation(new),
    "posterior of representations": lambda m, new: m.get_latent_representation(
        new, return_dist=True
    ),
    "covariates": lambda m, new: m.get_covariate_representation("batch", new),
    "components": lambda m, new: m.get_cluster_assignments(new, soft=True),
    "labels": lambda m, new: m.predict(new, soft=True),
    "expression": lambda m, new: m.get_normalized_expression(new, modality="rna"),
    "expression in another batch": lambda m, new: m.get_normalized_expression(
        new, modality="atac", transform_batch="batch_1", library_size="latent"
    ),
    "accessibility": lambda m, new: m.get_accessibility_estimates(new, modality="atac"),
    "reconstruction errors": lambda m, new: m.get_reconstruction_error(new),
    "imputed counts": lambda m, new: m.impute(new, modality="atac"),
    "component summary": lambda m, new: m.get_component_summary()[["weight", "n_cells"]],
}


@pytest.mark.parametrize("result", DETERMINISTIC)
def test_results_do_not_depend_on_the_device(models_and_query, result):
    models, query = models_and_query
    method = DETERMINISTIC[result]
    gpu, cpu = (numbers(method(models[name], query)) for name in ("gpu", "cpu"))
    assert np.isfinite(gpu).all()
    # Inference stops at a tolerance, so the results for new cells agree approximately only.
    np.testing.assert_allclose(gpu, cpu, rtol=0.02, atol=0.02 * np.abs(cpu).max())
    assert np.corrcoef(gpu.ravel(), cpu.ravel())[0, 1] > 0.9999


RANDOM = {
    "intervals": lambda m, data: m.get_expression_interval(data[:20], modality="rna")[1],
    "differential expression": lambda m, data: m.differential_expression(
        modality="rna", groupby="cell_type", group1=data.obs["cell_type"].iloc[0]
    )["lfc_mean"].sort_index(),
    "perturbation": lambda m, data: m.perturb(
        "gene_0", modality="rna", indices=range(20), n_controls=10
    )["lfc"].sort_index(),
    "links": lambda m, data: m.gene2peak("gene_0", n_controls=10)["association"].sort_index(),
    "simulated cells": lambda m, data: m.sample(400, seed=0)["rna"].X.mean(0),
    "simulated counts": lambda m, data: (
        m.posterior_predictive_sample(n_samples=20)["rna"].todense().mean((0, 2))
    ),
}


@pytest.mark.parametrize("result", RANDOM)
def test_random_results_correlate(models_and_query, simulation, result):
    models, _ = models_and_query
    gpu, cpu = (np.ravel(RANDOM[result](models[name], simulation)) for name in ("gpu", "cpu"))
    assert np.isfinite(gpu).all()
    assert np.corrcoef(gpu, cpu)[0, 1] > 0.95


def test_typicality_differs_by_its_draws_only(models_and_query, simulation):
    gpu, cpu = (m.get_typicality(as_quantile=False) for m in models_and_query[0].values())
    assert np.corrcoef(gpu, cpu)[0, 1] > 0.8
    assert gpu.mean() == pytest.approx(cpu.mean(), abs=0.2)


def test_counts_on_the_device_train_the_same_model(simulation):
    tables = []
    for keep_on_device in (False, True):
        scvi.settings.seed = 0
        model = fitted(simulation, train={"keep_on_device": keep_on_device, **GPU})
        tables.append(model.get_latent_representation())
    np.testing.assert_allclose(*tables, atol=1e-3)


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_captured_steps_train_the_same_model(simulation, precision):
    losses, tables = [], []
    for capture in (False, True):
        scvi.settings.seed = 0
        train = {"max_epochs": 20, "batch_size": 64, "keep_on_device": True, **GPU}
        train |= {"plan_kwargs": {"capture": capture}, "precision": precision}
        model = fitted(simulation, train=train, batch_key="batch")
        losses.append(model.history["train_loss"].to_numpy(float))
        tables.append(model.get_latent_representation())
    tolerance = 1e-3 if precision == "32-true" else 2e-2
    np.testing.assert_allclose(*losses, rtol=tolerance)
    assert np.corrcoef(*map(np.ravel, tables))[0, 1] > 0.99


@pytest.mark.parametrize("keep_on_device", [False, True])
@pytest.mark.parametrize("likelihood", ["nb", "poisson", "bernoulli"])
def test_a_step_does_not_wait_for_the_device(simulation, monkeypatch, keep_on_device, likelihood):
    step = MultiDGDTrainingPlan.optimizer_step

    def strict(*args, **kwargs):
        torch.cuda.set_sync_debug_mode("error")
        try:
            return step(*args, **kwargs)
        finally:
            torch.cuda.set_sync_debug_mode("default")

    fitted(simulation, train=GPU)  # compiles the kernels
    monkeypatch.setattr(MultiDGDTrainingPlan, "optimizer_step", strict)
    fitted(
        simulation,
        {"likelihoods": dict.fromkeys(("rna", "atac"), likelihood)},
        {"max_epochs": 2, "keep_on_device": keep_on_device, **GPU},
        labels_key="cell_type",
        batch_key="batch",
    )


def test_recorded_function_reads_its_inputs():
    total = torch.zeros(2, device="cuda")

    def add(x):
        total.add_(x)
        return {"sum": total.sum()[None], "total": total * 1}

    step = StepGraph(add, torch.device("cuda"))
    results = [step(torch.full((2,), float(i))) for i in range(8)]
    sums = np.cumsum(range(8)).astype(float)
    assert [r["sum"].item() for r in results] == (2 * sums).tolist()
    assert torch.stack([r["total"] for r in results])[:, 0].tolist() == sums.tolist()


def test_losses_of_gpu_and_cpu_agree(bmmc_multiome):
    """The validation losses agree for the same data, split and initialisation."""
    losses = {}
    for accelerator in ("gpu", "cpu"):
        scvi.settings.seed = 0
        train = {"max_epochs": 20, "batch_size": 50, "accelerator": accelerator}
        model = fitted(bmmc_multiome, {"n_latent": 20}, train, batch_key="batch")
        losses[accelerator] = model.history["validation_loss"].iloc[-1, 0]
    assert losses["gpu"] == pytest.approx(losses["cpu"], rel=0.005)


@pytest.mark.parametrize("accelerator", ["gpu", "cpu"])
def test_query_with_a_new_batch(simulation, tmp_path, accelerator):
    """The reference is trained on one device, and the query is mapped on the other."""
    is_first = (simulation.obs["batch"] == "batch_0").to_numpy()
    reference, query = simulation[is_first].copy(), simulation[~is_first].copy()
    other = "cpu" if accelerator == "gpu" else "gpu"
    reference.obs["site"] = ["a", "b"] * (reference.n_obs // 2) + ["a"] * (reference.n_obs % 2)
    query.obs["site"] = "c"
    model = fitted(
        reference,
        {"n_latent": 8},
        {"max_epochs": 30, "batch_size": 64, "accelerator": accelerator},
        labels_key="cell_type",
        batch_key="site",
    )
    model.save(tmp_path / "reference")
    mapped = MultiDGD.load_query_data(query, str(tmp_path / "reference"), accelerator=other)
    mapped.train(max_epochs=5)
    assert mapped.module.device.type == ("cuda" if other == "gpu" else "cpu")
    truth = query.obs["cell_type"].to_numpy()
    assert (mapped.predict() == truth).mean() > 0.9


def test_mixed_precision(simulation):
    losses = {}
    for precision in ("32-true", "bf16-mixed"):
        scvi.settings.seed = 0
        model = fitted(simulation, train={"max_epochs": 20, "precision": precision, **GPU})
        losses[precision] = model.history["train_loss"].iloc[-1, 0]
    assert losses["bf16-mixed"] == pytest.approx(losses["32-true"], rel=0.01)
