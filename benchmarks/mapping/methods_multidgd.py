"""MultiDGD with its defaults, for the mapping tasks."""

from __future__ import annotations

from typing import Any

import numpy as np
import scvi

from benchmarks.mapping.tasks import Transfer
from benchmarks.shared.data import BATCH_KEY, LABEL_KEY, Dataset
from benchmarks.shared.settings import QUIET
from multiDGD import MultiDGD


def _trained(data: Dataset, seed: int, **setup: Any) -> MultiDGD:
    scvi.settings.seed = seed
    if data.data is data.modalities.get("rna"):
        MultiDGD.setup_anndata(data.data, batch_key=BATCH_KEY, **setup)
    else:
        MultiDGD.setup_mudata(data.data, batch_key=BATCH_KEY, **setup)
    model = MultiDGD(data.data)
    model.train(**QUIET)
    return model


def _mapped(model: MultiDGD, query: Dataset) -> MultiDGD:
    mapped = MultiDGD.load_query_data(query.data, model)
    mapped.train()
    return mapped


def protein(train: Dataset, query: Dataset, modality: str, seed: int) -> np.ndarray:
    """Impute proteins of cells that are mapped by their RNA."""
    model = _trained(train, seed)
    return _mapped(model, query).impute(modality=modality, return_numpy=True)


def multiome(train: Dataset, query: dict[str, Dataset], seed: int) -> dict[str, np.ndarray]:
    """Impute the missing modality of cells that are mapped by the measured one."""
    model = _trained(train, seed)
    atac, rna = (
        _mapped(model, query[given]).impute(modality=wanted, return_numpy=True)
        for given, wanted in (("rna", "atac"), ("atac", "rna"))
    )
    return {"atac": atac, "rna": rna / rna.sum(1, keepdims=True)}


def transfer(train: Dataset, query: Dataset, seed: int) -> Transfer:
    """Train with labels, and map query cells as a new batch."""
    model = _trained(train, seed, labels_key=LABEL_KEY)
    mapped = _mapped(model, query)
    return Transfer(
        model.get_latent_representation(),
        mapped.get_latent_representation(),
        mapped.predict(),
    )


METHODS = {
    ("protein", "multidgd"): protein,
    ("multiome", "multidgd"): multiome,
    ("protocols", "multidgd"): transfer,
    ("donors", "multidgd"): transfer,
}
