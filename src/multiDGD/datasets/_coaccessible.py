"""Simulated multiomes in which neighbouring peaks are open together and few of them are linked."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import mudata
import numpy as np
import pandas as pd
from anndata import AnnData
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from scipy.special import softmax

from multiDGD._checks import finite, integer, positive, positive_int
from multiDGD._mudata import without_pulling

from ._negative_binomial import sample_negative_binomial

if TYPE_CHECKING:
    from mudata import MuData

_N_CHROMOSOMES = 20
_SPACING = 2_000_000
_FARTHEST = 450_000
# Linked peaks are near their gene: the density decreases exponentially, on this scale.
_LINK_SCALE = 80_000
_GENE_LENGTH, _PEAK_WIDTH = 10_000, 500
_P_LINKS = (0.4, 0.4, 0.2)
_BASE_SD = 0.8
_LIBRARY_SD = 0.3
_INVERSE_DISPERSION = 4.0
_WITHIN_TYPE_SD = 0.5


def simulate_coaccessible(
    n_cells: int = 2000,
    n_genes: int = 200,
    n_peaks_per_gene: int = 8,
    n_types: int = 12,
    *,
    n_latent: int = 12,
    coaccessibility: float = 0.6,
    fluctuation_sd: float = 0.5,
    own_share: float = 0.3,
    mean_rna: float = 1.0,
    mean_atac: float = 0.4,
    seed: int = 0,
) -> MuData:
    r"""Simulate genes with 0 to 2 linked peaks among correlated neighbours.

    The log mean of peak p is :math:`a_p = w_p \cdot z + \epsilon_p`. Representations z are normal
    around the centres of types, and :math:`\epsilon` fluctuates independently of z in every cell.
    Loadings w and fluctuations of the peaks around one gene have the correlation
    ``coaccessibility``; those of different genes are independent. The log mean of a gene with k
    linked peaks is the sum of their a, divided by :math:`\sqrt k`, and of a part of its own that
    is linear in z. Genes have 0, 1 and 2 linked peaks with the probabilities .4, .4 and .2. Nearer
    peaks are linked more often. Counts are negative binomial.

    Parameters
    ----------
    n_cells, n_genes, n_types
        Numbers of cells, genes and cell types.
    n_peaks_per_gene
        Number of peaks within 450 kb of each gene, at uniform distances.
    n_latent
        Number of dimensions of z.
    coaccessibility
        Correlation of neighbouring peaks, at least 0 and below 1.
    fluctuation_sd
        Standard deviation of the fluctuations.
    own_share
        Share of a gene's variance that linked peaks do not explain, above 0 and at most 1.
    mean_rna, mean_atac
        Mean counts of a gene and a peak.
    seed
        Seed of the simulation; the global generators are not used.

    Returns
    -------
    mudata.MuData
        Modalities ``rna`` and ``atac`` with counts (CSR, float32), ``var[["chrom", "start",
        "end"]]``, ``obs["cell_type"]``, and ``uns["truth"]["links"]``, a table of ``gene``, ``peak``
        and ``distance`` (base pairs from the start of the gene to the middle of the peak).

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type or is out of range; the message names it.

    Examples
    --------
    >>> mdata = simulate_coaccessible(n_cells=50, n_genes=10, n_peaks_per_gene=6)
    >>> mdata.shape
    (50, 70)
    """
    counted = {"n_cells": n_cells, "n_genes": n_genes, "n_types": n_types, "n_latent": n_latent}
    for name, value in {**counted, "n_peaks_per_gene": n_peaks_per_gene}.items():
        positive_int(name, value)
    if n_peaks_per_gene < len(_P_LINKS) - 1:
        raise ValueError(f"`n_peaks_per_gene` must be at least 2, found {n_peaks_per_gene}.")
    positive("mean_rna", mean_rna)
    positive("mean_atac", mean_atac)
    if not 0 <= finite("coaccessibility", coaccessibility) < 1:
        raise ValueError(f"`coaccessibility` must be in [0, 1), found {coaccessibility}.")
    if not 0 < finite("own_share", own_share) <= 1:
        raise ValueError(f"`own_share` must be in (0, 1], found {own_share}.")
    if finite("fluctuation_sd", fluctuation_sd) < 0:
        raise ValueError(f"`fluctuation_sd` must not be negative, found {fluctuation_sd}.")
    rng = np.random.default_rng(integer("seed", seed))

    types = rng.integers(0, n_types, n_cells)
    centres = rng.normal(size=(n_types, n_latent))
    z_nl = centres[types] + rng.normal(0, _WITHIN_TYPE_SD, (n_cells, n_latent))
    genes, peaks, distance_p = _genome(n_genes, n_peaks_per_gene, rng)
    locus_p = np.repeat(np.arange(n_genes), n_peaks_per_gene)
    root = math.sqrt(n_latent)
    loadings_pl = _correlated(locus_p, n_latent, coaccessibility, rng) / root
    fluctuations_pn = _correlated(locus_p, n_cells, coaccessibility, rng) * fluctuation_sd
    peak_np = z_nl @ loadings_pl.T + fluctuations_pn.T

    n_links = rng.choice(len(_P_LINKS), n_genes, p=_P_LINKS)
    gene_ng = z_nl @ rng.normal(size=(n_genes, n_latent)).T / root
    linked = []
    for gene, n in enumerate(n_links):
        here = np.flatnonzero(locus_p == gene)
        density = np.exp(-np.abs(distance_p[here]) / _LINK_SCALE) + 1e-3
        chosen = rng.choice(here, n, replace=False, p=density / density.sum())
        linked.append(chosen)
        if n:
            gene_ng[:, gene] *= math.sqrt(own_share)
            of_peaks = peak_np[:, chosen].sum(1) / math.sqrt(n)
            gene_ng[:, gene] += math.sqrt(1 - own_share) * of_peaks

    obs = pd.DataFrame(
        {"cell_type": pd.Categorical.from_codes(types, [f"type_{i}" for i in range(n_types)])},
        index=pd.Index([f"cell_{i}" for i in range(n_cells)]),
    )
    mods = {
        name: AnnData(_counts(log_mean, mean, rng), obs=pd.DataFrame(index=obs.index), var=var)
        for name, log_mean, mean, var in (
            ("rna", gene_ng, mean_rna, genes),
            ("atac", peak_np, mean_atac, peaks),
        )
    }
    with without_pulling():
        mdata = mudata.MuData(mods)
    mdata.obs = obs
    at = np.concatenate(linked).astype(int)
    mdata.uns["truth"] = {
        "links": pd.DataFrame(
            {
                "gene": genes.index.to_numpy()[locus_p[at]],
                "peak": peaks.index.to_numpy()[at],
                "distance": distance_p[at],
            }
        )
    }
    return mdata


def _genome(
    n_genes: int, n_peaks_per_gene: int, rng: np.random.Generator
) -> tuple[pd.DataFrame, pd.DataFrame, NDArray[np.int64]]:
    """Positions of genes far from each other and of the peaks around them, and distances."""
    chromosome, place = np.divmod(np.arange(n_genes), -(-n_genes // _N_CHROMOSOMES))
    genes = _table(chromosome, (place + 1) * _SPACING, _GENE_LENGTH)
    genes.index = pd.Index([f"gene_{i}" for i in range(n_genes)])
    locus_p = np.repeat(np.arange(n_genes), n_peaks_per_gene)
    # Neighbouring peaks do not overlap.
    bins = np.arange(-_FARTHEST // (2 * _PEAK_WIDTH), _FARTHEST // (2 * _PEAK_WIDTH))
    chosen = [np.sort(rng.choice(bins, n_peaks_per_gene, replace=False)) for _ in range(n_genes)]
    distance_p = np.concatenate(chosen).astype(np.int64) * 2 * _PEAK_WIDTH
    middle_p = genes["start"].to_numpy()[locus_p] + distance_p
    peaks = _table(chromosome[locus_p], middle_p - _PEAK_WIDTH // 2, _PEAK_WIDTH)
    peaks.index = pd.Index(
        [f"{c}:{s}-{e}" for c, s, e in peaks.itertuples(index=False, name=None)]
    )
    return genes, peaks, distance_p


def _table(chromosome: NDArray[np.intp], start: NDArray[np.int64], width: int) -> pd.DataFrame:
    names = [f"chr{i + 1}" for i in chromosome]
    return pd.DataFrame({"chrom": names, "start": start, "end": start + width})


def _correlated(
    locus_p: NDArray[np.intp], size: int, correlation: float, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Normal vectors that are correlated within loci, shape ``(p, size)``."""
    shared = rng.normal(size=(locus_p.max() + 1, size))[locus_p]
    own = rng.normal(size=(len(locus_p), size))
    return math.sqrt(correlation) * shared + math.sqrt(1 - correlation) * own


def _counts(log_mean_nf: NDArray[np.float64], mean: float, rng: np.random.Generator) -> csr_matrix:
    n, f = log_mean_nf.shape
    shares_nf = softmax(log_mean_nf + rng.normal(0, _BASE_SD, f), axis=1)
    library_n = mean * f * rng.lognormal(0, _LIBRARY_SD, n)
    mean_nf = (shares_nf * library_n[:, None]).astype(np.float32)
    return sample_negative_binomial(mean_nf, _INVERSE_DISPERSION, rng)
