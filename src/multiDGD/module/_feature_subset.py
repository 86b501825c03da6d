"""Subset of a trained module to observed features."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, cast

import numpy as np
import torch
from torch import Tensor, nn

from multiDGD.nn import Counts

from ._module import MultiDGDModule
from ._shallow_copy import shallow_copy

M = TypeVar("M", bound=nn.Module)


class FeatureSubset:
    """Subset of a trained module, and of minibatches, to the observed features.

    Features that were not observed contribute nothing to the likelihood. The softmax and the
    library size extend over the observed features only. This is exact for counts given their
    total, and differs from counts of zero.

    Parameters
    ----------
    module
        A trained module. The subset shares its mixtures and slices its decoder and likelihoods.
    observed
        Ascending indices of the observed features of each modality. A modality without an entry
        is missing.
    differentiable
        Whether gradients reach the parameters of the given module, as in training.

    Attributes
    ----------
    module
        Module of the observed features; the given module itself if all features were observed.
    is_complete
        Whether all features were observed.
    positions
        Indices of the observed features of each modality, in its order.

    Raises
    ------
    ValueError
        If no features were observed.
    """

    def __init__(
        self,
        module: MultiDGDModule,
        observed: Mapping[str, np.ndarray],
        differentiable: bool = False,
    ) -> None:
        positions = {m: torch.from_numpy(observed[m]) for m in module.modalities if m in observed}
        if not any(map(len, positions.values())):
            raise ValueError("`observed` must list features of the module, found none.")
        self._n_features = {m: module.likelihood(m).n_features for m in module.modalities}
        self.positions = positions
        complete = {m: len(p) for m, p in positions.items()} == self._n_features
        self.is_complete = complete
        if complete:
            self.module = module
        else:
            self.module = _subset_module(module, positions, differentiable)

    @property
    def incomplete(self) -> list[str]:
        """Modalities with some of their features."""
        return [m for m, at in self.positions.items() if len(at) < self._n_features[m]]

    def batch(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        """Subset the counts of a minibatch to the observed features.

        Parameters
        ----------
        batch
            Minibatch of a :class:`multiDGD.data.CellDataset`, with counts of all features.
        """
        if self.is_complete:
            return dict(batch)
        counts = {m: self._counts(batch["counts"][m], p) for m, p in self.positions.items()}
        return {**batch, "counts": counts}

    def _counts(self, counts: Counts, positions: Tensor) -> Counts:
        if len(positions) == counts.n_features:
            return counts
        columns = counts.columns
        new_column = torch.zeros(counts.n_features, dtype=torch.int64, device=columns.device)
        new_column[positions.to(columns.device)] = torch.arange(
            len(positions), device=columns.device
        )
        # Features that were not observed have no non-zeros to remove.
        return counts._replace(columns=new_column[columns], n_features=len(positions))


def _subset_module(
    module: MultiDGDModule, positions: Mapping[str, Tensor], differentiable: bool
) -> MultiDGDModule:
    subset = shallow_copy(module)
    subset.modalities = list(positions)
    decoder = subset.decoder = shallow_copy(module.decoder)
    decoder.modalities = list(positions)
    decoder.heads = nn.ModuleList()
    subset.likelihoods = nn.ModuleList()
    for modality, indices in positions.items():
        head, likelihood = module.decoder.head(modality), module.likelihood(modality)
        # A complete modality needs no copy of its weights.
        if len(indices) < likelihood.n_features:
            output = _sliced(head.output, indices, differentiable)
            output.out_features = len(indices)
            head = shallow_copy(head)
            head.output = output
            likelihood = _sliced(likelihood, indices, differentiable)
            likelihood.n_features = len(indices)
        decoder.heads.append(head)
        subset.likelihoods.append(likelihood)
    # Not `train()`, which would change the parts that both modules share.
    subset.training = module.training
    return subset


def _sliced(module: M, positions: Tensor, differentiable: bool) -> M:
    """Subset a layer to some features, the first axis of all its parameters and buffers."""
    subset = shallow_copy(module)
    for name, parameter in module.named_parameters(recurse=False):
        rows = parameter.index_select(0, positions.to(parameter.device))
        # As in `torch.func.functional_call`, a result of autograd takes the parameter's place.
        subset._parameters[name] = cast(
            nn.Parameter, rows if differentiable else nn.Parameter(rows.detach(), False)
        )
    for name, buffer in module.named_buffers(recurse=False):
        subset._buffers[name] = buffer[positions.to(buffer.device)]
    return subset
