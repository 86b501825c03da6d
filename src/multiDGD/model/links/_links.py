"""Which peaks go with a gene, and which genes with a peak."""

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
    """Links between features of two modalities."""

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
        """Peaks that go with a gene.

        Parameters
        ----------
        gene
            Name of the gene.
        gene_modality, peak_modality
            Modalities of gene and peaks; the first and the last by default.
        adata, indices
            Cells to look at, as for :meth:`get_latent_representation`.
        method
            ``"association"``: correlation of the log means of gene and peak as the decoder lets
            them vary around each cell, under the variation of the population, batch and other
            covariates held still. ``"published"``: the change of each peak's share after one step
            of gradient descent towards silence of the gene, in cells that express it (Schuster et
            al., 2024). A peak that goes with the gene has a positive association, and a negative
            change.
        n_cells
            Cells to draw at random (with ``scvi.settings.seed``) where there are more; `None` for
            all.
        n_controls
            Other genes of about the same mean, from which p-values come.
        positions
            Table with columns ``chrom``, ``start`` and ``end`` by feature name (as from a GTF
            file). Not needed where ``.var`` of the modalities has these columns, nor for features
            named as ``chr1:100-200``.
        batch_size
            Cells handled at a time. Defaults to ``scvi.settings.batch_size``.

        Returns
        -------
        A row for each peak, the strongest first: ``association`` or ``change``; ``p_value``, the
        share of control genes for which the peak has at least as strong a one; where positions
        are known ``chrom``, ``start``, ``end`` and ``distance``, from the gene's start to the middle
        of the peak in base pairs (missing on other chromosomes).

        Raises
        ------
        ValueError
            If gene, modality or cells are not there, or no cell expresses the gene.

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
        return self._links(gene, True, source, target, method, n_controls, positions, *cells)

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
        """Genes that go with a peak.

        Parameters
        ----------
        peak
            Name of the peak.
        gene_modality, peak_modality, adata, indices, method, n_cells
            As for :meth:`gene2peak`.
        n_controls
            Other peaks of about the same mean, from which p-values come.
        positions, batch_size
            As for :meth:`gene2peak`.

        Returns
        -------
        As :meth:`gene2peak`, with a row for each gene; ``distance`` is from the gene's start to
        the middle of the peak.

        Raises
        ------
        ValueError
            As for :meth:`gene2peak`.
        """
        source = self._modality(peak_modality or self.module.modalities[-1])
        target = self._modality(gene_modality)
        cells = adata, indices, n_cells, batch_size
        return self._links(peak, False, source, target, method, n_controls, positions, *cells)

    def _links(
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
            raise ValueError(f"`{argument}` must be the name of one, found {feature!r}.")
        at = self._features(source, argument, [feature])
        manager = self._manager_of(adata)
        rng = np.random.default_rng(resolve_seed())
        cells = draw_cells(as_positions(indices, manager.adata.n_obs), n_cells, rng)
        batches = list(self._represented_batches(manager, cells, batch_size))
        controls = matched_controls(self._mean_shares(batches, source), at, n_controls, rng)
        sources = torch.from_numpy(np.concatenate([at, controls[:, 0]]))
        if method == "association":
            found = associations(self.module, batches, sources, source, target)
            value_qf = found.correlation.cpu().numpy()
        else:
            value_qf = np.stack(
                [self._published(batches, int(q), source, target) for q in sources]
            )
            if np.isnan(value_qf[0]).all():
                raise ValueError(f"{feature!r} has no count in any of the {len(cells)} cells.")
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

    def _published(
        self,
        batches: Sequence[tuple[dict[str, Any], Tensor]],
        feature: int,
        source: str,
        target: str,
    ) -> np.ndarray:
        """Mean change of the targets' shares in cells that have the feature; NaN without any."""
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
        """Changes of the targets' shares in the cells of each minibatch that have the feature."""
        for batch, w in batches:
            counts = batch["counts"][source]
            expressing = counts.rows[counts.columns == feature]
            moved = published_step(self.module, batch, w, feature, source)
            with torch.no_grad():
                before, after = (
                    self.module.generative(
                        x[expressing], batch["continuous"][expressing], [target]
                    )["logits"][target].softmax(-1)
                    for x in (w, moved)
                )
            yield after - before
