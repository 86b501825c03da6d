"""Differential expression and accessibility between groups of cells."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch
from anndata import AnnData
from mudata import MuData
from scvi.utils import track
from torch import Tensor

from multiDGD.data import CellManager
from multiDGD.model.core._columns import column_of
from multiDGD.model.decoding._decoding import DecodingMixin
from multiDGD.module import FeatureSubset
from multiDGD.nn import Likelihood
from multiDGD.stats import FoldChanges, RateSums

from ._group_sizes import check_sizes, large_enough
from ._groups import Comparison, Groups, read_groups
from ._rate_sums import rate_sums
from ._table import TestSettings, accessibility, order_by_evidence, probabilities, raw_statistics


class DifferentialMixin(DecodingMixin):
    """Differential expression and accessibility of features between groups of cells."""

    def differential_expression(
        self,
        adata: AnnData | MuData | None = None,
        groupby: str | None = None,
        group1: Any = None,
        group2: Any = None,
        idx1: Any = None,
        idx2: Any = None,
        modality: str | None = None,
        mode: Literal["change", "vanilla"] = "change",
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
    ) -> pd.DataFrame:
        r"""Compare the share of each feature in the counts between groups of cells.

        The share of a feature in a group is estimated by the mean decoded share, corrected by the
        residual counts (:class:`multiDGD.stats.RateSums`). It therefore includes differences that
        the decoder misses. Fold changes between groups have a prior that is estimated from all
        features (:class:`multiDGD.stats.FoldChanges`). As a result, probabilities are calibrated
        over all features, and no correction for multiple testing is needed.

        The replicates are the cells or, with ``sample_key``, the samples of a group. Arguments and
        columns are those of scvi-tools. There, probabilities refer to single cells drawn from the
        groups; here, they refer to the means of the groups.

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
            Name of the modality; the first one by default.
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

        Returns
        -------
        Table with a row for each feature, in order of decreasing evidence; the tables of several
        comparisons are concatenated. Fold changes are log2 ratios of the first group to the
        second. Columns for ``"change"``:

        - ``proba_de``, ``proba_not_de``: probability that the absolute fold change is larger than
          ``delta``, and that it is not;
        - ``bayes_factor``: logarithm of their ratio;
        - ``scale1``, ``scale2``: share in each group;
        - ``delta``: the argument;
        - ``lfc_mean``, ``lfc_median``, ``lfc_std`` and limits of credible intervals, such as
          ``lfc_confidence_interval_0.9_min``: posterior of the fold change;
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
        >>> table = model.differential_expression(groupby="cell_type", silent=True)
        >>> table.shape[0], {"proba_de", "lfc_mean", "lfdr"} <= set(table)
        (150, True)
        """
        modality = self._modality(modality)
        settings = TestSettings(mode, delta, fdr_target, cred_interval_lvls)
        manager = self._manager_of(adata)
        groups = read_groups(manager.adata.obs, groupby, group1, group2, idx1, idx2)
        batches = (batchid1, batchid2) if batch_correction else None
        tables = []
        compared, omitted = self._run_comparisons(
            manager, groups, modality, settings, batches, weights, sample_key, batch_size, silent
        )
        for comparison, sums, table, _ in compared:
            order = order_by_evidence(table)
            if all_stats:
                table = table.join(raw_statistics(sums))
            tables.append(self._named_table(table, order, comparison, manager, modality))
        return _joined(tables, omitted)

    def differential_accessibility(
        self,
        adata: AnnData | MuData | None = None,
        groupby: str | None = None,
        group1: Any = None,
        group2: Any = None,
        idx1: Any = None,
        idx2: Any = None,
        modality: str | None = None,
        mode: Literal["change", "vanilla"] = "change",
        delta: float = 0.25,
        batch_size: int | None = None,
        batch_correction: bool = False,
        batchid1: Sequence[str] | None = None,
        batchid2: Sequence[str] | None = None,
        fdr_target: float = 0.05,
        silent: bool = False,
        weights: str | Sequence[float] | None = None,
        sample_key: str | None = None,
    ) -> pd.DataFrame:
        """Compare the accessibility of regions between groups of cells.

        The method is that of :meth:`differential_expression`; the columns are those of PeakVI and
        MultiVI.

        Parameters
        ----------
        adata, groupby, group1, group2, idx1, idx2, mode
            As for :meth:`differential_expression`.
        modality
            Name of the modality; the last one by default.
        delta
            Absolute log2 fold change of the share up to which a region counts as unchanged.
        batch_size, batch_correction, batchid1, batchid2, fdr_target, silent, weights, sample_key
            As for :meth:`differential_expression`.

        Returns
        -------
        Table with a row for each region, in order of decreasing evidence; the tables of several
        comparisons are concatenated:

        - ``prob_da``: probability that the absolute log2 fold change is larger than ``delta``, or,
          for ``"vanilla"``, that the first group has the larger share;
        - ``is_da_fdr``: mask of the discoveries at ``fdr_target`` (``"change"`` only);
        - ``bayes_factor``: log odds of ``prob_da``;
        - ``effect_size``: ``est_prob2 - est_prob1``;
        - ``emp_effect``: ``emp_prob2 - emp_prob1``;
        - ``est_prob1``, ``est_prob2``: probability of at least one count in the region at the
          median library size of the training cells;
        - ``emp_prob1``, ``emp_prob2``: fraction of the cells with counts in the region;
        - ``lfc_mean``: posterior mean of the log2 fold change, first relative to second group
          (``"change"`` only);
        - ``lfdr``: local false discovery rate, or probability of the wrong sign for ``"vanilla"``;
        - ``comparison``, ``group1``, ``group2``: names of the groups, with ``groupby``.

        Raises
        ------
        ValueError
            As for :meth:`differential_expression`.

        Examples
        --------
        >>> from multiDGD import MultiDGD
        >>> from multiDGD.datasets import simulate_multiome
        >>> mdata = simulate_multiome(n_cells=200, n_genes=30, n_peaks=60)
        >>> MultiDGD.setup_mudata(mdata, batch_key="batch")
        >>> model = MultiDGD(mdata, n_latent=5)
        >>> model.train(max_epochs=2, enable_progress_bar=False)
        >>> model.differential_accessibility(groupby="batch", group1="batch_0", silent=True).shape
        (60, 14)
        """
        modality = self._modality(modality or self.module.modalities[-1])
        settings = TestSettings(mode, delta, fdr_target, ())
        manager = self._manager_of(adata)
        groups = read_groups(manager.adata.obs, groupby, group1, group2, idx1, idx2)
        batches = (batchid1, batchid2) if batch_correction else None
        observed = self._observed_share(manager, groups.codes >= 0, modality, batch_size)
        library_size = self._learned.library_medians[modality] * observed
        tables = []
        compared, omitted = self._run_comparisons(
            manager, groups, modality, settings, batches, weights, sample_key, batch_size, silent
        )
        for comparison, sums, table, likelihood in compared:
            order = order_by_evidence(table)
            table = table.join(raw_statistics(sums))
            table = accessibility(table, likelihood, library_size, settings)
            tables.append(self._named_table(table, order, comparison, manager, modality))
        return _joined(tables, omitted)

    def _observed_share(
        self, manager: CellManager, mask: np.ndarray, modality: str, batch_size: int | None
    ) -> float:
        """Mean share of the measured features in the complete library sizes of cells."""
        column = self.module.modalities.index(modality)
        own_n = manager.libraries[mask, column]
        complete_n = self._complete_libraries(manager, mask, batch_size)[:, column]
        measured = own_n > 0
        return float((own_n[measured] / complete_n[measured]).mean()) if measured.any() else 1.0

    @torch.inference_mode()
    def _run_comparisons(
        self,
        manager: CellManager,
        groups: Groups,
        modality: str,
        settings: TestSettings,
        batches: tuple[Sequence[str] | None, Sequence[str] | None] | None,
        weights: str | Sequence[float] | None,
        sample_key: str | None,
        batch_size: int | None,
        silent: bool,
    ) -> tuple[list[tuple[Comparison, RateSums, pd.DataFrame, Likelihood]], list[Any]]:
        """Sums, table of all features and likelihood of each comparison; omitted groups."""
        obs = manager.adata.obs
        codes, comparisons = groups.codes, groups.comparisons
        omitted: list[Any] = []
        sample = np.zeros(len(obs), np.int64)
        if sample_key is not None:
            sample = pd.Categorical(column_of(obs, "sample_key", sample_key)).codes.astype(
                np.int64
            )
        column = self.module.modalities.index(modality)
        is_measured = (manager.libraries[:, column] > 0) & (sample >= 0)
        n_samples = int(sample.max()) + 1
        strata = np.where((codes >= 0) & is_measured, codes * n_samples + sample, -1)
        if groups.are_all:
            comparisons, omitted = large_enough(comparisons, strata, n_samples, sample_key)
        check_sizes(comparisons, strata, n_samples, sample_key)

        used = {c for comparison in comparisons for c in comparison.first + comparison.second}
        cells = np.flatnonzero((strata >= 0) & np.isin(codes, list(used)))
        used_strata, stratum = np.unique(strata[cells], return_inverse=True)
        subset = FeatureSubset(self.module, manager.observed)
        panels = self._panels(manager)
        features = subset.positions[modality]

        def measured(positions: Tensor) -> Tensor | None:
            mask = panels.measured(positions.cpu().numpy(), modality)[:, features]
            return None if mask.all() else mask

        weight = None if weights is None else torch.from_numpy(_weights(obs, weights)[cells])

        def sums(in_batches: Callable[[Tensor], list[Tensor]] | None) -> RateSums:
            decoded = self._represented_batches(manager, cells, batch_size)
            return rate_sums(
                subset.module,
                ((subset.batch(b), w) for b, w in track(decoded, "Comparing", disable=silent)),
                modality,
                torch.from_numpy(stratum),
                len(used_strata),
                weight,
                in_batches,
                measured,
            )

        in_batches1, in_batches2 = (None, None)
        if batches is not None:
            in_batches1, in_batches2 = map(self._in_batches, batches)
        first = sums(in_batches1)
        is_same = batches is None or batches[0] == batches[1]
        second = first if is_same else sums(in_batches2)
        category, sample = np.divmod(used_strata, n_samples)
        likelihood = subset.module.likelihood(modality)
        found = [
            (
                comparison,
                *_compare(comparison, (first, second), category, sample, settings),
                likelihood,
            )
            for comparison in comparisons
        ]
        return found, omitted

    def _named_table(
        self,
        table: pd.DataFrame,
        order: np.ndarray,
        comparison: Comparison,
        manager: CellManager,
        modality: str,
    ) -> pd.DataFrame:
        """Table in a given order, with the names of features and groups."""
        table.index = self.summary.features[modality][manager.observed[modality]]
        table = table.iloc[order].copy()
        if comparison.name1 is not None:
            table["comparison"] = f"{comparison.name1} vs {comparison.name2}"
            table["group1"], table["group2"] = comparison.name1, comparison.name2
        return table


def _joined(tables: list[pd.DataFrame], omitted: list[Any]) -> pd.DataFrame:
    """Joined tables; ``attrs`` names the groups that are too small."""
    table = pd.concat(tables)
    table.attrs["omitted_groups"] = omitted
    return table


def _compare(
    comparison: Comparison,
    sums: Sequence[RateSums],
    category: np.ndarray,
    sample: np.ndarray,
    settings: TestSettings,
) -> tuple[RateSums, pd.DataFrame]:
    """Sums of both groups, and the table of their fold changes.

    ``category`` and ``sample`` belong to each stratum of the sums.
    """
    by_sample = []
    for group_sums, group in zip(sums, (comparison.first, comparison.second), strict=True):
        is_in = np.isin(category, group)
        samples = [
            np.flatnonzero(is_in & (sample == s)).tolist() for s in np.unique(sample[is_in])
        ]
        by_sample.append(group_sums.merged(samples))
    fields = zip(*(vars(merged).values() for merged in by_sample), strict=True)
    strata = RateSums(*(torch.cat(field) for field in fields))
    n1, n = len(by_sample[0].n), len(strata.n)
    both = strata.merged([range(n1), range(n1, n)])
    if sample.any():
        rates = strata.sample_rates([range(n1), range(n1, n)])
    else:
        rates = [both.rates(0), both.rates(1)]
    return both, probabilities(FoldChanges(*rates), rates, settings)


def _weights(obs: pd.DataFrame, weights: str | Sequence[float]) -> np.ndarray:
    values = column_of(obs, "weights", weights) if isinstance(weights, str) else weights
    found = np.asarray(values, dtype=np.float32)
    if found.shape != (len(obs),):
        raise ValueError(f"`weights` must have {len(obs)} entries, found shape {found.shape}.")
    if not (np.isfinite(found).all() and (found >= 0).all()):
        raise ValueError("`weights` must be finite and non-negative.")
    if not found.any():
        raise ValueError("`weights` are 0 for all cells; at least one must be positive.")
    return found
