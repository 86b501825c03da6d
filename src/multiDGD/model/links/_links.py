"""Associations between genes and peaks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Literal, TypeAlias

import numpy as np
import pandas as pd
import torch
from anndata import AnnData
from mudata import MuData
from torch import Tensor

from multiDGD._checks import choice, positive, positive_int
from multiDGD.data import CellManager
from multiDGD.inference import associations
from multiDGD.model.core._random import draw_cells, resolve_seed
from multiDGD.model.core._representations import as_positions
from multiDGD.stats import empirical_p_values, matched_controls

from ._conditional import ConditionalLinkMixin
from ._positions import GivenPositions, Positions, check_positions, find_positions
from ._published_step import published_step

Method: TypeAlias = Literal["association", "conditional", "published"]
_SCORES: dict[Method, str] = {
    "association": "association",
    "conditional": "association",
    "published": "change",
}
_WINDOW = 500_000.0


class LinkMixin(ConditionalLinkMixin):
    """Associations between features of two modalities."""

    def gene2peak(
        self,
        gene: str,
        gene_modality: str | None = None,
        peak_modality: str | None = None,
        adata: AnnData | MuData | None = None,
        indices: Sequence[int] | None = None,
        method: Method = "association",
        n_cells: int | None = 500,
        n_controls: int = 100,
        positions: GivenPositions | None = None,
        batch_size: int | None = None,
        window: float | None = None,
        use_distance: bool = True,
    ) -> pd.DataFrame:
        """Rank peaks by their association with a gene, or by the probability of a link.

        Associations are learned from unperturbed cells; they are not causal effects.

        Parameters
        ----------
        gene
            Name of the gene.
        gene_modality, peak_modality
            Modalities of the gene and the peaks. By default, the first one that consists of
            neither peaks nor proteins, and the last one that consists of peaks, by its name or
            those of its features, or else the last one.
        adata, indices
            Cells to include, as for :meth:`get_latent_representation`.
        method
            ``"association"`` is the correlation between the decoded log means of gene and peak.
            It refers to the variation of the population around each cell, with batch and other
            covariates fixed. A peak also correlates with a gene if it is open in the same cells
            as a linked peak. ``"conditional"`` therefore explains the gene by few of the peaks in
            the window together (:func:`multiDGD.stats.link_peaks`). It uses these correlations,
            the correlations of the peaks with each other, the residuals of the counts in all
            selected cells, and a prior that decreases with the distance. It needs genomic
            positions. ``"published"`` is the change of each peak's share after one gradient
            step towards a count of 0 of the gene. It is averaged over the cells that express the
            gene (Schuster et al., 2024). A peak that increases with the gene has a positive
            association and a negative change.
        n_cells
            Maximum number of cells whose decoded means are compared, drawn at random with
            ``scvi.settings.seed``; `None` for all.
        n_controls
            Number of control genes with about the same mean, for the p-values.
        positions
            Genomic positions: path of a GTF file, which may be compressed; table with the columns
            ``chrom``, ``start`` and ``end`` (and ``strand``) by feature name; or a dictionary of
            ``(chrom, start, end)`` by feature name. Not required if ``.var`` of the modalities has
            these columns (or ``interval``), or for peaks with names such as ``chr1:100-200``,
            ``chr1-100-200`` or ``chr1_100_200``.
        batch_size
            Cells in each minibatch. Defaults to ``scvi.settings.batch_size``.
        window
            Largest distance of a peak (base pairs). The default is 500,000 for ``"conditional"``
            and no limit for other methods.
        use_distance
            Whether near peaks have a higher prior probability (``"conditional"`` only). Without
            it, the distances of probable peaks are evidence for the links.

        Returns
        -------
        Table with a row for each peak, most probable or strongest first:

        - ``probability`` (``"conditional"`` only): that the peak is linked to the gene;
        - ``effect`` (``"conditional"`` only): association of the peak that is not due to other
          peaks (posterior mean, on the scale of correlations);
        - ``association`` or, for ``"published"``, ``change``;
        - ``p_value``: share of the control genes with an at least equally strong association or
          change of the peak;
        - ``chrom``, ``start``, ``end``: position of the peak, if that of the gene is known;
        - ``distance``: base pairs from the start of the gene (its end on the strand ``-``) to the
          middle of the peak, missing on other chromosomes.

        Raises
        ------
        ValueError
            If the gene, a modality or a cell does not exist, if no cell expresses the gene
            (``"published"`` only), or if positions are needed and unknown.

        Examples
        --------
        >>> import multiDGD
        >>> mdata = multiDGD.datasets.simulate_multiome(n_cells=100, n_genes=20, n_peaks=40)
        >>> multiDGD.MultiDGD.setup_mudata(mdata)
        >>> model = multiDGD.MultiDGD(mdata, n_latent=4)
        >>> model.train(max_epochs=2, enable_progress_bar=False, accelerator="cpu")
        >>> model.gene2peak("gene_3", n_controls=10).columns[:2].tolist()
        ['association', 'p_value']
        >>> model.gene2peak("gene_3", method="conditional").columns[:2].tolist()
        ['probability', 'effect']
        """
        source = self._modality_of_genes(gene_modality)
        target = self._modality_of_peaks(peak_modality, "peak_modality", or_last=True)
        cells = adata, indices, n_cells, batch_size
        return self._link_table(
            gene, True, source, target, method, n_controls, positions, window, use_distance, *cells
        )

    def peak2gene(
        self,
        peak: str,
        gene_modality: str | None = None,
        peak_modality: str | None = None,
        adata: AnnData | MuData | None = None,
        indices: Sequence[int] | None = None,
        method: Method = "association",
        n_cells: int | None = 500,
        n_controls: int = 100,
        positions: GivenPositions | None = None,
        batch_size: int | None = None,
        window: float | None = None,
        use_distance: bool = True,
    ) -> pd.DataFrame:
        """Rank genes by their association with a peak, or by the probability of a link.

        Parameters
        ----------
        peak
            Name of the peak.
        gene_modality, peak_modality, adata, indices, method, n_cells
            As for :meth:`gene2peak`. ``"conditional"`` explains each gene in the window by all
            peaks around that gene.
        n_controls
            Number of control peaks with about the same mean, for the p-values.
        positions, batch_size, window, use_distance
            As for :meth:`gene2peak`.

        Returns
        -------
        Table with a row for each gene and the columns of :meth:`gene2peak`. ``distance`` is from
        the start of the gene to the middle of the peak, and positions are those of the gene.

        Raises
        ------
        ValueError
            As for :meth:`gene2peak`.
        """
        source = self._modality_of_peaks(peak_modality, "peak_modality", or_last=True)
        target = self._modality_of_genes(gene_modality)
        cells = adata, indices, n_cells, batch_size
        return self._link_table(
            peak,
            False,
            source,
            target,
            method,
            n_controls,
            positions,
            window,
            use_distance,
            *cells,
        )

    def _link_table(
        self,
        feature: str,
        is_gene: bool,
        source: str,
        target: str,
        method: Method,
        n_controls: int,
        positions: GivenPositions | None,
        window: float | None,
        use_distance: bool,
        adata: AnnData | MuData | None,
        indices: Sequence[int] | None,
        n_cells: int | None,
        batch_size: int | None,
    ) -> pd.DataFrame:
        choice("method", method, list(_SCORES))
        positive_int("n_controls", n_controls)
        argument = "gene" if is_gene else "peak"
        if not isinstance(feature, str):
            raise ValueError(
                f"`{argument}` must be the name of one {argument}, found {feature!r}."
            )
        at = self._features(source, argument, [feature])
        manager = self._manager_of(adata)
        modalities = (source, target) if is_gene else (target, source)
        known, window = self._known_positions(
            manager, feature, is_gene, modalities, method, positions, window
        )
        rng = np.random.default_rng(resolve_seed())
        selected = as_positions(indices, manager.adata.n_obs)
        cells = draw_cells(selected, n_cells, rng)
        batches = list(self._represented_batches(manager, cells, batch_size))
        value_f, p_value_f = self._link_scores(
            feature, argument, int(at[0]), source, target, method, n_controls, batches, rng
        )
        names = self.summary.features[target]
        table = pd.DataFrame(
            {_SCORES[method]: value_f, "p_value": p_value_f}, index=pd.Index(names)
        )
        strength_f = np.abs(value_f)
        if known is not None:
            others = known.peaks if is_gene else known.genes
            distance_f = (
                known.distances(int(at[0])) if is_gene else known.distances_of_peak(int(at[0]))
            )
            table = table.join(others[["chrom", "start", "end"]].infer_objects())
            table["distance"] = distance_f
        if window is not None:
            kept = np.flatnonzero(np.abs(distance_f) <= window)
            if not len(kept):
                what = "peak" if is_gene else "gene"
                raise ValueError(
                    f"`window` contains no {what}: none is within {window:,.0f} base pairs of "
                    f"{feature!r}."
                )
            table, strength_f = table.iloc[kept], strength_f[kept]
        if method == "conditional" and known is not None and window is not None:
            genes = at if is_gene else kept
            links = self._conditional_links(
                manager,
                selected,
                batches,
                genes,
                known,
                window,
                use_distance,
                modalities,
                rng,
                batch_size,
            )
            if is_gene:
                ((_, (probability, effect)),) = links
            else:
                # Each gene has its own peaks, of which this one is at another place.
                own = [
                    (found.probability[peaks == at[0]], found.effect[peaks == at[0]])
                    for peaks, found in links
                ]
                probability, effect = np.concatenate(own, axis=1)
            table.insert(0, "probability", probability)
            table.insert(1, "effect", effect)
            strength_f = probability
        return table.iloc[np.argsort(-strength_f, kind="stable")]

    def _known_positions(
        self,
        manager: CellManager,
        feature: str,
        is_gene: bool,
        modalities: tuple[str, str],
        method: Method,
        given: GivenPositions | None,
        window: float | None,
    ) -> tuple[Positions | None, float | None]:
        """Positions, if distances are known, and the window; raise if needed ones are unknown."""
        needed_for = None
        if given is not None:
            needed_for = "`positions`"
        if window is not None:
            window = positive("window", window)
            needed_for = f"`window={window:g}`"
        if method == "conditional":
            needed_for = "`method='conditional'`"
            window = _WINDOW if window is None else window
        names = self.summary.features
        genes, peaks = ((m, names[m]) for m in modalities)
        known = find_positions(manager, genes, peaks, given)
        return (known if check_positions(known, feature, is_gene, needed_for) else None), window

    def _link_scores(
        self,
        feature: str,
        argument: str,
        at: int,
        source: str,
        target: str,
        method: Method,
        n_controls: int,
        batches: Sequence[tuple[dict[str, Any], Tensor]],
        rng: np.random.Generator,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Association or change of every target, and its p-value."""
        controls = matched_controls(
            self._mean_shares(batches, source), np.array([at]), n_controls, rng
        )
        sources = torch.from_numpy(np.concatenate([[at], controls[:, 0]]))
        if method == "published":
            value_qf = np.stack(
                [self._mean_published_change(batches, int(q), source, target) for q in sources]
            )
            if np.isnan(value_qf[0]).all():
                n_cells = sum(len(w) for _, w in batches)
                raise ValueError(
                    f"`{argument}`: {feature!r} has no counts in the {n_cells} cells; choose "
                    "other cells by `indices`."
                )
            value_qf = value_qf[~np.isnan(value_qf).any(1)]
        else:
            association = associations(self.module, batches, sources, source, target)
            value_qf = association.correlation.cpu().numpy()
        return value_qf[0], empirical_p_values(value_qf[0], value_qf[1:])

    def _mean_published_change(
        self,
        batches: Sequence[tuple[dict[str, Any], Tensor]],
        feature: int,
        source: str,
        target: str,
    ) -> np.ndarray:
        """Mean change of the targets' shares in cells with counts of the feature, or NaN."""
        changes = list(self._published_changes(batches, feature, source, target))
        n = sum(len(c) for c in changes)
        total = torch.cat([c.sum(0, keepdim=True) for c in changes]).sum(0)
        return (total / n if n else torch.full_like(total, torch.nan)).cpu().numpy()

    def _published_changes(
        self,
        batches: Sequence[tuple[dict[str, Any], Tensor]],
        feature: int,
        source: str,
        target: str,
    ) -> Iterator[Tensor]:
        """Changes of the targets' shares in the cells of each minibatch with the feature."""
        for batch, w in batches:
            counts = batch["counts"][source]
            expressing = counts.rows[counts.columns == feature]
            moved = published_step(self.module, batch, w, feature, source)
            with torch.no_grad():
                before, after = (
                    self.module.likelihood(target).shares(
                        self.module.generative(
                            x[expressing], batch["continuous"][expressing], [target]
                        )["logits"][target]
                    )
                    for x in (w, moved)
                )
            yield after - before
