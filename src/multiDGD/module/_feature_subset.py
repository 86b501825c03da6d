"""A trained module that looks at some of its features only."""

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
    """What a module is to cells in which only some features were measured.

    Features that were not measured contribute nothing: the likelihood is that of the others
    alone, with the softmax taken over them and the library summed over them. This is exact for
    counts given their total, and not the same as counts of zero.

    Parameters
    ----------
    module
        A trained module. Mixtures and covariates are shared with it, its decoder and
        likelihoods are sliced.
    observed
        Ascending positions of the features that were measured, of each modality; one that is not
        named was not measured.

    Attributes
    ----------
    module
        The module of the observed features; the same as the given one where everything was measured.
    is_complete
        Whether everything was measured.

    Raises
    ------
    ValueError
        If nothing was measured.
    """

    def __init__(self, module: MultiDGDModule, observed: Mapping[str, np.ndarray]) -> None:
        here = {m: torch.from_numpy(observed[m]) for m in module.modalities if m in observed}
        if not any(map(len, here.values())):
            raise ValueError("`observed` must name features of the module, found none.")
        self._n_features = {m: module.likelihood(m).n_features for m in module.modalities}
        self._positions = here
        complete = {m: len(positions) for m, positions in here.items()} == self._n_features
        self.is_complete = complete
        self.module = module if complete else _subset_module(module, here)

    def batch(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        """Take the counts of a minibatch to the features that were measured.

        Parameters
        ----------
        batch
            As :class:`multiDGD.data.CellDataset` gives it, with counts of all features.
        """
        if self.is_complete:
            return dict(batch)
        counts = {m: self._counts(batch["counts"][m], p) for m, p in self._positions.items()}
        return {**batch, "counts": counts}

    def _counts(self, counts: Counts, positions: Tensor) -> Counts:
        if len(positions) == counts.n_features:
            return counts
        columns = counts.columns
        place = torch.zeros(counts.n_features, dtype=torch.int64, device=columns.device)
        place[positions.to(columns.device)] = torch.arange(len(positions), device=columns.device)
        # What was not measured has no counts, so nothing is left out here.
        return counts._replace(columns=place[columns], n_features=len(positions))


def _subset_module(module: MultiDGDModule, positions: Mapping[str, Tensor]) -> MultiDGDModule:
    found = shallow_copy(module)
    found.modalities = list(positions)
    found.decoder = _decoder(module.decoder, positions)
    found.likelihoods = nn.ModuleList(
        _likelihood(module.likelihood(m), p) for m, p in positions.items()
    )
    found.train(module.training)
    return found


def _decoder(decoder: Decoder, positions: Mapping[str, Tensor]) -> Decoder:
    found = shallow_copy(decoder)
    found.modalities = list(positions)
    found.heads = nn.ModuleList()
    for modality, at in positions.items():
        head = shallow_copy(decoder.head(modality))
        head.output = _sliced(head.output, at)
        head.output.out_features = len(at)
        found.heads.append(head)
    return found


def _likelihood(likelihood: Likelihood, positions: Tensor) -> Likelihood:
    found = _sliced(likelihood, positions)
    found.n_features = len(positions)
    return found


def _sliced(module: nn.Module, positions: Tensor) -> Any:
    """A layer with some of its features, which are the first axis of all its parameters."""
    found = shallow_copy(module)
    for name, parameter in module.named_parameters(recurse=False):
        rows = parameter.detach()[positions.to(parameter.device)]
        found._parameters[name] = nn.Parameter(rows, requires_grad=False)
    for name, buffer in module.named_buffers(recurse=False):
        found._buffers[name] = buffer[positions.to(buffer.device)]
    return found
