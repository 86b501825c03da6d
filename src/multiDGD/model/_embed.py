"""The spectral embedding of registered cells."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from scipy import sparse
from scvi import settings

from multiDGD.data import CellManager
from multiDGD.init import spectral_embedding


def embed_cells(
    manager: CellManager,
    counts: Mapping[str, sparse.csr_matrix],
    n_latent: int,
    fit_cells: np.ndarray | None = None,
) -> np.ndarray:
    """Where training starts from, for all registered cells, shape ``(n_cells, n_latent)``.

    Parameters
    ----------
    manager
        Of the registered cells.
    counts
        Their counts in each modality, shape ``(n_cells, f)``.
    n_latent
        Dimensions of the representation.
    fit_cells
        Mask of the cells to learn the embedding from, all by default.
    """
    return spectral_embedding(
        counts,
        n_latent=n_latent,
        feature_names={m: list(names) for m, names in manager.summary.features.items()},
        covariates=list(manager.create_torch_dataset().covariates.T),
        fit_cells=fit_cells,
        seed=settings.seed or 0,
    )
