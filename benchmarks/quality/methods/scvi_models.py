"""Models of scvi-tools with their defaults. Held-out cells are embedded by their encoders."""

from __future__ import annotations

from typing import Any

import numpy as np
import scvi

from benchmarks.quality.task import Fit, Task
from benchmarks.shared.data import BATCH_KEY
from benchmarks.shared.missing_modalities import with_zeros
from benchmarks.shared.settings import QUIET
from benchmarks.shared.timing import Seconds


def totalvi(task: Task) -> Fit:
    """TotalVI; profiles are means of 25 posterior samples, proteins with background."""
    scvi.settings.seed = task.seed
    for part in (task.train, task.half):  # the background prior requires dense proteins
        part.data.mod["prot"].X = part.counts("prot").toarray()
    scvi.model.TOTALVI.setup_mudata(
        task.train.data,
        batch_key=BATCH_KEY,
        modalities={"rna_layer": "rna", "protein_layer": "prot"},
    )
    model, fit = _trained(scvi.model.TOTALVI, task.train.data, task)
    rna, prot = model.get_normalized_expression(
        task.half.data,
        n_samples=25,
        return_mean=True,
        include_protein_background=True,
        return_numpy=True,
    )
    fit.profiles = {"": {"rna": rna, "prot": prot}}
    return fit


def multivi(task: Task) -> Fit:
    """MultiVI; missing modalities of a mosaic are zeros, as in its tutorial.

    Accessibility is multiplied by the region and cell factors: the mean of its likelihood.
    Proteins of a mosaic are not predicted.
    """
    scvi.settings.seed = task.seed
    train, half = task.train.data, task.half.data
    if not task.train.is_complete:
        train, half = with_zeros(train, train), with_zeros(half, train)
    rna, other = train.mod
    layer = "atac_layer" if other == "atac" else "protein_layer"
    if layer == "protein_layer":
        for cells in (train, half):
            cells.mod[other].X = cells.mod[other].X.toarray()
    scvi.model.MULTIVI.setup_mudata(
        train, batch_key=BATCH_KEY, modalities={"rna_layer": rna, layer: other}
    )
    # MULTIVI requires this column in every object but adds it in its setup only.
    half.obs["_indices"] = np.arange(half.n_obs)
    model, fit = _trained(scvi.model.MULTIVI, train, task)
    profiles = {rna: model.get_normalized_expression(half, return_numpy=True)}
    if other == "atac":
        profiles[other] = model.get_normalized_accessibility(
            half, normalize_cells=True, normalize_regions=True, return_numpy=True
        )
    fit.profiles = {"": profiles}
    return fit


def scvi_rna(task: Task) -> Fit:
    """ScVI; profiles are the mean of 25 posterior samples."""
    scvi.settings.seed = task.seed
    scvi.model.SCVI.setup_anndata(task.train.data, batch_key=BATCH_KEY)
    model, fit = _trained(scvi.model.SCVI, task.train.data, task)
    rna = model.get_normalized_expression(
        task.half.data, n_samples=25, return_mean=True, return_numpy=True
    )
    fit.profiles = {"": {"rna": rna}}
    return fit


def _trained(cls: Any, data: Any, task: Task) -> tuple[Any, Fit]:
    """Trained model, and a fit without profiles."""
    limit = {} if task.max_epochs is None else {"max_epochs": task.max_epochs}
    clock = Seconds.now()
    model = cls(data)
    model.train(**limit, **QUIET)
    seconds = Seconds.now().since(clock)
    embedding = np.asarray(model.get_latent_representation())
    return model, Fit(embedding, seconds=seconds, epochs=int(model.trainer.current_epoch))
