"""Linear representations, with which the demonstration compares those of the model."""

from __future__ import annotations

from importlib.util import find_spec

import numpy as np
import pandas as pd
import scanpy as sc
from mudata import MuData

_N_COMPONENTS = 20


def linear_representations(data: MuData, batch_key: str, seed: int) -> dict[str, np.ndarray]:
    """Principal components, and those that Harmony has aligned between batches.

    Components are those of the log-normalised counts of each modality, divided by their overall
    standard deviation so that all modalities have the same weight.

    Parameters
    ----------
    data
        Raw counts.
    batch_key
        Column of obs with the batch.
    seed
        Random seed.

    Returns
    -------
    Arrays of shape ``(n_cells, n)`` by method; without Harmony if harmonypy is not installed.
    """
    blocks = []
    for modality in data.mod.values():
        cells = modality.copy()
        sc.pp.normalize_total(cells)
        sc.pp.log1p(cells)
        n_components = min(_N_COMPONENTS, min(cells.shape) - 1)
        sc.pp.pca(cells, n_comps=n_components, random_state=seed)
        blocks.append(cells.obsm["X_pca"] / cells.obsm["X_pca"].std())
    components = np.hstack(blocks)
    found = {"PCA": components}
    if find_spec("harmonypy") is not None:
        import harmonypy

        batches = pd.DataFrame({batch_key: data.obs[batch_key].astype(str).to_numpy()})
        result = harmonypy.run_harmony(
            components, batches, [batch_key], random_state=seed, verbose=False
        )
        found["PCA + Harmony"] = np.asarray(result.Z_corr)
    return found
