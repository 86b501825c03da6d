"""Subset of a trained module to observed features."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from multiDGD.nn import Counts, Decoder, Likelihood

from ._module import MultiDGDModule
from ._shallow_copy import shallow_copy


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

    Attributes
    ----------
    module
        Module of the observed features; the given module itself if all features were observed.
    is_complete
        Whether all features were observed.

    Raises
    ------
    ValueError
        If no features were observed.
    """

    def __init__(self, module: MultiDGDModule, observed: Mapping[str, np.ndarray]) -> None:
        positions = {m: torch.from_numpy(observed[m]) for m in module.modalities if m in observed}
        if not any(map(len, positions.values())):
            raise ValueError("`observed` must list features of the module, found none.")
        self._n_features = {m: module.likelihood(m).n_features for m in module.modalities}
        self._positions = positions
        complete = {m: len(p) for m, p in positions.items()} == self._n_features
        self.is_complete = complete
        self.module = module if complete else _subset_module(module, positions)

    def batch(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        """Subset the counts of a minibatch to the observed features.

        Parameters
        ----------
        batch
            Minibatch of a :class:`multiDGD.data.CellDataset`, with counts of all features.
        """
        if self.is_complete:
            return dict(batch)
        counts = {m: self._counts(batch["counts"][m], p) for m, p in self._positions.items()}
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


def _subset_module(module: MultiDGDModule, positions: Mapping[str, Tensor]) -> MultiDGDModule:
    subset = shallow_copy(module)
    subset.modalities = list(positions)
    subset.decoder = _decoder(module.decoder, positions)
    subset.likelihoods = nn.ModuleList(
        _likelihood(module.likelihood(m), p) for m, p in positions.items()
    )
    subset.train(module.training)
    return subset


def _decoder(decoder: Decoder, positions: Mapping[str, Tensor]) -> Decoder:
    subset = shallow_copy(decoder)
    subset.modalities = list(positions)
    subset.heads = nn.ModuleList()
    for modality, indices in positions.items():
        head = shallow_copy(decoder.head(modality))
        head.output = _sliced(head.output, indices)
        head.output.out_features = len(indices)
        subset.heads.append(head)
    return subset


def _likelihood(likelihood: Likelihood, positions: Tensor) -> Likelihood:
    subset = _sliced(likelihood, positions)
    subset.n_features = len(positions)
    return subset


def _sliced(module: nn.Module, positions: Tensor) -> Any:
    """Subset a layer to some features, the first axis of all its parameters and buffers."""
    subset = shallow_copy(module)
    for name, parameter in module.named_parameters(recurse=False):
        rows = parameter.detach()[positions.to(parameter.device)]
        subset._parameters[name] = nn.Parameter(rows, requires_grad=False)
    for name, buffer in module.named_buffers(recurse=False):
        subset._buffers[name] = buffer[positions.to(buffer.device)]
    return subset
