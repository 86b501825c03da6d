"""Differential expression between groups of cells."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd
from anndata import AnnData
from mudata import MuData

from multiDGD.data import logger
from multiDGD.stats._fold_changes import Reference

from ._comparisons import ComparisonMixin, joined
from ._groups import read_groups
from ._table import Mode, Order, TestSettings, raw_statistics, sort_positions


class DifferentialExpressionMixin(ComparisonMixin):
    """Differential expression of features between groups of cells."""

    def differential_expression(
        self,
        adata: AnnData | MuData | None = None,
        groupby: str | None = None,
        group1: Any = None,
        group2: Any = None,
        idx1: Any = None,
        idx2: Any = None,
        modality: str | Sequence[str] | None = None,
        mode: Mode = "change",
        delta: float = 0.25,
        batch_size: int | None = None,
        all_stats: bool = True,
        batch_correction: bool = False,
        batchid1: Sequence[str] | None = None,
        batchid2: Sequence[str] | None = None,
        fdr_target: float = 0.05,
        silent: bool = False,
        weights: str | Sequence[float] | None = None,
        sample_key: str | None = None,
        cred_interval_lvls: Sequence[float] = (),
        reference: Reference | Sequence[str] = "median",
        order_by: Order | None = None,
    ) -> pd.DataFrame:
        r"""Compare the expression of each feature between groups of cells.

        The share of a feature in a group is estimated by the mean decoded share, corrected by the
        residual counts (:class:`multiDGD.stats.RateSums`). It therefore includes differences that
        the decoder misses. Fold changes between groups have a prior that is estimated from all
        features (:class:`multiDGD.stats.FoldChanges`). As a result, probabilities are calibrated
        over all features, and no correction for multiple testing is needed. The variance between
        the cells of a group is shrunk towards that of other features with as many counts, so that
        groups of few cells have few discoveries.

        Shares sum to one. If a few features increase a lot, as haemoglobin does in red blood
        cells, the shares of all others decrease. By default, fold changes are therefore relative
        to the median fold change.

        The replicates are the cells or, with ``sample_key``, the samples of a group. Arguments and
        columns are those of scvi-tools. There, probabilities refer to single cells drawn from the
        groups; here, they refer to the means of the groups. There, features are sorted by the
        probability of a change, as with ``order_by="bayes_factor"``, and fold changes are those of
        shares, as with ``reference="share"``.

        Parameters
        ----------
        adata
            Data to compare, as for :meth:`get_latent_representation`; the training data by
            default. Cells without counts in the modality are ignored.
        groupby
            Column of ``.obs`` with the groups. Either ``groupby`` or ``idx1`` is required.
        group1
            Name or names of groups, each of which is compared with ``group2``. By default, all
            groups with at least 3 cells (2 samples) are compared. The others are named in a logged
            warning and in ``attrs["omitted_groups"]`` of the table.
        group2
            Name of the group to compare with; all other cells by default.
        idx1, idx2
            Cells of the first and second group, instead of ``groupby``: a mask, positions, or a
            query of ``.obs``. ``idx2`` defaults to all other cells.
        modality
            Name of the modality, or a list of names. For a list, the table has the column
            ``modality``. By default, the first modality whose features are neither peaks nor
            proteins; it is logged if there are others, and named in ``attrs["modality"]`` of the
            table.
        mode
            ``"change"`` tests if the absolute log2 fold change is larger than ``delta``,
            ``"vanilla"`` which group has the larger share.
        delta
            Absolute log2 fold change up to which a feature counts as unchanged.
        batch_size
            Cells in each minibatch. Defaults to ``scvi.settings.batch_size``.
        all_stats
            Include means and non-zero fractions of the counts in the table.
        batch_correction
            Average the decoded shares of each cell over batches instead of using its own batch.
        batchid1, batchid2
            Batches (categories of the ``batch_key``) for the correction of the first and second
            group; all by default.
        fdr_target
            Expected share of false discoveries among the features marked in ``is_de_fdr_...``.
        silent
            Hide the progress bar.
        weights
            Weight of each cell: a column of ``.obs``, or an array with a value for each cell.
            Equal by default.
        sample_key
            Column of ``.obs`` with the sample (donor, animal) of each cell. If given, samples are
            the replicates instead of cells, and each group needs at least two samples. Cells
            without a sample are ignored.
        cred_interval_lvls
            Levels of credible intervals of the fold change, such as ``[0.9]``.
        reference
            What counts as unchanged: ``"median"``, the median fold change over the features;
            ``"share"``, the share in all counts; or a list of features, their total.
        order_by
            Column by which features are sorted in decreasing order. By default, this is
            ``"information"``: features that distinguish cells of the first group best come first,
            those that are lower come last. ``"lfc_bound"`` sorts by the fold change whatever the
            abundance, and ``"bayes_factor"`` by the evidence for a change in either direction; it
            is the default for ``"vanilla"``.

        Returns
        -------
        Table with a row for each feature; the tables of several comparisons are concatenated. Fold
        changes are log2 ratios of the first group to the second, relative to the reference.
        Columns for ``"change"``:

        - ``proba_de``, ``proba_not_de``: probability that the absolute fold change is larger than
          ``delta``, and that it is not;
        - ``bayes_factor``: logarithm of their ratio (nats), exact also where the probabilities
          are rounded to 0 and 1;
        - ``scale1``, ``scale2``: share in each group;
        - ``delta``: the argument;
        - ``lfc_mean``, ``lfc_median``, ``lfc_std`` and limits of credible intervals, such as
          ``lfc_confidence_interval_0.9_min``: posterior of the fold change;
        - ``lfc_bound``: limit of its 90 % interval that is nearer to 0, or 0 if the interval
          includes 0;
        - ``lfc_reference``: log2 fold change of the reference's share;
        - ``information``: expected log-likelihood ratio (nats) of the count of one cell under both
          groups if the fold change is ``lfc_bound``, at the median library size of the compared
          cells (:func:`multiDGD.stats.discrimination`); negative if the share is lower;
        - ``lfdr``: local false discovery rate;
        - ``is_de_fdr_0.05``: mask of the discoveries at ``fdr_target``.

        Columns for ``"vanilla"``:

        - ``proba_m1``, ``proba_m2``: probability that the first or the second group has the larger
          share;
        - ``bayes_factor``, ``scale1``, ``scale2``: as above;
        - ``lfdr``: probability that the sign is wrong.

        Further columns:

        - ``raw_mean1``, ``non_zeros_proportion1``, ``raw_normalized_mean1`` (mean counts per
          10,000) and the same for the second group, with ``all_stats``;
        - ``comparison``, ``group1``, ``group2``: names of the groups, with ``groupby``.

        Raises
        ------
        ValueError
            If a column, modality, group or category does not exist, if groups overlap, if a named
            group has fewer than 3 cells (or 2 samples), or if a number is out of range.

        Examples
        --------
        >>> from multiDGD import MultiDGD
        >>> from multiDGD.datasets import simulate_multiome
        >>> mdata = simulate_multiome(n_cells=200, n_genes=30, n_peaks=60)
        >>> MultiDGD.setup_mudata(mdata, batch_key="batch")
        >>> model = MultiDGD(mdata, n_latent=5)
        >>> model.train(max_epochs=2, enable_progress_bar=False)
        >>> table = model.differential_expression(
        ...     groupby="cell_type", group1="type_1", modality="rna", silent=True
        ... )
        >>> table.shape[0], {"proba_de", "lfc_mean", "lfdr"} <= set(table)
        (30, True)
        """
        settings = TestSettings(mode, delta, fdr_target, cred_interval_lvls, reference, order_by)
        is_default = modality is None and len(self.module.modalities) > 1
        if modality is None:
            modality = self._modality_of_genes(None)
        is_one = isinstance(modality, str)
        modalities = self._modalities(modality)
        manager = self._manager_of(adata)
        groups = read_groups(manager.adata.obs, groupby, group1, group2, idx1, idx2)
        batches = self._batches_of_groups(batch_correction, batchid1, batchid2)
        tables: list[pd.DataFrame] = []
        omitted: list[Any] = []
        references = [self._reference_positions(settings, m, manager) for m in modalities]
        if is_default:
            logger.info("Comparing modality %r; pass `modality` for others", modality)
        for name, refs in zip(modalities, references, strict=True):
            compared, too_small = self._run_comparisons(
                manager,
                groups,
                name,
                settings,
                refs,
                batches,
                weights,
                sample_key,
                batch_size,
                silent,
            )
            omitted += [group for group in too_small if group not in omitted]
            for comparison, sums, table, _ in compared:
                order = sort_positions(table, settings)
                if all_stats:
                    table = table.join(raw_statistics(sums))
                table = self._named_table(table, comparison, manager, name).iloc[order]
                tables.append(table if is_one else table.assign(modality=name))
        table = joined(tables, omitted)
        table.attrs["modality"] = modality if is_one else modalities
        return table
