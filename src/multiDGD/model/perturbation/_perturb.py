"""In silico perturbation of features."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeAlias

import numpy as np
import pandas as pd
import torch
from anndata import AnnData
from mudata import MuData
from scvi import settings
from torch import Tensor

from multiDGD._checks import choice, positive, positive_int
from multiDGD.data import CellManager
from multiDGD.inference import Laplace, log_mean_variances
from multiDGD.model.core._columns import column_of
from multiDGD.model.core._progress import progress, track
from multiDGD.model.core._random import draw_cells, resolve_seed
from multiDGD.model.core._representations import as_positions
from multiDGD.model.decoding._decoding import DecodingMixin
from multiDGD.stats import (
    additive_changes,
    empirical_p_values,
    linear_changes,
    matched_controls,
)

from ._shift import Shift, summed_log_shares

Direction: TypeAlias = Literal["knock-down", "knock-out", "overexpress"]
#: Factor of the means in each direction of perturbation.
FOLDS: dict[Direction, float] = {"knock-out": 0.01, "knock-down": 0.5, "overexpress": 2.0}
# More features are counted instead of named.
_MAX_NAMES = 3


class PerturbationMixin(DecodingMixin):
    """In silico perturbation."""

    def perturb(
        self,
        features: str | Sequence[str],
        modality: str | None = None,
        direction: Direction = "knock-down",
        fold: float | None = None,
        adata: AnnData | MuData | None = None,
        indices: Sequence[int] | None = None,
        groupby: str | None = None,
        n_cells: int | None = 300,
        n_controls: int = 20,
        n_samples: int = 10,
        batch_size: int | None = None,
        silent: bool = False,
        baselines: bool = False,
    ) -> pd.DataFrame:
        r"""Compute the changes of all features after a perturbation of some features.

        Each cell moves to the most probable representation at which the means of the given
        features change by ``fold``. Probability is measured by the variation of representations in
        the population (:func:`multiDGD.stats.conditional_shift`). Covariates stay unchanged. The
        changes are associations learned from unperturbed cells, not causal effects.

        Parameters
        ----------
        features
            Name of a feature, or names of several features to perturb together.
        modality
            Modality of the features; by default, the one that contains them.
        direction
            ``"knock-down"`` halves the means of the features, ``"knock-out"`` reduces them to 1 %,
            and ``"overexpress"`` doubles them.
        fold
            Factor of the means, instead of the default for ``direction``.
        adata, indices
            Cells to perturb, as for :meth:`get_latent_representation`.
        groupby
            Column of ``.obs`` with groups of cells to analyse separately.
        n_cells
            Maximum number of cells in each group, drawn at random with ``scvi.settings.seed``;
            `None` for all.
        n_controls
            Number of control features with about the same means. Each is perturbed by the same
            number of standard deviations of its variation in the population.
        n_samples
            Number of draws from the posteriors of the representations, for ``lfc_sd``.
        batch_size
            Cells in each minibatch. Defaults to ``scvi.settings.batch_size``.
        silent
            Whether to hide the progress bars.
        baselines
            Whether to add the predictions of two simple methods.

        Returns
        -------
        Table with a row for each feature of every modality, strongest changes of each group first:

        - ``perturbation``: the features and their change, such as ``"LYZ knock-down"``;
        - ``modality`` and, with ``groupby``, ``group``;
        - ``lfc``: log2 fold change of the decoded mean, averaged over cells;
        - ``lfc_sd``: standard deviation of ``lfc`` over posterior draws;
        - ``control_mean``, ``control_sd``: mean and standard deviation of ``lfc`` over controls;
        - ``z_score``: ``(lfc - control_mean) / control_sd``;
        - ``p_value``: share of the controls that change the feature at least as much;
        - with ``baselines``, ``lfc_additive`` and ``lfc_linear``: log2 fold changes from the
          log-normalised counts of the same cells alone, by
          :func:`multiDGD.stats.additive_changes` and :func:`multiDGD.stats.linear_changes`. The
          mean of controls, ``control_mean``, is a third baseline.

        Raises
        ------
        ValueError
            If a feature, modality, column or cell does not exist, or if an argument is invalid.

        Examples
        --------
        >>> import multiDGD
        >>> mdata = multiDGD.datasets.simulate_multiome(n_cells=100, n_genes=20, n_peaks=40)
        >>> multiDGD.MultiDGD.setup_mudata(mdata)
        >>> model = multiDGD.MultiDGD(mdata, n_latent=4)
        >>> model.train(max_epochs=2, enable_progress_bar=False, accelerator="cpu")
        >>> change = model.perturb("gene_3", direction="knock-out", n_controls=5, n_samples=2)
        >>> bool(change.loc["gene_3", "lfc"] < -1)
        True
        """
        if modality is not None:
            self._modality(modality)
        if features is None:
            raise ValueError("`features` must be a name or a list of names, found None.")
        if isinstance(features, Mapping):
            example = next(iter(features), "gene")
            raise ValueError(
                f"`features` must be a name or a list of names, found {features!r}. `direction` "
                f"and `fold` set the change: `perturb({example!r}, direction='knock-out')`."
            )
        names = [features] if isinstance(features, str) else features
        if modality is None:
            modality = self._modality_with("features", names)
        at = self._features(modality, "features", names)
        if not len(at):
            raise ValueError("`features` must name at least one feature, found none.")
        n_others = self.summary.n_features[modality] - len(np.unique(at))
        if n_others < 2:
            raise ValueError(
                f"`features` must leave at least 2 other features of modality {modality!r} as "
                f"controls, found {n_others}."
            )
        log_fold = float(np.log(_fold(direction, fold)))
        perturbation = _description(
            np.asarray(self.summary.features[modality])[at], direction, fold
        )
        counts = {"n_controls": n_controls, "n_samples": n_samples}
        for argument, value in counts.items():
            if positive_int(argument, value) < 2:
                raise ValueError(f"`{argument}` must be at least 2, found {value}.")
        manager = self._manager_of(adata)
        rng = np.random.default_rng(resolve_seed())
        cells = as_positions(indices, manager.adata.n_obs)
        tables = []
        groups = _groups(manager.adata.obs, groupby, cells)
        for group, members in track(
            groups.items(), "Perturbing", disable=silent or len(groups) < 2, total=len(groups)
        ):
            drawn = draw_cells(members, n_cells, rng)
            posteriors = list(self._posteriors(manager, drawn, batch_size, silent))
            batches = [(batch, posterior.mean) for batch, posterior in posteriors]
            controls = matched_controls(self._mean_shares(batches, modality), at, n_controls, rng)
            sets = np.concatenate([at[None], controls])
            changes = log_fold * self._relative_sds(batches, sets, modality)
            more = self._baselines(manager, drawn, modality, at, log_fold) if baselines else {}
            table = self._change_table(
                posteriors, sets, modality, changes, n_samples, silent, more
            )
            table.insert(0, "perturbation", perturbation)
            if groupby is not None:
                table.insert(2, "group", group)
            tables.append(table)
        return pd.concat(tables)

    def _baselines(
        self,
        manager: CellManager,
        cells: np.ndarray,
        modality: str,
        features: np.ndarray,
        log_fold: float,
    ) -> dict[str, np.ndarray]:
        """Changes of all features by simple methods, from the counts of the cells."""
        parts, at, n = [], features, 0
        for m in self.module.modalities:
            if m == modality:
                at = n + features
            counts_nf = manager.matrix(m, cells).toarray().astype(np.float32)
            n += counts_nf.shape[1]
            parts.append(_log_normalised(counts_nf))
        log_nf = np.concatenate(parts, axis=1)
        return {
            "lfc_additive": additive_changes(log_nf, at, log_fold) / np.log(2),
            "lfc_linear": linear_changes(log_nf, at, log_fold) / np.log(2),
        }

    def _relative_sds(
        self, batches: Sequence[tuple[dict[str, Any], Tensor]], sets: np.ndarray, modality: str
    ) -> Tensor:
        """Standard deviation of each log mean in the population relative to the first set.

        Changes in proportion to it shift cells equally far. With equal fold changes, a control
        that hardly varies would shift cells, and thus all features, much further.
        """
        features = torch.from_numpy(sets.ravel())
        variance = log_mean_variances(self.module, batches, features, modality)
        sd_kq = variance.sqrt().cpu().view(*sets.shape)
        return sd_kq / sd_kq[0].clamp(min=torch.finfo(sd_kq.dtype).tiny)

    def _change_table(
        self,
        cells: Sequence[tuple[dict[str, Any], Laplace]],
        sets: np.ndarray,
        modality: str,
        change_kq: Tensor,
        n_samples: int,
        silent: bool,
        more: Mapping[str, np.ndarray],
    ) -> pd.DataFrame:
        """Table of :meth:`perturb` for one group of cells.

        ``sets``, shape ``(k, q)``, has the features in its first row and controls in the others.
        ``change_kq`` is the change of the log mean of each. ``more`` has further columns.
        """
        module = self.module
        generator = torch.Generator().manual_seed(settings.seed or 0)
        total = {
            m: torch.zeros(len(sets), module.likelihood(m).n_features, dtype=torch.float32)
            for m in module.modalities
        }
        draws = {m: x.new_zeros(n_samples, x.shape[1]) for m, x in total.items()}
        n, at = 0, torch.from_numpy(sets)
        for batch, posterior in progress(cells, "Shifting", len(cells), silent):
            w = posterior.mean
            changes = change_kq.to(w)
            continuous = batch["continuous"]
            shifted = Shift(module, w, continuous, modality)(at.to(w.device), changes)
            before = summed_log_shares(module, w[None], continuous)
            for m, after in summed_log_shares(module, shifted, continuous).items():
                total[m] += (after - before[m]).cpu()
            normal = torch.randn(n_samples, *w.shape, generator=generator, dtype=torch.float32)
            drawn = posterior.at(normal.to(w))
            flat, repeated = drawn.flatten(0, 1), continuous.repeat(n_samples, 1)
            shift = Shift(module, flat, repeated, modality)
            shifted = shift(at[:1].to(w.device), changes[:1]).view_as(drawn)
            before = summed_log_shares(module, drawn, continuous)
            for m, after in summed_log_shares(module, shifted, continuous).items():
                draws[m] += (after - before[m]).cpu()
            n += len(w)
        parts = []
        for m in module.modalities:
            lfc, *controls = (total[m] / (n * np.log(2))).numpy()
            control = np.stack(controls)
            mean, sd = control.mean(0), control.std(0, ddof=1)
            columns = {
                "modality": m,
                "lfc": lfc,
                "lfc_sd": (draws[m] / (n * np.log(2))).std(0).numpy(),
                "control_mean": mean,
                "control_sd": sd,
                "z_score": np.divide(lfc - mean, sd, out=np.zeros_like(lfc), where=sd > 0),
                "p_value": empirical_p_values(lfc, control),
            }
            parts.append(pd.DataFrame(columns, index=pd.Index(self.summary.features[m])))
        table = pd.concat(parts).assign(**more)
        return table.iloc[np.argsort(-np.abs(table["lfc"].to_numpy()), kind="stable")]


def _fold(direction: Direction, fold: float | None) -> float:
    choice("direction", direction, list(FOLDS))
    if fold is None:
        return FOLDS[direction]
    if positive("fold", fold) == 1:
        raise ValueError("`fold` must not be 1, which is no change.")
    if (fold > 1) != (direction == "overexpress"):
        side = "above" if direction == "overexpress" else "below"
        raise ValueError(f"`fold` must be {side} 1 for `direction` {direction!r}, found {fold}.")
    return float(fold)


def _description(names: Sequence[str], direction: Direction, fold: float | None) -> str:
    """Features and their change, as in ``"LYZ knock-down"`` and ``"LYZ, NKG7 × 3"``."""
    features = ", ".join(names) if len(names) <= _MAX_NAMES else f"{len(names)} features"
    if fold is not None:
        return f"{features} × {fold:g}"
    return f"{features} {direction.replace('overexpress', 'overexpression')}"


def _log_normalised(counts_nf: np.ndarray) -> np.ndarray:
    """Logarithms of 1 + counts at the median total; cells without counts have the mean."""
    total_n1 = counts_nf.sum(1, keepdims=True)
    is_measured = total_n1[:, 0] > 0
    if not is_measured.any():
        return counts_nf
    scale_n1 = np.median(total_n1[is_measured]) / np.maximum(total_n1, 1)
    log_nf = np.log1p(counts_nf * scale_n1)
    log_nf[~is_measured] = log_nf[is_measured].mean(0)
    return log_nf


def _groups(obs: pd.DataFrame, groupby: str | None, cells: np.ndarray) -> dict[str, np.ndarray]:
    """Cells in each category of a column; cells without a category are ignored."""
    if groupby is None:
        return {"all": cells}
    column = column_of(obs, "groupby", groupby).iloc[cells]
    labels = column.astype(str).to_numpy()
    return {g: cells[labels == g] for g in np.unique(labels[column.notna().to_numpy()])}
