"""Links of genes with peaks by published methods, written for simulated counts."""

from __future__ import annotations

import numpy as np
import statsmodels.api as sm

N_BACKGROUND = 200


def signac_z(
    rna: np.ndarray, atac: np.ndarray, of_gene: np.ndarray, of_peak: np.ndarray, seed: int
) -> np.ndarray:
    """Pearson correlation of a gene and a peak, in standard deviations of background peaks.

    As ``LinkPeaks`` of Signac (Ma et al., 2020; Stuart et al., 2021): the background of a pair are
    peaks at other genes with about the same total count. Counts are normalised by the library
    size; those of the gene are also log-transformed.

    Parameters
    ----------
    rna, atac
        Counts of cells, shapes ``(n, genes)`` and ``(n, peaks)``.
    of_gene, of_peak
        Pairs of a gene and a peak.
    seed
        Seed of the choice of background peaks.
    """
    x = np.log1p(rna / rna.sum(1, keepdims=True) * 1e4)
    y = atac / np.maximum(atac.sum(1, keepdims=True), 1)
    correlation = _standardised(x).T @ _standardised(y) / len(x)
    rng = np.random.default_rng(seed)
    total, z = np.log(atac.sum(0) + 1), np.empty(len(of_gene))
    for i, (gene, peak) in enumerate(zip(of_gene, of_peak, strict=True)):
        others = np.setdiff1d(np.arange(atac.shape[1]), of_peak[of_gene == gene])
        nearest = others[np.argsort(np.abs(total[others] - total[peak]))[: 2 * N_BACKGROUND]]
        background = correlation[gene, rng.choice(nearest, N_BACKGROUND, replace=False)]
        z[i] = (correlation[gene, peak] - background.mean()) / background.std()
    return z


def poisson_z(
    rna: np.ndarray,
    atac: np.ndarray,
    of_gene: np.ndarray,
    of_peak: np.ndarray,
    covariates: np.ndarray | None,
) -> np.ndarray:
    """Coefficient of the binary peak in a Poisson regression of the gene, over its error.

    As SCENT (Sakaue et al., 2024), with the logarithm of the total RNA count as a covariate. SCENT
    estimates errors by bootstrapping cells, which the robust errors here approximate.

    Parameters
    ----------
    rna, atac, of_gene, of_peak
        As for :func:`signac_z`.
    covariates
        Further covariates of the cells, shape ``(n, c)``.
    """
    fixed = np.stack([np.ones(len(rna)), np.log(rna.sum(1))], axis=1)
    if covariates is not None:
        fixed = np.hstack([fixed, covariates])
    z = np.empty(len(of_gene))
    for i, (gene, peak) in enumerate(zip(of_gene, of_peak, strict=True)):
        design = np.column_stack([atac[:, peak] > 0, fixed]).astype(float)
        model = sm.GLM(rna[:, gene].astype(float), design, family=sm.families.Poisson())
        fit = model.fit(cov_type="HC0")
        z[i] = fit.params[0] / fit.bse[0]
    return z


def _standardised(x: np.ndarray) -> np.ndarray:
    return (x - x.mean(0)) / np.maximum(x.std(0), 1e-12)
