"""Subsets of a module to the features that different groups of cells measured."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from scvi.module.base import LossOutput
from torch import Tensor

from ._feature_subset import FeatureSubset
from ._minibatches import take_cells
from ._module import MultiDGDModule


class FeaturePanels:
    """One :class:`FeatureSubset` of a module for each panel, a group of cells.

    Cells of different panels in one minibatch are evaluated panel by panel.

    Parameters
    ----------
    module
        The module.
    observed
        Ascending indices of the observed features of each modality, for each panel, as for
        :class:`FeatureSubset`.
    codes
        Panel of each cell of the registered object, shape ``(n_obs,)``.
    differentiable
        Whether gradients reach the parameters of the module. Its parameters may then change
        between the calls.

    Examples
    --------
    >>> import numpy as np
    >>> from multiDGD.module import FeaturePanels, MultiDGDModule
    >>> module = MultiDGDModule(n_cells=4, n_features={"prot": 3})
    >>> observed = [{"prot": np.arange(3)}, {"prot": np.array([0, 2])}]
    >>> panels = FeaturePanels(module, observed, np.array([0, 1, 0, 1]))
    >>> [subset.is_complete for subset, _ in panels.groups(np.arange(4))]
    [True, False]
    """

    def __init__(
        self,
        module: MultiDGDModule,
        observed: Sequence[Mapping[str, np.ndarray]],
        codes: np.ndarray,
        differentiable: bool = False,
    ) -> None:
        self._module = module
        self._observed = observed
        self._codes = codes
        self._differentiable = differentiable
        self._subsets: dict[int, FeatureSubset] = {}

    @property
    def are_complete(self) -> bool:
        """Whether every panel has all features of its modalities."""
        n_features = {m: self._module.likelihood(m).n_features for m in self._module.modalities}
        return all(
            len(at) == n_features[m] for observed in self._observed for m, at in observed.items()
        )

    def _subset(self, panel: int) -> FeatureSubset:
        subset = self._subsets.get(panel)
        if subset is None:
            subset = FeatureSubset(self._module, self._observed[panel], self._differentiable)
            # A slice belongs to the parameters at the time of its creation.
            if subset.is_complete or not self._differentiable:
                self._subsets[panel] = subset
        return subset

    def groups(self, cells: np.ndarray) -> Iterator[tuple[FeatureSubset, np.ndarray]]:
        """Yield the subset of each panel with the indices of its cells.

        Parameters
        ----------
        cells
            Positions of n cells in the registered object.

        Yields
        ------
        Subset, and indices among the n cells, ascending.
        """
        if len(self._observed) == 1:
            yield self._subset(0), np.arange(len(cells))
            return
        codes = self._codes[cells]
        for panel in np.unique(codes) if len(codes) else [0]:
            yield self._subset(int(panel)), np.flatnonzero(codes == panel)

    def parts(
        self, batch: dict[str, Any], *rows: Tensor
    ) -> Iterator[tuple[Tensor, FeatureSubset, dict[str, Any], list[Tensor]]]:
        """Split a minibatch by panel.

        Parameters
        ----------
        batch
            Minibatch of n cells, with counts of all features.
        *rows
            Tensors with one row for each cell.

        Yields
        ------
        Indices of the panel's cells within the minibatch, the panel's subset, the minibatch of
        these cells and features, and the rows.
        """
        cells = batch["cells"]
        if len(self._observed) == 1:
            subset = self._subset(0)
            everything = torch.arange(len(cells), device=cells.device)
            yield everything, subset, subset.batch(batch), list(rows)
            return
        for subset, at in self.groups(cells.cpu().numpy()):
            here = torch.from_numpy(at).to(cells.device)
            if len(here) == len(cells):
                yield here, subset, subset.batch(batch), list(rows)
            else:
                part = subset.batch(take_cells(batch, here))
                yield here, subset, part, [x[here.to(x.device)] for x in rows]

    def map(
        self,
        function: Callable[..., Tensor],
        batch: dict[str, Any],
        *rows: Tensor,
    ) -> Tensor:
        """Apply a function to the cells of each panel, and join the results in their order.

        Parameters
        ----------
        function
            Its arguments are the panel's module, the minibatch of its cells and features, and
            their rows. It returns a tensor with one row for each of these cells.
        batch
            Minibatch of n cells, with counts of all features.
        *rows
            Tensors with one row for each cell.

        Returns
        -------
        One row for each of the n cells.
        """
        parts = [
            (here, function(subset.module, part, *part_rows))
            for here, subset, part, part_rows in self.parts(batch, *rows)
        ]
        if len(parts) == 1:
            return parts[0][1]
        order = torch.cat([here for here, _ in parts]).argsort()
        found = torch.cat([x for _, x in parts])
        return found[order.to(found.device)]

    def measured(self, cells: np.ndarray, modality: str) -> Tensor:
        """Mask of the measured features of each cell, shape ``(n, f)``.

        Parameters
        ----------
        cells
            Positions of n cells in the registered object.
        modality
            Name of the modality.
        """
        f = self._module.likelihood(modality).n_features
        mask_pf = np.zeros((len(self._observed), f), dtype=bool)
        for mask_f, observed in zip(mask_pf, self._observed, strict=True):
            mask_f[observed.get(modality, [])] = True
        return torch.from_numpy(mask_pf[self._codes[cells]])

    def objective(
        self, batch: dict[str, Any], representation: Tensor, n_obs: float | None = None
    ) -> LossOutput:
        """Sum of :meth:`MultiDGDModule.objective` over the panels of a minibatch (nats).

        Parameters
        ----------
        batch
            Minibatch of n cells, with counts of all features.
        representation
            Shape ``(n, n_representation)``.
        n_obs
            As for :meth:`MultiDGDModule.objective`.

        Returns
        -------
        The terms of the cells are in the order of the panels. They are 0 for cells of a panel
        without the modality.
        """
        outputs = [
            subset.module.objective(part, w, n_obs)
            for _, subset, part, (w,) in self.parts(batch, representation)
        ]
        if len(outputs) == 1:
            return outputs[0]
        sizes = [output.n_obs_minibatch for output in outputs]
        return LossOutput(
            loss=torch.stack([output.loss for output in outputs]).sum(),
            reconstruction_loss=_joined([o.reconstruction_loss for o in outputs], sizes),
            kl_local=_joined([o.kl_local for o in outputs], sizes),
            kl_global=outputs[0].kl_global_sum,
            n_obs_minibatch=len(batch["cells"]),
        )


def _joined(parts: Sequence[Mapping[str, Tensor]], sizes: Sequence[int]) -> dict[str, Tensor]:
    like = next(iter(parts[0].values()))
    found = {}
    for name in dict.fromkeys(name for part in parts for name in part):
        terms = [p.get(name, like.new_zeros(n)) for p, n in zip(parts, sizes, strict=True)]
        found[name] = torch.cat(terms)
    return found
