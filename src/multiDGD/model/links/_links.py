"""Associations between genes and peaks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch
from anndata import AnnData
from mudata import MuData
from torch import Tensor

from multiDGD._checks import positive_int
from multiDGD.inference import associations
from multiDGD.model.core._random import draw_cells, resolve_seed
from multiDGD.model.core._representations import as_positions
from multiDGD.model.decoding._decoding import DecodingMixin
from multiDGD.stats import empirical_p_values, matched_controls

from ._positions import distances, feature_positions
from ._published_step import published_step


class LinkMixin(DecodingMixin):
    """Associations between features of two modalities."""

    def gene2peak(
        self,
        gene: str,
        gene_modality: str | None = None,
        peak_modality: str | None = None,
        adata: AnnData | MuData | None = None,
        indices: Sequence[int] | None = None,
        method: Literal["association", "published"] = "association",
        n_cells: int | None = 500,
        n_controls: int = 100,
        positions: pd.DataFrame | None = None,
        batch_size: int | None = None,
    ) -> pd.DataFrame:
        """Rank peaks by their association with a gene.

        Associations are learned from unperturbed cells; they are not causal effects.

        Parameters
        ----------
        gene
            Name of the gene.
        gene_modality, peak_modality
            Modalities of the gene and the peaks; the first and the last by default.
        adata, indices
            Cells to include, as for :meth:`get_latent_representation`.
        method
            ``"association"`` is the correlation between the decoded log means of gene and peak.
            It refers to the variation of the population around each cell, with batch and other
            covariates fixed. ``"published"`` is the change of each peak's share after one gradient
            step towards a count of 0 of the gene. It is averaged over the cells that express the
            gene (Schuster et al., 2024). A peak that increases with the gene has a positive
            association and a negative change.
        n_cells
            Maximum number of cells, drawn at random with ``scvi.settings.seed``; `None` for all.
        n_controls
            Number of control genes with about the same mean, for the p-values.
        positions
            Table of genomic positions with the columns ``chrom``, ``start`` and ``end`` by feature
            name (such as from a GTF file). Not required if ``.var`` of the modalities has these
            columns, or for features with names such as ``chr1:100-200``.
        batch_size
            Cells in each minibatch. Defaults to ``scvi.settings.batch_size``.

        Returns
        -------
        Table with a row for each peak, strongest first:

        - ``association`` or ``change``, depending on ``method``;
        - ``p_value``: share of the control genes with an at least equally strong association or
          change of the peak;
        - ``chrom``, ``start``, ``end``: position of the peak, if that of the gene is known;
        - ``distance``: base pairs from the start of the gene to the middle of the peak, missing on
          other chromosomes.

        Raises
        ------
        ValueError
            If the gene, a modality or a cell does not exist, or if no cell expresses the gene
            (``"published"`` only).

        Examples
        --------
        >>> import multiDGD
        >>> mdata = multiDGD.datasets.simulate_multiome(n_cells=100, n_genes=20, n_peaks=40)
        >>> multiDGD.MultiDGD.setup_mudata(mdata)
        >>> model = multiDGD.MultiDGD(mdata, n_latent=4)
        >>> model.train(max_epochs=2, enable_progress_bar=False, accelerator="cpu")
        >>> model.gene2peak("gene_3", n_controls=10).columns[:2].tolist()
        ['association', 'p_value']
        """
        source = self._modality(gene_modality)
        target = self._modality(peak_modality or self.module.modalities[-1])
        cells = adata, indices, n_cells, batch_size
        return self._link_table(gene, True, source, target, method, n_controls, positions, *cells)

    def peak2gene(
        self,
        peak: str,
        gene_modality: str | None = None,
        peak_modality: str | None = None,
        adata: AnnData | MuData | None = None,
        indices: Sequence[int] | None = None,
        method: Literal["association", "published"] = "association",
        n_cells: int | None = 500,
        n_controls: int = 100,
        positions: pd.DataFrame | None = None,
        batch_size: int | None = None,
    ) -> pd.DataFrame:
        """Rank genes by their association with a peak.

        Parameters
        ----------
        peak
            Name of the peak.
        gene_modality, peak_modality, adata, indices, method, n_cells
            As for :meth:`gene2peak`.
        n_controls
            Number of control peaks with about the same mean, for the p-values.
        positions, batch_size
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
        source = self._modality(peak_modality or self.module.modalities[-1])
        target = self._modality(gene_modality)
        cells = adata, indices, n_cells, batch_size
        return self._link_table(peak, False, source, target, method, n_controls, positions, *cells)

    def _link_table(
        self,
        feature: str,
        is_gene: bool,
        source: str,
        target: str,
        method: str,
        n_controls: int,
        positions: pd.DataFrame | None,
        adata: AnnData | MuData | None,
        indices: Sequence[int] | None,
        n_cells: int | None,
        batch_size: int | None,
    ) -> pd.DataFrame:
        if method not in ("association", "published"):
            raise ValueError(f"`method` must be 'association' or 'published', found {method!r}.")
        positive_int("n_controls", n_controls)
        argument = "gene" if is_gene else "peak"
        if not isinstance(feature, str):
            raise ValueError(
                f"`{argument}` must be the name of one {argument}, found {feature!r}."
            )
        at = self._features(source, argument, [feature])
        manager = self._manager_of(adata)
        rng = np.random.default_rng(resolve_seed())
        cells = draw_cells(as_positions(indices, manager.adata.n_obs), n_cells, rng)
        batches = list(self._represented_batches(manager, cells, batch_size))
        controls = matched_controls(self._mean_shares(batches, source), at, n_controls, rng)
        sources = torch.from_numpy(np.concatenate([at, controls[:, 0]]))
        if method == "association":
            association = associations(self.module, batches, sources, source, target)
            value_qf = association.correlation.cpu().numpy()
        else:
            value_qf = np.stack(
                [self._mean_published_change(batches, int(q), source, target) for q in sources]
            )
            if np.isnan(value_qf[0]).all():
                raise ValueError(
                    f"`{argument}`: {feature!r} has no counts in the {len(cells)} cells; choose "
                    "other cells by `indices`."
                )
            value_qf = value_qf[~np.isnan(value_qf).any(1)]
        names = self.summary.features[target]
        score = {"association": "association", "published": "change"}[method]
        table = pd.DataFrame(
            {score: value_qf[0], "p_value": empirical_p_values(value_qf[0], value_qf[1:])},
            index=pd.Index(names),
        )
        known = feature_positions(manager, (source, target), positions)
        if feature in known.index:
            table = table.join(distances(known, feature, names, is_gene))
        order = np.argsort(-np.abs(value_qf[0]), kind="stable")
        return table.iloc[order]

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
