"""Comparison of groups of cells, of which the differential tests make their tables."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import ceil
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from multiDGD.data import CellManager, find_categories
from multiDGD.model.core._columns import column_of
from multiDGD.model.core._progress import progress
from multiDGD.model.core._representations import cells_per_batch
from multiDGD.model.decoding._decoding import DecodingMixin
from multiDGD.module import FeatureSubset
from multiDGD.nn import Likelihood
from multiDGD.stats import FoldChanges, GroupRates, RateSums
from multiDGD.stats._fold_changes import Reference

from ._group_sizes import check_sizes, large_enough
from ._groups import Comparison, Groups
from ._large_changes import log_shifts, warn_of_many
from ._rate_sums import rate_sums
from ._table import TestSettings, information, probabilities


class Compared(NamedTuple):
    """Result of one comparison.

    Attributes
    ----------
    comparison
        The groups.
    sums
        Sums of two strata, one for each group.
    table
        A row for each feature in the order of the likelihood.
    likelihood
        Likelihood of these features.
    """

    comparison: Comparison
    sums: RateSums
    table: pd.DataFrame
    likelihood: Likelihood


class ComparisonMixin(DecodingMixin):
    """Comparison of the features of one modality between groups of cells."""

    @torch.inference_mode()
    def _run_comparisons(
        self,
        manager: CellManager,
        groups: Groups,
        modality: str,
        settings: TestSettings,
        reference: Reference | list[int],
        batches: tuple[Sequence[str] | None, Sequence[str] | None] | None,
        weights: str | Sequence[float] | None,
        sample_key: str | None,
        batch_size: int | None,
        silent: bool,
    ) -> tuple[list[Compared], list[Any]]:
        """Results of all comparisons, and the names of omitted groups."""
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
            n_batches = ceil(len(cells) / cells_per_batch(batch_size))
            shown = progress(decoded, "Comparing", n_batches, silent)
            return rate_sums(
                subset.module,
                ((subset.batch(b), w) for b, w in shown),
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
        library = float(np.median(manager.libraries[cells, column]))
        found = []
        for comparison in comparisons:
            both, rates = _rates(comparison, (first, second), category, sample)
            changes = FoldChanges(rates[0], rates[1], reference)
            table = probabilities(changes, rates, settings)
            if settings.mode == "change":
                table["information"] = information(table, likelihood, library)
            found.append(Compared(comparison, both, table, likelihood))
        if settings.mode == "change":
            called = f"is_de_fdr_{settings.fdr_target}"
            warn_of_many({c.comparison.label: c.table[called].mean() for c in found}, reference)
            shifts = {c.comparison.label: float(c.table["lfc_reference"].iloc[0]) for c in found}
            log_shifts(shifts, reference, modality)
        return found, omitted

    def _batches_of_groups(
        self,
        batch_correction: bool,
        batchid1: Sequence[str] | None,
        batchid2: Sequence[str] | None,
    ) -> tuple[Sequence[str] | None, Sequence[str] | None] | None:
        """Batches in which each group is decoded; `None` for the own batch of each cell."""
        for argument, names in (("batchid1", batchid1), ("batchid2", batchid2)):
            if names is None:
                continue
            if not batch_correction:
                raise ValueError(f"`{argument}` requires `batch_correction=True`.")
            known = self.summary.covariates.get(self.batch_key or "", np.array([]))
            given = list(names) if pd.api.types.is_list_like(names) else [names]
            unknown = find_categories(pd.Series(given, dtype=object), known)[1]
            if len(unknown):
                raise ValueError(
                    f"`{argument}`: {list(unknown)} are not among the batches {np.asarray(known).tolist()}."
                )
        return (batchid1, batchid2) if batch_correction else None

    def _reference_positions(
        self, settings: TestSettings, modality: str, manager: CellManager
    ) -> Reference | list[int]:
        """Reference of the fold changes; positions among the observed features of the modality."""
        reference = settings.reference
        if isinstance(reference, str):  # arrays of names cannot be compared with a name
            return "share" if reference == "share" else "median"
        chosen = self._features(modality, "reference", reference)
        observed = manager.observed[modality]
        positions: list[int] = np.flatnonzero(np.isin(observed, chosen)).tolist()
        if not positions:
            raise ValueError(
                "`reference` must name at least one feature of the data, found none in modality "
                f"{modality!r}."
            )
        return positions

    def _named_table(
        self, table: pd.DataFrame, comparison: Comparison, manager: CellManager, modality: str
    ) -> pd.DataFrame:
        """Table with the names of features and groups."""
        table = table.set_axis(self.summary.features[modality][manager.observed[modality]])
        if comparison.name1 is not None:
            table["comparison"] = comparison.label
            table["group1"], table["group2"] = comparison.name1, comparison.name2
        return table


def joined(tables: list[pd.DataFrame], omitted: list[Any]) -> pd.DataFrame:
    """Joined tables; ``attrs`` names the groups that are too small.

    Parameters
    ----------
    tables
        One table for each comparison.
    omitted
        Names of the groups that are too small.
    """
    table = pd.concat(tables)
    table.attrs["omitted_groups"] = omitted
    return table


def _rates(
    comparison: Comparison, sums: Sequence[RateSums], category: np.ndarray, sample: np.ndarray
) -> tuple[RateSums, list[GroupRates]]:
    """Sums and rates of both groups.

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
    return both, rates


def _weights(obs: pd.DataFrame, weights: str | Sequence[float]) -> np.ndarray:
    if isinstance(weights, str) and weights not in obs and weights in ("uniform", "importance"):
        raise ValueError(
            f"`weights`: {weights!r} is an option of models with an encoder. Leave it out for equal "
            "weights, or pass a column of `obs` or an array."
        )
    values = column_of(obs, "weights", weights) if isinstance(weights, str) else weights
    found = np.asarray(values, dtype=np.float32)
    if found.shape != (len(obs),):
        raise ValueError(f"`weights` must have {len(obs)} entries, found shape {found.shape}.")
    if not (np.isfinite(found).all() and (found >= 0).all()):
        raise ValueError("`weights` must be finite and non-negative.")
    if not found.any():
        raise ValueError("`weights` are 0 for all cells; at least one must be positive.")
    return found
