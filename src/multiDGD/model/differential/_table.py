"""Tables of comparisons of groups, with the columns of scvi-tools."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

import numpy as np
import pandas as pd
import torch

from multiDGD._checks import choice, finite
from multiDGD.nn import Likelihood
from multiDGD.stats import FoldChanges, GroupRates, RateSums, discrimination, is_discovery
from multiDGD.stats._fold_changes import Reference

Mode: TypeAlias = Literal["change", "vanilla"]
Order: TypeAlias = Literal["information", "lfc_bound", "bayes_factor"]

# The logarithm of a mean must be finite.
_MIN_SHARE = 1e-12
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
    reference
        ``"share"``, ``"median"`` or the names of the features without a change.
    order_by
        Column by which features are sorted in decreasing order; by default ``"information"`` or, for
        ``"vanilla"``, ``"bayes_factor"``.

    Raises
    ------
    ValueError
        If a setting is out of range.
    """

    mode: Mode
    delta: float
    fdr_target: float
    levels: Sequence[float]
    reference: Reference | Sequence[str] = "median"
    order_by: Order | None = None

    def __post_init__(self) -> None:
        choice("mode", self.mode, get_args(Mode))
        if finite("delta", self.delta) < 0:
            raise ValueError(f"`delta` must be at least 0, found {self.delta}.")
        if not pd.api.types.is_list_like(self.levels):
            raise ValueError(
                f"`cred_interval_lvls` must be a list of levels, found {self.levels!r}."
            )
        if isinstance(self.reference, str):
            choice("reference", self.reference, get_args(Reference), " or a list of features")
        if self.order_by is not None:
            allowed = ("bayes_factor",) if self.mode == "vanilla" else get_args(Order)
            choice("order_by", self.order_by, allowed, f' with `mode="{self.mode}"`')
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
    up, down, none = (found.pop(f"log_proba_{name}") for name in ("up", "down", "none"))
    if is_change:
        yes, no = np.logaddexp(up, down), none
        columns = {"proba_de": np.exp(yes), "proba_not_de": np.exp(no)}
    else:
        yes, no = (np.logaddexp(p, none - np.log(2)) for p in (up, down))
        columns = {"proba_m1": np.exp(yes), "proba_m2": np.exp(no)}
    # Rounding errors may leave probabilities slightly above 1.
    columns = {name: np.minimum(values, 1) for name, values in columns.items()}
    columns["bayes_factor"] = yes - no
    for group, (rate, _, _) in enumerate(rates, 1):
        columns[f"scale{group}"] = rate.numpy()
    if is_change:
        columns["delta"] = np.full(len(yes), settings.delta)
        columns |= {f"lfc_{name}": x for name, x in found.items() if not name.startswith("proba_")}
        columns["lfc_reference"] = np.full(len(yes), changes.reference)
    # A change in the other direction than that of the estimate is a false discovery as well.
    columns["lfdr"] = np.minimum(np.exp(np.logaddexp(none, np.minimum(up, down))), 1)
    if is_change:
        columns[f"is_de_fdr_{settings.fdr_target}"] = is_discovery(
            columns["lfdr"], settings.fdr_target
        )
    return pd.DataFrame(columns)


def information(table: pd.DataFrame, likelihood: Likelihood, library: float) -> np.ndarray:
    """Information in the count of one cell about its group, from the lower bound of the change.

    Parameters
    ----------
    table
        Result of :func:`probabilities`.
    likelihood
        Likelihood of the features.
    library
        Library size of the cell.

    Returns
    -------
    Nats for each feature, negative if its share is lower in the first group.
    """
    bound = table["lfc_bound"]
    # From the group with the larger share, so that the exchange of groups changes the sign only.
    larger = table["scale1"].where(bound > 0, table["scale2"]).clip(lower=_MIN_SHARE) * library
    mean1, mean2 = (_as_means(likelihood, x) for x in (larger, larger * 2.0 ** -bound.abs()))
    return (
        np.sign(bound) * discrimination(mean1, mean2, likelihood.fisher)[0].detach().cpu().numpy()
    )


def sort_positions(table: pd.DataFrame, settings: TestSettings) -> np.ndarray:
    """Positions that sort the features by ``order_by``, then by other evidence.

    Parameters
    ----------
    table
        Result of :func:`probabilities`.
    settings
        Settings of the comparison.

    Returns
    -------
    Positions, shape ``(f,)``.
    """
    if settings.mode == "vanilla":
        return np.lexsort([-table[["scale1", "scale2"]].max(axis=1), -table["bayes_factor"].abs()])
    z_score = table["lfc_mean"] / table["lfc_std"]
    if settings.order_by == "bayes_factor":
        return np.lexsort([-z_score.abs(), -table["bayes_factor"]])
    return np.lexsort([-z_score, -table[settings.order_by or "information"]])


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
        for name in ("lfc_mean", "lfc_bound", "lfc_reference", "information"):
            found[name] = table[name]
    found["lfdr"] = table["lfdr"]
    return found


def _log_prob_zero(likelihood: Likelihood, mean: pd.Series) -> np.ndarray:
    return likelihood.log_prob_zero(_as_means(likelihood, mean))[0].detach().cpu().numpy()


def _as_means(likelihood: Likelihood, mean: pd.Series) -> torch.Tensor:
    """Means of the features of one cell on the device of a likelihood, shape ``(1, f)``."""
    weight = next(likelihood.parameters(), None)
    # A copy, because pandas 3 returns arrays that cannot be changed.
    mean_nf = torch.from_numpy(mean.to_numpy(np.float32, copy=True)[None])
    return mean_nf if weight is None else mean_nf.to(weight.device)
