"""What changes in a cell when some of its features are made to change."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch
from anndata import AnnData
from mudata import MuData
from scvi import settings
from torch import Tensor

from multiDGD._checks import choice, positive, positive_int
from multiDGD.inference import Laplace, log_mean_variances
from multiDGD.model.core._columns import column_of
from multiDGD.model.core._random import draw_cells, resolve_seed
from multiDGD.model.core._representations import as_positions
from multiDGD.model.decoding._decoding import DecodingMixin
from multiDGD.stats import empirical_p_values, matched_controls

from ._shift import Shift

#: Factor on a feature's mean in each kind of perturbation.
FOLDS = {"knock-out": 0.01, "knock-down": 0.5, "overexpress": 2.0}


class PerturbationMixin(DecodingMixin):
    """Perturbation in silico."""

    def perturb(
        self,
        features: str | Sequence[str],
        modality: str | None = None,
        direction: Literal["knock-down", "knock-out", "overexpress"] = "knock-down",
        fold: float | None = None,
        adata: AnnData | MuData | None = None,
        indices: Sequence[int] | None = None,
        groupby: str | None = None,
        n_cells: int | None = 300,
        n_controls: int = 20,
        n_samples: int = 10,
        batch_size: int | None = None,
    ) -> pd.DataFrame:
        r"""Change of every feature when some are knocked down, knocked out or overexpressed.

        Each cell's representation is optimised anew such that the means of the given features
        change by ``fold``: of all representations at which they do, the cell goes to the one that
        is most likely by how cells of the population vary (:class:`multiDGD.train.Shift`).
        Covariates stay. The changes are associations that the model has learned from unperturbed
        cells, not known to be effects.

        Parameters
        ----------
        features
            Feature or features to change together.
        modality
            Their modality; the first one by default.
        direction
            ``"knock-down"`` halves their means, ``"knock-out"`` leaves 1 % of them,
            ``"overexpress"`` doubles them.
        fold
            Factor on their means in place of that of ``direction``.
        adata, indices
            Cells to perturb, as for :meth:`get_latent_representation`.
        groupby
            Column of ``.obs``: cells of each category are looked at apart.
        n_cells
            Cells of each group to draw at random (with ``scvi.settings.seed``) where there are
            more; `None` for all.
        n_controls
            As many other features of about the same means are perturbed to compare with, each by
            the same number of standard deviations of how it varies in the population.
        n_samples
            Draws from the posteriors of the cells' representations, from which the uncertainty
            comes.
        batch_size
            Cells handled at a time. Defaults to ``scvi.settings.batch_size``.

        Returns
        -------
        A row for each feature of every modality, the strongest changes of each group first:

        - ``modality`` and, with ``groupby``, ``group``;
        - ``lfc``: log2 fold change of the decoded mean, mean over cells;
        - ``lfc_sd``: its standard deviation over posterior draws;
        - ``control_mean``, ``control_sd``: mean and standard deviation of ``lfc`` over controls;
        - ``z_score``: ``lfc`` less the former, divided by the latter;
        - ``p_value``: share of controls that change the feature at least as much.

        Raises
        ------
        ValueError
            If a feature, modality, column or cell is not there, or an argument cannot be used.

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
        modality = self._modality(modality)
        wanted = [features] if isinstance(features, str) else features
        at = self._features(modality, "features", wanted)
        if not len(at):
            raise ValueError("`features` must name at least one feature, found none.")
        n_others = self.summary.n_features[modality] - len(np.unique(at))
        if n_others < 2:
            raise ValueError(
                f"`features` leaves {n_others} of modality {modality!r} to compare with; at least "
                "2 are needed."
            )
        log_fold = np.log(_fold(direction, fold))
        counts = {"n_controls": n_controls, "n_samples": n_samples}
        for argument, value in counts.items():
            if positive_int(argument, value) < 2:
                raise ValueError(f"`{argument}` must be at least 2, found {value}.")
        manager = self._manager_of(adata)
        rng = np.random.default_rng(resolve_seed())
        cells = as_positions(indices, manager.adata.n_obs)
        tables = []
        for group, members in _groups(manager.adata.obs, groupby, cells).items():
            drawn = draw_cells(members, n_cells, rng)
            found = list(self._posteriors(manager, drawn, batch_size))
            batches = [(batch, posterior.mean) for batch, posterior in found]
            controls = matched_controls(self._mean_shares(batches, modality), at, n_controls, rng)
            sets = np.concatenate([at[None], controls])
            changes = log_fold * self._equal_doses(batches, sets, modality)
            table = self._changes(found, sets, modality, changes, n_samples)
            if groupby is not None:
                table.insert(1, "group", group)
            tables.append(table)
        return pd.concat(tables)

    def _equal_doses(
        self, batches: Sequence[tuple[dict[str, Any], Tensor]], sets: np.ndarray, modality: str
    ) -> Tensor:
        """Factors on the log fold of each feature at which all move as far, by the population.

        To halve a feature that hardly varies takes a cell much further than to halve one that
        does, and moves everything else with it: such controls would say nothing.
        """
        features = torch.from_numpy(sets.ravel())
        variance = log_mean_variances(self.module, batches, features, modality)
        spread = variance.sqrt().cpu().view(*sets.shape)
        return spread / spread[0].clamp(min=torch.finfo(spread.dtype).tiny)

    def _changes(
        self,
        cells: Sequence[tuple[dict[str, Any], Laplace]],
        sets: np.ndarray,
        modality: str,
        change_kq: Tensor,
        n_samples: int,
    ) -> pd.DataFrame:
        """The table of :meth:`perturb` for one group of cells.

        ``sets`` holds the features in its first row and controls in the others, shape ``(k, q)``;
        ``change_kq`` what is added to the log mean of each.
        """
        module = self.module
        generator = torch.Generator().manual_seed(settings.seed or 0)
        total = {
            m: torch.zeros(len(sets), module.likelihood(m).n_features) for m in module.modalities
        }
        draws = {m: torch.zeros(n_samples, x.shape[1]) for m, x in total.items()}
        n = 0
        for batch, posterior in cells:
            w = posterior.mean
            changes = change_kq.to(w)
            continuous = batch["continuous"]
            shift = Shift(module, w, continuous)
            for k, (features, change) in enumerate(zip(sets, changes, strict=True)):
                for m, lfc in shift.log_fold_changes(features.tolist(), modality, change).items():
                    total[m][k] += lfc.sum(0).cpu()
            normal = torch.randn(n_samples, *w.shape, generator=generator).to(w)
            for k, start in enumerate(posterior.at(normal)):
                at_draw = Shift(module, start, continuous)
                found = at_draw.log_fold_changes(sets[0].tolist(), modality, changes[0])
                for m, lfc in found.items():
                    draws[m][k] += lfc.sum(0).cpu()
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
        table = pd.concat(parts)
        return table.iloc[np.argsort(-np.abs(table["lfc"].to_numpy()), kind="stable")]


def _fold(direction: str, fold: float | None) -> float:
    choice("direction", direction, list(FOLDS))
    if fold is None:
        return FOLDS[direction]
    if positive("fold", fold) == 1:
        raise ValueError("`fold` must not be 1, which changes nothing.")
    if (fold > 1) != (direction == "overexpress"):
        raise ValueError(f"`fold` = {fold} is not a {direction}: give the other `direction`.")
    return float(fold)


def _groups(obs: pd.DataFrame, groupby: str | None, cells: np.ndarray) -> dict[str, np.ndarray]:
    """Those of the cells in each category of a column, which all need not have."""
    if groupby is None:
        return {"all": cells}
    column = column_of(obs, "groupby", groupby).iloc[cells]
    labels = column.astype(str).to_numpy()
    return {g: cells[labels == g] for g in np.unique(labels[column.notna().to_numpy()])}
