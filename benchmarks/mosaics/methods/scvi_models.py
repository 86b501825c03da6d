"""Models of scvi-tools, with zeros for missing modalities as in their tutorials."""

from __future__ import annotations

from typing import Any

import mudata as md
import numpy as np
import scvi

from benchmarks.mosaics.task import PAIRED, Fit, Task, group
from benchmarks.shared.data import BATCH_KEY
from benchmarks.shared.missing_modalities import with_zeros
from benchmarks.shared.settings import QUIET
from benchmarks.shared.timing import Seconds

_MEASURED_KEY, _GROUP_KEY = "measured", "group"


def multivi(task: Task) -> Fit:
    """MultiVI; the measured modalities are its batch, and batches a covariate.

    Missing modalities are decoded as in paired cells. Proteins are not predicted.
    """
    scvi.settings.seed = task.seed
    cells = with_zeros(task.data.data, task.data.data)
    rna, other = cells.mod
    layer = "atac_layer" if other == "atac" else "protein_layer"
    if layer == "protein_layer":
        _make_dense(cells, other)
    cells.obs[_MEASURED_KEY] = task.measured.astype(str)
    scvi.model.MULTIVI.setup_mudata(
        cells,
        batch_key=_MEASURED_KEY,
        categorical_covariate_keys=[BATCH_KEY] if task.n_batches > 1 else None,
        modalities={"rna_layer": rna, layer: other},
    )
    clock = Seconds.now()
    model = scvi.model.MULTIVI(cells)
    fit = _trained(model, task, clock)
    if task.imputes:
        options = {"transform_batch": PAIRED, "return_numpy": True}
        fit.imputed[rna] = model.get_normalized_expression(indices=task.lacking(rna), **options)
        if other == "atac":
            fit.imputed[other] = model.get_normalized_accessibility(
                indices=task.lacking(other), normalize_regions=True, **options
            )
    return fit


def totalvi(task: Task) -> Fit:
    """TotalVI; cells with and without proteins of a batch are two batches.

    It requires RNA: protein-only cells are left out. Proteins are decoded as in the paired cells
    of the same batch.
    """
    scvi.settings.seed = task.seed
    rna, prot = task.data.modalities
    has_rna = task.measured != prot
    cells = with_zeros(task.data.data[has_rna].copy(), task.data.data)
    groups, batch = task.groups[has_rna], task.data.batch[has_rna]
    _make_dense(cells, prot)  # the background prior requires dense proteins
    for part in (cells, *cells.mod.values()):
        part.obs[_GROUP_KEY] = groups
    scvi.model.TOTALVI.setup_mudata(
        cells,
        batch_key=_GROUP_KEY,
        modalities={"rna_layer": rna, "protein_layer": prot, "batch_key": rna},
    )
    clock = Seconds.now()
    model = scvi.model.TOTALVI(cells, n_layers_decoder=2)
    fit = _trained(model, task, clock)
    embedding = np.full((len(has_rna), fit.embedding.shape[1]), np.nan)
    embedding[has_rna] = fit.embedding
    fit.embedding = embedding
    if task.imputes:
        lacking = np.searchsorted(np.flatnonzero(has_rna), task.lacking(prot))
        fit.imputed[prot] = _proteins(model, batch, lacking)
    return fit


def _proteins(model: Any, batch: np.ndarray, cells: np.ndarray) -> np.ndarray:
    """Expected proteins of some cells, from 25 samples each, with background."""
    found = np.empty((len(cells), model.summary_stats.n_proteins), dtype=np.float32)
    for name in np.unique(batch[cells]):
        here = batch[cells] == name
        found[here] = model.get_normalized_expression(
            indices=cells[here],
            n_samples=25,
            return_mean=True,
            transform_batch=group(name, PAIRED),
            include_protein_background=True,
            return_numpy=True,
        )[1]
    return found


def _make_dense(cells: md.MuData, modality: str) -> None:
    cells.mod[modality].X = cells.mod[modality].X.toarray()


def _trained(model: Any, task: Task, clock: Seconds) -> Fit:
    """Train, and return a fit without imputed counts."""
    model.train(**task.limit, **QUIET)
    seconds = Seconds.now().since(clock)
    embedding = np.asarray(model.get_latent_representation())
    return Fit(embedding, seconds, epochs=int(model.trainer.current_epoch))
