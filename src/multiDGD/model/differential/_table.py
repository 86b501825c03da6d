"""Tables of comparisons of groups, with the columns of scvi-tools."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
import torch

from multiDGD._checks import finite
from multiDGD.nn import Likelihood
from multiDGD.stats import FoldChanges, GroupRates, RateSums, is_discovery

_EPS = 1e-8
# As in scvi-tools, raw shares are scaled to this library size.
_RAW_LIBRARY_SIZE = 1e4


@dataclass(frozen=True)
class TestSettings:
    """Settings of a comparison.

    Attributes
    ----------
    mode
        ``"change"`` tests for fold changes larger than ``delta``, ``"vanilla"`` for their sign.
    delta
        Absolute log2 fold change.
    fdr_target
        Expected share of false discoveries among the marked features.
    levels
        Levels of credible intervals.

    Raises
    ------
    ValueError
        If a setting is out of range.
    """

    mode: Literal["change", "vanilla"]
    delta: float
    fdr_target: float
    levels: Sequence[float]

    def __post_init__(self) -> None:
        if self.mode not in ("change", "vanilla"):
            raise ValueError(f'`mode` must be "change" or "vanilla", found {self.mode!r}.')
        if finite("delta", self.delta) < 0:
            raise ValueError(f"`delta` must be at least 0, found {self.delta}.")
        if not pd.api.types.is_list_like(self.levels):
            raise ValueError(
                f"`cred_interval_lvls` must be a list of levels, found {self.levels!r}."
            )
        levels = [("cred_interval_lvls", level) for level in self.levels]
        for argument, value in [("fdr_target", self.fdr_target), *levels]:
            if not 0 < finite(argument, value) < 1:
                raise ValueError(f"`{argument}` must be between 0 and 1, found {value}.")


def probabilities(
    changes: FoldChanges, rates: Sequence[GroupRates], settings: TestSettings
) -> pd.DataFrame:
    """Table of the posterior fold change of each feature.

    Parameters
    ----------
    changes
        Posterior of the fold changes.
    rates
        Rates of the two groups.
    settings
        Settings of the comparison.

    Returns
    -------
    A row for each feature in the order of the likelihood, with the columns of
    :meth:`multiDGD.MultiDGD.differential_expression`.
    """
    is_change = settings.mode == "change"
    found = changes.summary(settings.delta if is_change else 0.0, settings.levels)
    up, down, none = (found.pop(f"proba_{name}") for name in ("up", "down", "none"))
    if is_change:
        yes, no = up + down, none
        columns = {"proba_de": yes, "proba_not_de": no}
        lfdr = none
    else:
        yes, no = up + none / 2, down + none / 2
        columns = {"proba_m1": yes, "proba_m2": no}
        lfdr = none + np.minimum(up, down)
    # Rounding errors may leave probabilities slightly below 0 or above 1.
    columns = {name: np.clip(values, 0, 1) for name, values in columns.items()}
    columns["bayes_factor"] = np.log(np.clip(yes, _EPS, 1)) - np.log(np.clip(no, _EPS, 1))
    for group, (rate, _, _) in enumerate(rates, 1):
        columns[f"scale{group}"] = rate.numpy()
    if is_change:
        columns["delta"] = np.full(len(yes), settings.delta)
        columns |= {f"lfc_{name}": values for name, values in found.items()}
    columns["lfdr"] = np.clip(lfdr, 0, 1)
    if is_change:
        columns[f"is_de_fdr_{settings.fdr_target}"] = is_discovery(
            columns["lfdr"], settings.fdr_target
        )
    return pd.DataFrame(columns)


def order_by_evidence(table: pd.DataFrame) -> np.ndarray:
    """Order of the features by the odds and, if these are at their limit, by effect size.

    Parameters
    ----------
    table
        Result of :func:`probabilities`.

    Returns
    -------
    Positions, shape ``(f,)``.
    """
    if "lfc_mean" not in table:
        return np.lexsort([-table[["scale1", "scale2"]].max(axis=1), -table["bayes_factor"].abs()])
    return np.lexsort([-table["lfc_mean"].abs() / table["lfc_std"], -table["bayes_factor"]])


def raw_statistics(sums: RateSums) -> pd.DataFrame:
    """Means and non-zero fractions of the counts of two groups.

    Parameters
    ----------
    sums
        Sums of two strata, one for each group.
    """
    means = (sums.counts[:, :3] / sums.counts[:, 3:]).numpy()
    columns = {}
    for row, name in enumerate(("raw_mean", "non_zeros_proportion", "raw_normalized_mean")):
        for group in (0, 1):
            scale = _RAW_LIBRARY_SIZE if name == "raw_normalized_mean" else 1.0
            columns[f"{name}{group + 1}"] = means[group, row] * scale
    return pd.DataFrame(columns)


def accessibility(
    table: pd.DataFrame, likelihood: Likelihood, library: float, settings: TestSettings
) -> pd.DataFrame:
    """Table of differential accessibility, with the columns of PeakVI and MultiVI.

    Parameters
    ----------
    table
        Probabilities and raw statistics of all regions, in the likelihood's order.
    likelihood
        Likelihood of the regions.
    library
        Library size for the probability of at least one count.
    settings
        Settings of the comparison.
    """
    is_change = settings.mode == "change"
    found = pd.DataFrame({"prob_da": table["proba_de" if is_change else "proba_m1"]})
    if is_change:
        found["is_da_fdr"] = table[f"is_de_fdr_{settings.fdr_target}"]
    found["bayes_factor"] = table["bayes_factor"]
    est = [-np.expm1(_log_prob_zero(likelihood, library * table[f"scale{g}"])) for g in (1, 2)]
    emp = [table[f"non_zeros_proportion{g}"] for g in (1, 2)]
    found["effect_size"] = est[1] - est[0]
    found["emp_effect"] = emp[1] - emp[0]
    found["est_prob1"], found["est_prob2"] = est
    found["emp_prob1"], found["emp_prob2"] = emp
    if is_change:
        found["lfc_mean"] = table["lfc_mean"]
    found["lfdr"] = table["lfdr"]
    return found


def _log_prob_zero(likelihood: Likelihood, mean: pd.Series) -> np.ndarray:
    weight = next(likelihood.parameters(), None)
    # A copy, because pandas 3 returns arrays that cannot be changed.
    mean_nf = torch.from_numpy(mean.to_numpy(np.float32, copy=True)[None])
    if weight is not None:
        mean_nf = mean_nf.to(weight.device)
    return likelihood.log_prob_zero(mean_nf)[0].detach().cpu().numpy()
