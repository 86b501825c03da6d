"""Checkpoint of the first implementation and its expected results."""

import json
import shutil

import anndata as ad
import numpy as np
import pytest
import torch

from multiDGD import MultiDGD

PARTS = {"train": slice(0, 400), "validation": slice(400, 450), "test": slice(450, 500)}


def joint(mdata, names=("GEX", "ATAC"), key="modality"):
    """The same cells in one AnnData, in the format of the first implementation."""
    found = ad.concat(mdata.mod.values(), axis=1)
    found.var[key] = np.repeat(names, [part.n_vars for part in mdata.mod.values()])
    found.obs["covariate_batch"] = mdata.obs["batch"].astype(str).to_numpy()
    return found


@pytest.fixture(scope="session")
def folder(data_dir):
    found = data_dir / "legacy_checkpoint"
    if not found.is_dir():
        pytest.skip(f"no legacy_checkpoint in {data_dir}")
    return found


@pytest.fixture(scope="session")
def expected(folder):
    return dict(np.load(folder / "expected.npz"))


@pytest.fixture(scope="session")
def state(folder):
    return torch.load(folder / "dgd.pt", weights_only=True)


@pytest.fixture
def cells(bmmc_multiome):
    return bmmc_multiome


@pytest.fixture(scope="session")
def model(folder, _read):
    return MultiDGD.load_legacy(folder, "dgd", adata=_read("bmmc_multiome.h5mu"))


@pytest.fixture
def changed(folder, tmp_path, state):
    """Function that writes a modified copy of the checkpoint."""

    def change(tensors=None, without=(), hyperparameters=None, obs=None):
        for file in ("dgd.pt", "dgd_hyperparameters.json", "_obs.csv"):
            shutil.copyfile(folder / file, tmp_path / file)
        kept = {k: v for k, v in {**state, **(tensors or {})}.items() if k not in without}
        torch.save(kept, tmp_path / "dgd.pt")
        if hyperparameters:
            file = tmp_path / "dgd_hyperparameters.json"
            file.write_text(json.dumps({**json.loads(file.read_text()), **hyperparameters}))
        if obs is not None:
            obs.to_csv(tmp_path / "_obs.csv")
        return tmp_path

    return change
