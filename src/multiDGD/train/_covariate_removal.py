"""Removal of covariates from the representations during a training."""

from __future__ import annotations

import numpy as np
import torch
from lightning.pytorch.strategies import Strategy
from torch import Tensor

from multiDGD.init import remove_covariates

from ._collectives import compute_once
from ._splitter import CellSplitter


def remove_from_table(z_nl: Tensor, splitter: CellSplitter, strategy: Strategy) -> None:
    """Remove the registered covariates from representations, in place.

    Parameters
    ----------
    z_nl
        Representations of all cells, shape ``(n, l)``.
    splitter
        Data module of the training. The removal is fitted to its training cells.
    strategy
        Strategy of the trainer; the first process computes for all.
    """
    covariates = splitter.adata_manager.create_torch_dataset().covariates
    if not covariates.shape[1]:
        return
    values = z_nl.cpu().numpy()
    fit = np.zeros(len(values), dtype=bool)
    fit[splitter.train_idx] = True
    centre = values.mean(0, dtype=np.float64, where=fit[:, None])

    def removed() -> np.ndarray:
        codes = list(covariates.T)
        return remove_covariates(values, codes, fit, centre=centre, seed=splitter.seed)

    z_nl.copy_(torch.from_numpy(compute_once(strategy, removed)))
