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

from ._groups import Comparison, read_groups
from ._rate_sums import rate_sums
from ._table import TestSettings, accessibility, order_by_evidence, probabilities, raw_statistics

_MIN_CELLS = 3
_MIN_SAMPLES = 2


class DifferentialMixin(DecodingMixin):
    """Comparison of groups of cells, feature by feature."""

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
        r"""Features of one modality whose share of the counts differs between groups of cells.

        A group's share is the mean of what the decoder says of its cells, mended by what their
        counts say beyond it (:class:`multiDGD.stats.RateSums`), so that a difference which the
        decoder has missed is found too. Fold changes between groups have a prior that is learned
        from all features (:class:`multiDGD.stats.FoldChanges`), which makes probabilities hold
        over the features that are looked at: no correction for multiple testing is to be added.
        The groups are taken for draws from all cells like theirs, or, with ``sample_key``, from
        all such samples. Arguments and columns are those of scvi-tools; there, probabilities are
        about single cells drawn from the groups, here about their means.

        Parameters
        ----------
        adata
            As for :meth:`get_latent_representation`. Cells with no counts in the modality are
            left out.
        groupby
            Column of obs with the groups.
        group1
            Groups to compare, each by itself; all by default.
        group2
            Group to compare with; by default all other cells.
        idx1, idx2
            In place of groups: a mask, positions, or a query of obs. ``idx2`` is everything else
            by default.
        modality
            Its name; the first one by default.
        mode
            ``"change"`` asks which shares differ by more than ``delta``, ``"vanilla"`` in which
            group each is higher.
        delta
            Fold change (log2) up to which a feature counts as unchanged.
        batch_size
            Cells handled at a time. Defaults to ``scvi.settings.batch_size``.
        all_stats
            Also return means and non-zero fractions of the counts.
        batch_correction
            Compare what the cells would be in all batches alike, in place of their own.
        batchid1, batchid2
            Categories of the ``batch_key`` that are meant then, for either group; all by default.
        fdr_target
            Expected share of false ones among the features that ``is_de_fdr_...`` marks.
        silent
            Show no progress bar.
        weights
            How much each cell counts: a column of obs, or a value for each cell; alike by default.
        sample_key
            Column of obs with the sample (donor, animal) that each cell is from: samples, of which
            each group needs two, are the replicates then, and not cells.
        cred_interval_lvls
            Levels of credible intervals to return.

        Returns
        -------
        A table of features for each comparison, one below the other, surest first. For
        ``"change"``: ``proba_de`` and ``proba_not_de``; ``bayes_factor`` (log odds); ``scale1`` and
        ``scale2``, the shares; ``delta``; ``lfc_mean``, ``lfc_median``, ``lfc_std`` and the ends
        of intervals (``lfc_confidence_interval_0.9_min``), in log2; ``lfdr``, the local false
        discovery rate, and ``is_de_fdr_0.05``. For ``"vanilla"``: ``proba_m1``, that the first
        group's share is higher, and ``proba_m2``; ``bayes_factor``; shares; ``lfdr``, the
        probability that the sign is wrong. Then ``raw_mean1``, ``non_zeros_proportion1``,
        ``raw_normalized_mean1`` (counts of 10,000) and those of the second group;
        ``comparison``, ``group1`` and ``group2``, where ``groupby`` names the groups.

        Raises
        ------
        ValueError
            If a column, modality, group or category is not there, groups overlap or have fewer
            than 3 cells (or 2 samples), or a number is out of range.

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
        question = TestSettings(mode, delta, fdr_target, cred_interval_lvls)
        manager = self._manager_of(adata)
        groups = read_groups(manager.adata.obs, groupby, group1, group2, idx1, idx2)
        batches = (batchid1, batchid2) if batch_correction else None
        tables = []
        for comparison, sums, table, _ in self._run_comparisons(
            manager, groups, modality, question, batches, weights, sample_key, batch_size, silent
        ):
            order = order_by_evidence(table)
            if all_stats:
                table = table.join(raw_statistics(sums))
            tables.append(self._named_table(table, order, comparison, manager, modality))
        return pd.concat(tables)

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
        """Regions that are open in different fractions of the cells of two groups.

        :meth:`differential_expression` with the columns that PeakVI and MultiVI give.

        Parameters
        ----------
        adata, groupby, group1, group2, idx1, idx2, mode
            As for :meth:`differential_expression`.
        modality
            Its name; the last one by default.
        delta
            Fold change (log2) of a region's share of the counts up to which it is unchanged.
        batch_size, batch_correction, batchid1, batchid2, fdr_target, silent, weights, sample_key
            As for :meth:`differential_expression`.

        Returns
        -------
        A table of regions for each comparison, one below the other, surest first: ``prob_da`` (for
        ``"vanilla"`` that the first group's share is higher), ``is_da_fdr`` (``"change"`` only),
        ``bayes_factor``; ``est_prob1`` and ``est_prob2``, the probability to see the region open
        at the training cells' median depth, and ``effect_size``, the second minus the first;
        ``emp_prob1``, ``emp_prob2`` and ``emp_effect``, the same of the fractions of cells with
        counts; ``lfc_mean`` (``"change"`` only), ``lfdr``; ``comparison``, ``group1``, ``group2``,
        where ``groupby`` names the groups.

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
        question = TestSettings(mode, delta, fdr_target, ())
        manager = self._manager_of(adata)
        groups = read_groups(manager.adata.obs, groupby, group1, group2, idx1, idx2)
        batches = (batchid1, batchid2) if batch_correction else None
        seen = self._observed_share(manager, groups[0] >= 0, modality, batch_size)
        depth = self._learned.library_medians[modality] * seen
        tables = []
        for comparison, sums, table, likelihood in self._run_comparisons(
            manager, groups, modality, question, batches, weights, sample_key, batch_size, silent
        ):
            order = order_by_evidence(table)
            table = table.join(raw_statistics(sums))
            table = accessibility(table, likelihood, depth, question)
            tables.append(self._named_table(table, order, comparison, manager, modality))
        return pd.concat(tables)

    def _observed_share(
        self, manager: CellManager, mask: np.ndarray, modality: str, batch_size: int | None
    ) -> float:
        """Share of the counts of some cells that falls to the features that were measured."""
        place = self.module.modalities.index(modality)
        own_n = manager.libraries[mask, place]
        whole_n = self._complete_libraries(manager, mask, batch_size)[:, place]
        measured = own_n > 0
        return float((own_n[measured] / whole_n[measured]).mean()) if measured.any() else 1.0

    @torch.inference_mode()
    def _run_comparisons(
        self,
        manager: CellManager,
        groups: tuple[np.ndarray, list[Comparison]],
        modality: str,
        question: TestSettings,
        batches: tuple[Sequence[str] | None, Sequence[str] | None] | None,
        weights: str | Sequence[float] | None,
        sample_key: str | None,
        batch_size: int | None,
        silent: bool,
    ) -> list[tuple[Comparison, RateSums, pd.DataFrame, Likelihood]]:
        """Each comparison with the sums of its groups and what is known of all features."""
        obs = manager.adata.obs
        codes, comparisons = groups
        sample = np.zeros(len(obs), np.int64)
        if sample_key is not None:
            sample = pd.Categorical(column_of(obs, "sample_key", sample_key)).codes.astype(
                np.int64
            )
        place = self.module.modalities.index(modality)
        is_measured = (manager.libraries[:, place] > 0) & (sample >= 0)
        n_samples = int(sample.max()) + 1
        strata = np.where((codes >= 0) & is_measured, codes * n_samples + sample, -1)
        _check_sizes(comparisons, strata, n_samples, sample_key)

        used = {c for comparison in comparisons for c in comparison.first + comparison.second}
        cells = np.flatnonzero((strata >= 0) & np.isin(codes, list(used)))
        there, row = np.unique(strata[cells], return_inverse=True)
        seen = FeatureSubset(self.module, manager.observed)
        weight = None if weights is None else torch.from_numpy(_weights(obs, weights)[cells])

        def sums(in_batches: Callable[[Tensor], list[Tensor]] | None) -> RateSums:
            decoded = self._represented_batches(manager, cells, batch_size)
            return rate_sums(
                seen.module,
                ((seen.batch(b), w) for b, w in track(decoded, "Comparing", disable=silent)),
                modality,
                torch.from_numpy(row),
                len(there),
                weight,
                in_batches,
            )

        in_batches1, in_batches2 = (None, None)
        if batches is not None:
            in_batches1, in_batches2 = map(self._in_batches, batches)
        first = sums(in_batches1)
        is_same = batches is None or batches[0] == batches[1]
        second = first if is_same else sums(in_batches2)
        category, sample = np.divmod(there, n_samples)
        likelihood = seen.module.likelihood(modality)
        return [
            (
                comparison,
                *_compare(comparison, (first, second), category, sample, question),
                likelihood,
            )
            for comparison in comparisons
        ]

    def _named_table(
        self,
        table: pd.DataFrame,
        order: np.ndarray,
        comparison: Comparison,
        manager: CellManager,
        modality: str,
    ) -> pd.DataFrame:
        """The table in some order, with names of features and groups."""
        table.index = self.summary.features[modality][manager.observed[modality]]
        table = table.iloc[order].copy()
        if comparison.name1 is not None:
            table["comparison"] = f"{comparison.name1} vs {comparison.name2}"
            table["group1"], table["group2"] = comparison.name1, comparison.name2
        return table


def _compare(
    comparison: Comparison,
    sums: Sequence[RateSums],
    category: np.ndarray,
    sample: np.ndarray,
    question: TestSettings,
) -> tuple[RateSums, pd.DataFrame]:
    """Sums of both groups, and what is known of their fold changes.

    ``category`` and ``sample`` are those of each stratum of the sums.
    """
    sides = []
    for found, group in zip(sums, (comparison.first, comparison.second), strict=True):
        here = np.isin(category, group)
        samples = [np.flatnonzero(here & (sample == s)).tolist() for s in np.unique(sample[here])]
        sides.append(found.merged(samples))
    parts = zip(*(vars(side).values() for side in sides), strict=True)
    strata = RateSums(*(torch.cat(part) for part in parts))
    n1, n = len(sides[0].n), len(strata.n)
    whole = strata.merged([range(n1), range(n1, n)])
    if sample.any():
        rates = strata.sample_rates([range(n1), range(n1, n)])
    else:
        rates = [whole.rates(0), whole.rates(1)]
    return whole, probabilities(FoldChanges(*rates), rates, question)


def _check_sizes(
    comparisons: list[Comparison], strata: np.ndarray, n_samples: int, sample_key: str | None
) -> None:
    for comparison in comparisons:
        for argument, group, name in (
            ("group1", comparison.first, comparison.name1),
            ("group2", comparison.second, comparison.name2),
        ):
            here = strata[np.isin(strata // n_samples, group) & (strata >= 0)]
            which = f"`{argument}`" if name is None else f"`{argument}` {name!r}"
            if len(here) < _MIN_CELLS:
                raise ValueError(
                    f"{which} has {len(here)} cells with counts in the modality; at least "
                    f"{_MIN_CELLS} are needed."
                )
            found = len(np.unique(here % n_samples))
            if sample_key is not None and found < _MIN_SAMPLES:
                raise ValueError(
                    f"{which} has cells of {found} sample by `sample_key` {sample_key!r}; at "
                    f"least {_MIN_SAMPLES} are needed."
                )


def _weights(obs: pd.DataFrame, weights: str | Sequence[float]) -> np.ndarray:
    values = column_of(obs, "weights", weights) if isinstance(weights, str) else weights
    found = np.asarray(values, dtype=np.float32)
    if found.shape != (len(obs),):
        raise ValueError(f"`weights` must have {len(obs)} entries, found shape {found.shape}.")
    if not (np.isfinite(found).all() and (found >= 0).all()):
        raise ValueError("`weights` must be finite and not negative.")
    if not found.any():
        raise ValueError("`weights` are 0 for all cells.")
    return found
