"""Simulated genome: coordinates of genes and peaks, and the links between them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

_N_CHROMOSOMES = 20
_BIN = 1_000
_PEAK_WIDTH = 500
_GENE_LENGTH = 10_000
_MIN_BINS_PER_GENE = 200


@dataclass(frozen=True)
class Genome:
    """Coordinates of genes and peaks, and the gene linked to each peak.

    Parameters
    ----------
    genes, peaks
        Tables indexed by name with columns ``chrom``, ``start`` and ``end`` in base pairs, in
        genomic order.
    gene_of_peak
        Position of the gene linked to each peak, -1 for none.

    Examples
    --------
    >>> import numpy as np
    >>> genome = simulate_genome(
    ...     n_genes=2, n_peaks=3, n_linked_peaks=1, rng=np.random.default_rng(0)
    ... )
    >>> genome.links()["gene"].tolist()
    ['gene_0', 'gene_1']
    """

    genes: pd.DataFrame
    peaks: pd.DataFrame
    gene_of_peak: NDArray[np.intp]

    def links(self) -> pd.DataFrame:
        """True links: columns ``gene``, ``peak`` and ``distance`` (peak to gene start, in bp)."""
        linked = np.flatnonzero(self.gene_of_peak >= 0)
        linked = linked[np.argsort(self.gene_of_peak[linked], kind="stable")]
        gene = self.gene_of_peak[linked]
        distance = self.peaks["start"].to_numpy()[linked] - self.genes["start"].to_numpy()[gene]
        return pd.DataFrame(
            {
                "gene": self.genes.index.to_numpy()[gene],
                "peak": self.peaks.index.to_numpy()[linked],
                "distance": distance,
            }
        )


def simulate_genome(
    n_genes: int, n_peaks: int, n_linked_peaks: int, rng: np.random.Generator
) -> Genome:
    """Simulate evenly spaced genes and the peaks around them.

    Linked peaks lie in the middle half of their gene's window, other peaks anywhere. Distance to a
    gene is therefore informative about a link but does not determine it.

    Parameters
    ----------
    n_genes, n_peaks
        Numbers of features.
    n_linked_peaks
        Peaks linked to each gene; ``n_genes * n_linked_peaks`` must not exceed ``n_peaks``.
    rng
        Random generator.

    Returns
    -------
    Genome
        Genes and peaks in genomic order.

    Examples
    --------
    >>> import numpy as np
    >>> simulate_genome(5, 12, 2, np.random.default_rng(0)).peaks.shape
    (12, 3)
    """
    window = max(_MIN_BINS_PER_GENE, 4 * -(-n_peaks // n_genes))
    half = window // 2
    within = rng.random((n_genes, half)).argsort(axis=1)[:, :n_linked_peaks] + half // 2
    linked_bins = (np.arange(n_genes)[:, None] * window + within).ravel()
    linked_genes = np.repeat(np.arange(n_genes), n_linked_peaks)
    is_free = np.ones(n_genes * window, dtype=bool)
    is_free[linked_bins] = False
    n_others = n_peaks - len(linked_bins)
    other_bins = rng.choice(np.flatnonzero(is_free), n_others, replace=False)

    bins = np.concatenate([linked_bins, other_bins])
    genes_of_bins = np.concatenate([linked_genes, np.full(n_others, -1)])
    order = np.argsort(bins)
    genes = _table(np.arange(n_genes) * window + half, window, n_genes, _GENE_LENGTH)
    genes.index = pd.Index([f"gene_{i}" for i in range(n_genes)])
    peaks = _table(bins[order], window, n_genes, _PEAK_WIDTH)
    peaks.index = pd.Index(
        peaks["chrom"].astype(str)
        + ":"
        + peaks["start"].astype(str)
        + "-"
        + peaks["end"].astype(str)
    )
    return Genome(genes, peaks, genes_of_bins[order].astype(np.intp))


def _table(bins: NDArray[np.intp], window: int, n_genes: int, width: int) -> pd.DataFrame:
    """Coordinates of features that start in the given genomic bins."""
    genes_per_chromosome = -(-n_genes // _N_CHROMOSOMES)
    chromosome, position = np.divmod(bins, genes_per_chromosome * window)
    start = (position * _BIN + _BIN).astype(np.int64)
    names = [f"chr{i + 1}" for i in range(_N_CHROMOSOMES)]
    return pd.DataFrame(
        {
            "chrom": pd.Categorical.from_codes(chromosome, categories=names),
            "start": start,
            "end": start + width,
        }
    )
