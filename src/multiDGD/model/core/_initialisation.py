"""Initialisation of the module from registered cells."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial, reduce
from typing import Literal, TypeAlias, get_args

import numpy as np
import torch
from scipy import sparse
from scvi import settings

from multiDGD._checks import choice
from multiDGD.data import CellDataset, CellManager
from multiDGD.init import CountBlocks, spectral_embedding
from multiDGD.latent import GaussianMixtureSupervised
from multiDGD.module import MultiDGDModule
from multiDGD.train import initialise_at_zero, initialise_from_embedding

Start: TypeAlias = Literal["spectral", "zero"]


def initialise(
    module: MultiDGDModule,
    manager: CellManager,
    start: Start | np.ndarray,
    train_cells: np.ndarray,
) -> None:
    """Initialise representations, mixtures, decoder and scales of continuous covariates.

    Parameters
    ----------
    module
        Module with one representation for each registered cell, changed in place.
    manager
        Manager of the registered cells.
    start
        ``"spectral"``, ``"zero"``, or an embedding of shape ``(n_cells, n_latent)``.
    train_cells
        Positions of the training cells. Other cells do not affect any parameter.

    Raises
    ------
    ValueError
        If the mixture is supervised and no training cell has a label, or ``start`` is invalid.
    """
    dataset = manager.create_torch_dataset()
    supervised = isinstance(module.mixture, GaussianMixtureSupervised)
    if supervised and not (dataset.labels[train_cells] >= 0).any():
        raise ValueError("`labels_key`: no training cell has a label. Increase `train_size`.")
    _set_covariate_scales(module, dataset, train_cells)
    if isinstance(start, str) and start == "zero":
        initialise_at_zero(module)
        return
    counts = {m: _counts(manager, m) for m in module.modalities}
    initialise_from_embedding(
        module,
        _initial_embedding(module, manager, start, counts, train_cells),
        counts,
        train_cells=train_cells,
        labels=dataset.labels,
        covariates=dataset.covariates,
        libraries=manager.libraries,
        panels=manager.panels,
        seed=settings.seed or 0,
    )


def _counts(manager: CellManager, modality: str) -> sparse.csr_matrix | CountBlocks:
    """Counts of one modality; those on disk are read in blocks whenever they are used."""
    if manager.is_loaded(modality):
        return manager.matrix(modality)
    shape = manager.adata.n_obs, manager.summary.n_features[modality]
    return CountBlocks(shape, partial(manager.blocks, modality))


def _columns(
    counts: sparse.csr_matrix | CountBlocks, features: np.ndarray
) -> sparse.csr_matrix | CountBlocks:
    """Counts of some features."""
    if isinstance(counts, CountBlocks):
        return counts.columns(features)
    return counts[:, features]


def _initial_embedding(
    module: MultiDGDModule,
    manager: CellManager,
    start: Start | np.ndarray,
    counts: Mapping[str, sparse.csr_matrix | CountBlocks],
    train_cells: np.ndarray,
) -> np.ndarray:
    """The given embedding, or the spectral embedding learned from the training cells."""
    shape = (manager.adata.n_obs, module.n_latent)
    if isinstance(start, str):
        choice("start", start, get_args(Start), " or an array")
        fit_cells = np.zeros(shape[0], dtype=bool)
        fit_cells[train_cells] = True
        return compute_spectral_embedding(manager, counts, shape[1], fit_cells)
    embedding = np.asarray(start)
    if embedding.shape != shape or not np.isfinite(embedding).all():
        raise ValueError(f"`start` must be finite and of shape {shape}, found {embedding.shape}.")
    return embedding


def _set_covariate_scales(
    module: MultiDGDModule, dataset: CellDataset, train_cells: np.ndarray
) -> None:
    """Set mean and scale of the continuous covariates to those of the training cells."""
    values = torch.from_numpy(dataset.continuous[train_cells])
    if values.shape[1]:
        scale = values.std(0, correction=0)
        module.continuous_mean.copy_(values.mean(0))
        module.continuous_scale.copy_(torch.where(scale > 0, scale, torch.ones(())))


def compute_spectral_embedding(
    manager: CellManager,
    counts: Mapping[str, sparse.csr_matrix | CountBlocks],
    n_latent: int,
    fit_cells: np.ndarray | None = None,
    cells: np.ndarray | None = None,
) -> np.ndarray:
    """Spectral embedding of registered cells, shape ``(n_cells, n_latent)``.

    Parameters
    ----------
    manager
        Manager of the registered cells.
    counts
        Counts of each modality, shape ``(n_cells, f)``.
    n_latent
        Dimensions of the representation.
    fit_cells
        Mask of the cells from which the embedding is learned, all by default.
    cells
        Positions of the cells of ``counts``, all by default.
    """
    covariates = manager.create_torch_dataset().covariates
    if cells is not None:
        covariates = covariates[cells]
    names = manager.summary.features
    shared = _shared_features(manager)
    return spectral_embedding(
        {m: _columns(x, shared[m]) if m in shared else x for m, x in counts.items()},
        n_latent=n_latent,
        feature_names={m: list(x[shared[m]] if m in shared else x) for m, x in names.items()},
        covariates=list(covariates.T),
        fit_cells=fit_cells,
        seed=settings.seed or 0,
    )


def _shared_features(manager: CellManager) -> dict[str, np.ndarray]:
    """Features that all panels have in common, in modalities where some panels lack features."""
    found = {}
    for modality, n in manager.summary.n_features.items():
        measured = [o[modality] for o in manager.panels.observed if modality in o]
        shared = reduce(np.intersect1d, measured, np.arange(n))
        if 0 < len(shared) < n:
            found[modality] = shared
    return found
