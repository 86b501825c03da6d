"""Two models of different data, and the save of a folder as one of them."""

import numpy as np
import pytest
from tests.model.fitting import fitted
from tests.toy import toy_adata

from multiDGD import MultiDGD

SMALL = {"decoder_kwargs": {"n_units": 5}}


@pytest.fixture(scope="package")
def older():
    return fitted(toy_adata(), model=SMALL, batch_key="batch", labels_key="label")


@pytest.fixture(scope="package")
def newer():
    data = toy_adata(32, seed=5)
    return fitted(data, model=SMALL, batch_key="batch", labels_key="label")


def is_model(folder, model, **options):
    """Whether a folder contains a model and its data."""
    return is_same(MultiDGD.load(folder, **options), model)


def is_same(loaded, model):
    """Whether two models have the same representations, cells and data."""
    z, expected = (m.get_latent_representation() for m in (loaded, model))
    return (
        np.array_equal(z, expected)
        and (loaded.adata.X != model.adata.X).nnz == 0
        and list(loaded.cell_names_) == list(model.cell_names_)
    )
