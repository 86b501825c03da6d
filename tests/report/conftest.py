"""Small models whose names contain HTML."""

import numpy as np
import pytest

from multiDGD import MultiDGD
from multiDGD.datasets import simulate_multiome
from multiDGD.report import collect, render

EVIL = "<script>alert(1)</script>"
QUOTES = "\"'><img src=x onerror=alert(2)>&amp;</script><!--"


def fitted(mdata, **setup):
    MultiDGD.setup_mudata(mdata, **setup)
    model = MultiDGD(mdata, n_latent=4, n_components=3)
    model.train(max_epochs=3, enable_progress_bar=False, accelerator="cpu")
    return model


@pytest.fixture(scope="session")
def model():
    """Multiome of 120 cells with hostile names of types, batches, columns and features."""
    mdata = simulate_multiome(n_cells=120, n_genes=40, n_peaks=50, n_types=3, seed=1)
    types = mdata.obs["cell_type"].astype(str)
    mdata.obs["cell_type"] = types.replace({types.unique()[0]: EVIL}).to_numpy()
    mdata.obs[QUOTES] = np.where(np.arange(120) % 2, EVIL, QUOTES)
    mdata.obs[QUOTES] = mdata.obs[QUOTES].astype("category")
    names = mdata["rna"].var_names.to_numpy().astype(object)
    names[0], names[1] = EVIL, QUOTES
    mdata["rna"].var_names = names
    mdata.update()
    return fitted(mdata, batch_key="batch")


@pytest.fixture(scope="session")
def report(model):
    return collect(model, label_key="cell_type", title=EVIL)


@pytest.fixture(scope="session")
def page(report):
    return render(report)


@pytest.fixture(scope="session")
def mosaic():
    """Model of 120 cells, of which 40 lack ATAC."""
    mdata = simulate_multiome(n_cells=120, n_genes=40, n_peaks=50, n_types=3, seed=1)
    mdata.mod["atac"] = mdata["atac"][:80].copy()
    mdata.update()
    return fitted(mdata)
