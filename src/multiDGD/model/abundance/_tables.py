"""Tables of differential abundance."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.stats import false_discovery_control

from multiDGD.stats import compare_proportions, moderated_difference

from ._samples import SampleComparison


def cell_table(
    log_density_ns: np.ndarray, cells: pd.Index, comparison: SampleComparison, level: float
) -> pd.DataFrame:
    """Log density ratio of two groups of samples at each cell.

    Parameters
    ----------
    log_density_ns
        Log density of each sample at each cell, shape ``(n, s)``.
    cells
        Names of the cells.
    comparison
        Groups of samples.
    level
        Coverage of the interval.

    Returns
    -------
    Table with the columns of :meth:`multiDGD.MultiDGD.differential_abundance`.
    """
    found = moderated_difference(log_density_ns[:, comparison.samples], comparison.is_first, level)
    columns = {
        "log_ratio": found.difference,
        "log_ratio_lower": found.lower,
        "log_ratio_upper": found.upper,
        "p_value": found.p_value,
    }
    return _named(pd.DataFrame(columns, index=cells), comparison)


def proportion_table(
    counts_sj: np.ndarray, names: np.ndarray, comparison: SampleComparison, level: float
) -> pd.DataFrame:
    """Log odds ratio of each label between two groups of samples, by p-value.

    Parameters
    ----------
    counts_sj
        Cells of each sample and label, shape ``(s, j)``.
    names
        Names of the labels.
    comparison
        Groups of samples.
    level
        Probability of the interval.

    Returns
    -------
    Table with the columns of :meth:`multiDGD.MultiDGD.differential_abundance`. Labels without
    cells in these samples have no row.
    """
    counts_sj = counts_sj[comparison.samples]
    is_present = counts_sj.any(0)
    counts_sj = counts_sj[:, is_present]
    is_first = comparison.is_first
    found = compare_proportions(counts_sj, is_first, level)
    share_sj = counts_sj / counts_sj.sum(1, keepdims=True)
    columns = {
        "log_odds_ratio": found.log_odds_ratio,
        "log_odds_ratio_lower": found.lower,
        "log_odds_ratio_upper": found.upper,
        "p_value": found.p_value,
        "proportion1": share_sj[is_first].mean(0),
        "proportion2": share_sj[~is_first].mean(0),
        "sd_samples": found.deviation,
        "n_cells": counts_sj.sum(0),
    }
    index = pd.Index(names[is_present].tolist())
    table = _named(pd.DataFrame(columns, index=index), comparison)
    return table.sort_values("p_value", kind="stable")


def _named(table: pd.DataFrame, comparison: SampleComparison) -> pd.DataFrame:
    """Table with adjusted p-values and the names of the groups."""
    adjusted = false_discovery_control(table["p_value"]) if len(table) else []
    table.insert(table.columns.get_loc("p_value") + 1, "fdr", adjusted)
    table["comparison"] = f"{comparison.name1} vs {comparison.name2}"
    table["group1"], table["group2"] = comparison.name1, comparison.name2
    return table
