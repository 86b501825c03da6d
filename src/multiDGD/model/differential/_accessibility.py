"""Differential accessibility between groups of cells."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from mudata import MuData

from multiDGD.data import CellManager
from multiDGD.stats._fold_changes import Reference

from ._comparisons import ComparisonMixin, joined
from ._groups import read_groups
from ._table import Mode, Order, TestSettings, accessibility, raw_statistics, sort_positions


class DifferentialAccessibilityMixin(ComparisonMixin):
    """Differential accessibility of regions between groups of cells."""

    def differential_accessibility(
        self,
        adata: AnnData | MuData | None = None,
        groupby: str | None = None,
        group1: Any = None,
        group2: Any = None,
        idx1: Any = None,
        idx2: Any = None,
        modality: str | None = None,
        mode: Mode = "change",
        delta: float = 0.25,
        batch_size: int | None = None,
        batch_correction: bool = False,
        batchid1: Sequence[str] | None = None,
        batchid2: Sequence[str] | None = None,
        fdr_target: float = 0.05,
        silent: bool = False,
        weights: str | Sequence[float] | None = None,
        sample_key: str | None = None,
        reference: Reference | Sequence[str] = "median",
        order_by: Order | None = None,
    ) -> pd.DataFrame:
        """Compare the accessibility of regions between groups of cells.

        The method is that of :meth:`differential_expression`; the columns are those of PeakVI and
        MultiVI.

        Parameters
        ----------
        adata, groupby, group1, group2, idx1, idx2, mode
            As for :meth:`differential_expression`.
        modality
            Name of the modality; by default the last one that consists of peaks by its name or those
            of its features, or else the last one.
        delta
            Absolute log2 fold change up to which a region counts as unchanged.
        batch_size, batch_correction, batchid1, batchid2, fdr_target, silent, weights, sample_key, \
        reference, order_by
            As for :meth:`differential_expression`.

        Returns
        -------
        Table with a row for each region; the tables of several comparisons are concatenated:

        - ``prob_da``: probability that the absolute log2 fold change is larger than ``delta``, or,
          for ``"vanilla"``, that the first group has the larger share;
        - ``is_da_fdr``: mask of the discoveries at ``fdr_target`` (``"change"`` only);
        - ``bayes_factor``: log odds of ``prob_da``;
        - ``effect_size``: ``est_prob2 - est_prob1``;
        - ``emp_effect``: ``emp_prob2 - emp_prob1``;
        - ``est_prob1``, ``est_prob2``: probability of at least one count in the region at the
          median library size of the training cells;
        - ``emp_prob1``, ``emp_prob2``: fraction of the cells with counts in the region;
        - ``lfc_mean``, ``lfc_bound``, ``lfc_reference``: posterior mean of the log2 fold change,
          first relative to second group, its bound and its reference (``"change"`` only);
        - ``information``: as for :meth:`differential_expression` (``"change"`` only);
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
        (60, 17)
        """
        modality = self._modality_of_peaks(modality, or_last=True)
        settings = TestSettings(mode, delta, fdr_target, (), reference, order_by)
        manager = self._manager_of(adata)
        groups = read_groups(manager.adata.obs, groupby, group1, group2, idx1, idx2)
        batches = self._batches_of_groups(batch_correction, batchid1, batchid2)
        observed = self._observed_share(manager, groups.codes >= 0, modality, batch_size)
        library_size = self._learned.library_medians[modality] * observed
        tables = []
        compared, omitted = self._run_comparisons(
            manager,
            groups,
            modality,
            settings,
            self._reference_positions(settings, modality, manager),
            batches,
            weights,
            sample_key,
            batch_size,
            silent,
        )
        for comparison, sums, table, likelihood in compared:
            order = sort_positions(table, settings)
            table = table.join(raw_statistics(sums))
            table = accessibility(table, likelihood, library_size, settings)
            tables.append(self._named_table(table, comparison, manager, modality).iloc[order])
        return joined(tables, omitted)

    def _observed_share(
        self, manager: CellManager, mask: np.ndarray, modality: str, batch_size: int | None
    ) -> float:
        """Mean share of the measured features in the complete library sizes of cells."""
        column = self.module.modalities.index(modality)
        own_n = manager.libraries[mask, column]
        complete_n = self._complete_libraries(manager, mask, batch_size)[:, column]
        measured = own_n > 0
        return float((own_n[measured] / complete_n[measured]).mean()) if measured.any() else 1.0
