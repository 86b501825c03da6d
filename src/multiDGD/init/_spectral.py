"""Joint spectral embedding of the cells of any number of modalities."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
from sklearn.decomposition import PCA

from ._normalize import NORMALIZATIONS, choose_normalization, row_sums

Array = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]


def spectral_embedding(
    counts: Mapping[str, sp.csr_matrix],
    *,
    n_latent: int,
    feature_names: Mapping[str, Sequence[str]] | None = None,
    covariates: Sequence[npt.NDArray[np.integer]] = (),
    normalization: str | Mapping[str, str] = "auto",
    fit_cells: Mask | None = None,
    seed: int = 0,
) -> Array:
    """First working version: see the parameters' names; refined below."""
    n_cells = next(iter(counts.values())).shape[0]
    fit = np.ones(n_cells, bool) if fit_cells is None else np.asarray(fit_cells, bool)
    blocks = []
    for name in sorted(counts):
        x = sp.csr_matrix(counts[name])
        x = x[:, np.bincount(x.indices, minlength=x.shape[1]) > 0]
        present = row_sums(x) > 0
        learn = fit & present
        if x.shape[1] == 0 or learn.sum() < 2:
            continue
        kind = normalization if isinstance(normalization, str) else normalization.get(name, "auto")
        if kind == "auto":
            kind = choose_normalization(x, None if feature_names is None else feature_names[name])
        y = NORMALIZATIONS[kind](x, fit)
        k = min(30, min(learn.sum(), y.shape[1]) - 1)
        scores = np.zeros((n_cells, max(k, 1)), np.float32)
        if k < 1:
            scores[present] = y[present].toarray()[:, :1]
        else:
            pca = PCA(k, svd_solver="arpack" if y.shape[1] > 2000 else "covariance_eigh",
                      random_state=seed).fit(y[learn])
            scores[present] = pca.transform(y[present])
        depth = np.log(np.maximum(row_sums(x), 1.0))
        depth = depth - depth[learn].mean()
        slope = scores[learn].T @ depth[learn] / max(float((depth[learn] ** 2).sum()), 1e-12)
        scores -= np.where(present, depth, 0)[:, None] * slope
        scores[present] -= scores[learn].mean(0)
        blocks.append(scores / max(np.sqrt((scores[learn] ** 2).sum(1).mean()), 1e-12))
    out = np.zeros((n_cells, n_latent), np.float32)
    if blocks:
        joint = np.hstack(blocks)
        _, _, vt = np.linalg.svd(joint[fit], full_matrices=False)
        vt *= np.sign(vt[np.arange(len(vt)), np.abs(vt).argmax(1)])[:, None]
        z = joint @ vt[:n_latent].T
        out[:, : z.shape[1]] = z
    scale = np.sqrt(float((out[fit] ** 2).mean()))
    return (out / scale if scale > 0 else out).astype(np.float32)
