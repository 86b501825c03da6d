"""Hyperparameter search with scvi-tools' autotune."""

import numpy as np
import pytest
import scvi
from anndata import AnnData
from tests.toy import toy_adata, toy_mudata

from multiDGD import MultiDGD

NEEDED = ("ray", "hyperopt", "scib_metrics", "muon")
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("default")]  # Ray raises warnings


@pytest.fixture(scope="module")
def tune():
    for package in NEEDED:
        pytest.importorskip(package, reason=f"autotune needs {package}, which is not installed")
    import ray
    from ray import tune

    yield tune
    ray.shutdown()


@pytest.mark.parametrize("make", [toy_adata, toy_mudata])
def test_search_over_two_parameters(tune, tmp_path, make):
    from scvi import autotune

    data = make(60)
    kind = "anndata" if isinstance(data, AnnData) else "mudata"
    getattr(MultiDGD, f"setup_{kind}")(data, batch_key="batch")
    experiment = autotune.run_autotune(
        MultiDGD,
        data,
        metrics="validation_loss",
        mode="min",
        search_space={
            "model_params": {"n_latent": tune.grid_search([2, 4])},
            "train_params": {
                "max_epochs": 2,
                # Training diverges with a learning rate of 1, so the other one must be best.
                "plan_kwargs": {"lr": tune.grid_search([1e-2, 1.0])},
            },
        },
        num_samples=1,
        scheduler="fifo",
        searcher="random",
        seed=0,
        resources={"cpu": 1},
        logging_dir=str(tmp_path),
        ignore_reinit_error=True,
    )
    assert not experiment.result_grid.errors
    table = experiment.result_grid.get_dataframe()
    lr, n_latent = (
        table[f"config/{c}"] for c in ("train_params/plan_kwargs/lr", "model_params/n_latent")
    )
    assert set(zip(n_latent, lr, strict=True)) == {(2, 1e-2), (2, 1.0), (4, 1e-2), (4, 1.0)}
    assert np.isfinite(table["validation_loss"]).all()
    best = experiment.result_grid.get_best_result("validation_loss", "min")
    assert best.config["train_params"]["plan_kwargs"]["lr"] == 1e-2
    # The same training without Ray gives the same loss.
    scvi.settings.seed = 0
    model = MultiDGD(data, **best.config["model_params"])
    model.train(**best.config["train_params"], accelerator="cpu", enable_progress_bar=False)
    expected = model.history["validation_loss"].iloc[-1].item()
    assert best.metrics["validation_loss"] == pytest.approx(expected, rel=1e-4)
