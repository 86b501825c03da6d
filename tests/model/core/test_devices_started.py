"""Training in processes that are started in different ways, and its quality."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import scvi
import torch

from multiDGD import MultiDGD
from multiDGD.data import open_zarr
from multiDGD.datasets import simulate_multiome

ROOT = Path(__file__).parents[3]
QUIET = {"accelerator": "cpu", "enable_progress_bar": False}
SESSION = """
import scvi, multiDGD, torch
from multiDGD import MultiDGD
torch.set_num_threads(1)
scvi.settings.seed = 0
mdata = multiDGD.datasets.simulate_multiome(n_cells=200, n_genes=30, n_peaks=60)
MultiDGD.setup_mudata(mdata, batch_key="batch")
model = MultiDGD(mdata, n_latent=3)
for i in range(2):
    model.train(max_epochs=2, devices=2, strategy=STRATEGY, accelerator="cpu", enable_progress_bar=False)

print("epochs", len(model.history["train_loss"]))
"""
SCRIPT = """
import sys
import torch
import multiDGD
from multiDGD import MultiDGD

mdata = multiDGD.datasets.simulate_multiome(n_cells=200, n_genes=30, n_peaks=60)
MultiDGD.setup_mudata(mdata, batch_key="batch")
model = MultiDGD(mdata, n_latent=3)
model.train(max_epochs=2, devices=2, accelerator="cpu", enable_progress_bar=False)
model.save(sys.argv[1])
z = model.get_latent_representation()
torch.save((model.module.state_dict(), z), f"{sys.argv[1]}{model.trainer.global_rank}.pt")
"""

RAY = """
import sys
import numpy as np
import ray
from ray.train import RunConfig, ScalingConfig
from ray.train.torch import TorchTrainer
import multiDGD
from multiDGD import MultiDGD


def fit(config):
    mdata = multiDGD.datasets.simulate_multiome(n_cells=200, n_genes=30, n_peaks=60)
    MultiDGD.setup_mudata(mdata, batch_key="batch")
    model = MultiDGD(mdata, n_latent=3)
    quiet = {"accelerator": "cpu", "enable_progress_bar": False}
    try:
        model.train(max_epochs=2, devices=3, **quiet)
    except ValueError as error:
        assert "are for 3 processes, but 2 are connected" in str(error)
    else:
        raise AssertionError
    model.train(max_epochs=2, devices=2, **quiet)
    model.save(config["path"])
    rank = ray.train.get_context().get_world_rank()
    owned = model.trainer.datamodule.owned_cells
    np.savez(f"{config['path']}{rank}.npz", owned=owned, z=model.get_latent_representation())


ray.init(num_cpus=2, include_dashboard=False, object_store_memory=200_000_000)
TorchTrainer(
    fit,
    train_loop_config={"path": f"{sys.argv[1]}/model"},
    scaling_config=ScalingConfig(num_workers=2),
    run_config=RunConfig(storage_path=sys.argv[1]),
).fit()
"""


def run(arguments, text=None):
    done = subprocess.run(
        [sys.executable, "-W", "ignore", *map(str, arguments)],
        input=text,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["fork", "spawn"])
def test_interactive_session(strategy):
    """As in a notebook, code is not in a file, and one session trains several times."""
    output = run(["-i"], SESSION.replace("STRATEGY", repr(strategy)))
    assert "epochs 4" in output


@pytest.mark.slow
def test_torchrun(tmp_path):
    script, path = tmp_path / "script.py", tmp_path / "model"
    script.write_text(SCRIPT)
    run(["-m", "torch.distributed.run", "--nproc-per-node", "2", script, path])
    (first, z), (other, z_other) = (
        torch.load(f"{path}{rank}.pt", weights_only=False) for rank in range(2)
    )
    assert all(torch.equal(value, other[name]) for name, value in first.items())
    np.testing.assert_array_equal(z, z_other)
    saved = MultiDGD.load(path, adata=False)
    assert torch.equal(saved.module.representations.z, first["representations.z"])


@pytest.mark.slow
def test_ray(tmp_path):
    pytest.importorskip("ray.train", reason="the extra `ray` is not installed")
    script = tmp_path / "script.py"
    script.write_text(RAY)
    run([script, tmp_path])
    first, other = (np.load(tmp_path / f"model{rank}.npz") for rank in range(2))
    np.testing.assert_array_equal(first["z"], other["z"])
    assert len(first["owned"]) == len(other["owned"]) == 100
    owned = np.concatenate([first["owned"], other["owned"]])
    np.testing.assert_array_equal(np.sort(owned), np.arange(200))
    mdata = simulate_multiome(n_cells=200, n_genes=30, n_peaks=60)
    loaded = MultiDGD.load(tmp_path / "model", adata=mdata)
    np.testing.assert_array_equal(loaded.get_latent_representation(), first["z"])


@pytest.mark.slow
@pytest.mark.parametrize("is_on_disk", [False, True])
def test_new_processes_equal_forked_ones(tmp_path, is_on_disk):
    simulate_multiome(n_cells=200, n_genes=30, n_peaks=60).write_zarr(tmp_path / "data.zarr")
    models = []
    for strategy in ("fork", "spawn"):
        mdata = open_zarr(tmp_path / "data.zarr")
        if not is_on_disk:
            mdata = simulate_multiome(n_cells=200, n_genes=30, n_peaks=60)
        MultiDGD.setup_mudata(mdata, batch_key="batch")
        model = MultiDGD(mdata, n_latent=3)
        torch.set_num_threads(1)
        model.train(max_epochs=2, batch_size=32, devices=2, strategy=strategy, **QUIET)
        models.append(model)
    one, other = (model.module.state_dict() for model in models)
    assert all(torch.equal(value, other[name]) for name, value in one.items())


def final_loss(seed, n_processes, batch_size):
    scvi.settings.seed = seed
    mdata = simulate_multiome(n_cells=1000, n_genes=100, n_peaks=200, seed=5)
    MultiDGD.setup_mudata(mdata, batch_key="batch")
    model = MultiDGD(mdata, n_latent=5, n_components=5)
    indices = np.random.default_rng(9).permutation(1000)
    split = {"external_indexing": [indices[:800], indices[800:], np.array([], dtype=int)]}
    model.train(
        max_epochs=10,
        devices=n_processes,
        strategy="fork",
        batch_size=batch_size,
        datasplitter_kwargs=split,
        **QUIET,
    )
    return float(model.history["validation_loss"].iloc[-1, 0])


@pytest.mark.slow
def test_quality_of_several_processes():
    """With the same number of cells in a step, the losses differ as between seeds."""
    one, two = (np.array([final_loss(seed, n, 128 // n) for seed in range(3)]) for n in (1, 2))
    print("losses", one, two)
    assert abs(one.mean() - two.mean()) < 3 * max(one.std(ddof=1), two.std(ddof=1))
