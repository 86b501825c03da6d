"""Links of genes with peaks, conditional on the peaks around each gene."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from multiDGD.data import CellManager
from multiDGD.inference import associations, counts_and_means
from multiDGD.model.decoding._decoding import DecodingMixin
from multiDGD.stats import (
    ResidualEvidence,
    SharedFluctuation,
    SingleEffects,
    StandardisedResiduals,
    contact_prior,
    link_peaks,
)

from ._positions import Positions

# Peaks elsewhere, in blocks of neighbours, from which the shared fluctuation is estimated.
_N_BLOCKS, _BLOCK = 40, 8


class ConditionalLinkMixin(DecodingMixin):
    """Probabilities of links of genes with the peaks around them."""

    def _conditional_links(
        self,
        manager: CellManager,
        cells: np.ndarray,
        batches: Sequence[tuple[dict[str, Any], Tensor]],
        genes: np.ndarray,
        positions: Positions,
        window: float,
        use_distance: bool,
        modalities: tuple[str, str],
        rng: np.random.Generator,
        batch_size: int | None,
    ) -> list[tuple[np.ndarray, SingleEffects]]:
        """Peaks in the window of each gene, with probabilities and effects.

        Parameters
        ----------
        manager, cells
            Cells whose counts are compared.
        batches
            Minibatches of the cells whose decoded responses are compared.
        genes
            Indices of genes.
        positions, window
            Positions of all features, and largest distance in base pairs.
        use_distance
            Whether near peaks have a higher prior probability.
        modalities
            Modality of the genes and of the peaks.
        rng
            Random generator, for the choice of further peaks.
        batch_size
            Cells in each minibatch.
        """
        distance_qp = np.stack([positions.distances(g) for g in genes])
        is_near_qp = np.abs(distance_qp) <= window
        in_windows = np.flatnonzero(is_near_qp.any(0))
        peaks = np.union1d(in_windows, _blocks_of_neighbours(positions, rng))
        gene_modality, peak_modality = modalities
        at_genes, at_peaks = torch.from_numpy(genes), torch.from_numpy(peaks)
        device = self.module.device
        of_genes = associations(self.module, batches, at_genes.to(device), *modalities)
        of_peaks = associations(
            self.module,
            batches,
            at_peaks.to(device),
            peak_modality,
            peak_modality,
            at_peaks.to(device),
        )
        found = counts_and_means(
            self.module,
            self._panels(manager),
            self._represented_batches(manager, cells, batch_size),
            {gene_modality: at_genes, peak_modality: at_peaks},
        )
        gene, peak = (
            StandardisedResiduals.of(*(x.double().numpy() for x in found[m])) for m in modalities
        )
        n_cells = len(gene.value)
        # Standard deviations of log means on the scale of the residuals.
        scale_q = gene.gain * of_genes.variance_source.sqrt().cpu().numpy()
        scale_p = peak.gain * of_peaks.variance_source.sqrt().cpu().numpy()
        correlation_qf = of_genes.correlation.double().cpu().numpy()
        correlation_pp = of_peaks.correlation.double().cpu().numpy()
        if n_cells:
            shared = SharedFluctuation.of(
                peak.value.T @ peak.value / n_cells,
                scale_p[:, None] * scale_p * correlation_pp,
                _are_near(positions, peaks, window),
            )
        links = []
        for q in range(len(genes)):
            near = np.flatnonzero(is_near_qp[q])
            at = np.searchsorted(peaks, near)
            residual = None
            if n_cells:
                product_p = scale_q[q] * scale_p[at]
                residual = ResidualEvidence(
                    gene.value[:, q] @ peak.value[:, at] / n_cells
                    - shared.far * product_p * correlation_qf[q, near],
                    shared.near * product_p,
                    n_cells,
                )
            links.append(
                (
                    near,
                    link_peaks(
                        correlation_qf[q, near],
                        correlation_pp[np.ix_(at, at)],
                        _n_directions(correlation_qf[q], is_near_qp[q]),
                        contact_prior(distance_qp[q, near] * use_distance),
                        residual,
                    ),
                )
            )
        return links


def _n_directions(correlation_f: np.ndarray, is_near_f: np.ndarray) -> float:
    """Number of directions in which unlinked features vary, from a gene and distant peaks."""
    distant = correlation_f[~is_near_f]
    # A panel around few genes has no distant peaks.
    square = np.square(distant if len(distant) >= _BLOCK else correlation_f).mean()
    return float(1 / max(square, 1e-3))


def _blocks_of_neighbours(positions: Positions, rng: np.random.Generator) -> np.ndarray:
    """Indices of peaks in random blocks of neighbours on the genome."""
    table = positions.peaks
    known = np.flatnonzero(table["chrom"].notna())
    order = np.lexsort(
        (
            table["start"].to_numpy()[known].astype(float),
            table["chrom"].astype(str).to_numpy()[known],
        )
    )
    n_starts = max(len(known) - _BLOCK, 0) + 1
    starts = rng.choice(n_starts, min(_N_BLOCKS, n_starts), replace=False)
    within = (starts[:, None] + np.arange(_BLOCK)).ravel()
    return known[order][np.unique(within[within < len(known)])]


def _are_near(positions: Positions, peaks: np.ndarray, window: float) -> np.ndarray:
    """Whether pairs of peaks are on one chromosome, and at most a window apart."""
    table = positions.peaks.iloc[peaks]
    chrom, start = table["chrom"].astype(str).to_numpy(), table["start"].to_numpy(float)
    return (chrom[:, None] == chrom) & (np.abs(start[:, None] - start) <= window)
