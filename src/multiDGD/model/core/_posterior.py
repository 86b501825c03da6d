"""Posterior of what the model knows from counts: cells' representations, the decoder's weights."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from multiDGD.data import CellManager
from multiDGD.inference import (
    Laplace,
    OutputPosterior,
    laplace,
    output_posteriors,
)
from multiDGD.module import FeatureSubset

from ._random import resolve_seed, subsample
from ._representations import RepresentationMixin, as_positions

# An unpenalised weight of a unit that no cell uses would be anything.
_MIN_WEIGHT_PRECISION = 1.0
# As many say well enough how much is known of each feature.
_MAX_CELLS = 5000


class PosteriorMixin(RepresentationMixin):
    """Normal approximations around the maximum a posteriori."""

    def _learn_output_posteriors(self, weight_precision: float) -> dict[str, OutputPosterior]:
        """Posterior of each modality's output layer, given the training cells."""
        n_cells = len(self.train_indices_)
        cells = subsample(self.train_indices_, _MAX_CELLS)
        decoded = self._represented_batches(self.adata_manager, cells, None)
        precision = max(weight_precision, _MIN_WEIGHT_PRECISION)
        found = output_posteriors(self.module, decoded, precision, n_cells)
        return {m: posterior.to(torch.device("cpu")) for m, posterior in found.items()}

    def _output_posterior(self, modality: str) -> OutputPosterior:
        """Posterior of one modality's output layer, on the module's device."""
        found = self._learned.output_posteriors
        if found is None:
            raise ValueError(
                "The model was saved without the posterior of its decoder: train it again."
            )
        return found[modality].to(self.module.device)

    # Slopes of the decoder's units are found by gradients, which whoever asks may have turned off.
    @torch.inference_mode(False)
    @torch.no_grad()
    def _posteriors(
        self,
        manager: CellManager,
        indices: Sequence[int] | np.ndarray | None,
        batch_size: int | None,
    ) -> Iterator[tuple[dict[str, Any], Laplace]]:
        """Minibatches of the asked cells with the posteriors of their rows, on the device."""
        seen = FeatureSubset(self.module, manager.observed)
        cells = as_positions(indices, manager.adata.n_obs)
        rows = self._learned.cells.find(manager, cells)
        # Labels had their say in where training cells lie, and in nothing else.
        used = self.train_indices_ if self.new_categories_ is None else []
        is_open = torch.from_numpy(~np.isin(rows, used))
        first = 0
        for batch, w in self._represented_batches(manager, indices, batch_size):
            here = is_open[first : first + len(w)].to(w.device)
            first += len(w)
            labels = batch["labels"].masked_fill(here, -1)
            yield batch, laplace(seen.module, seen.batch({**batch, "labels": labels}), w)

    def _posterior_samples(
        self,
        manager: CellManager,
        indices: Sequence[int] | None,
        n_samples: int,
        batch_size: int | None,
        seed: int,
    ) -> Tensor:
        """Draws of the asked cells' rows, shape ``(n_samples, n, d)``, on the CPU.

        They do not depend on the size of minibatches.
        """
        n = len(as_positions(indices, manager.adata.n_obs))
        d = self.module.n_representation
        draws = torch.randn(n_samples, n, d, generator=_generator(seed))
        first = 0
        for _, posterior in self._posteriors(manager, indices, batch_size):
            here = slice(first, first + len(posterior.mean))
            draws[:, here] = posterior.at(draws[:, here].to(posterior.mean)).cpu()
            first = here.stop
        return draws

    def _decoder_samples(
        self,
        manager: CellManager,
        indices: Sequence[int] | None,
        modality: str,
        n_samples: int | None,
        batch_size: int | None,
    ) -> Iterator[tuple[Iterable[DecoderInput], nn.Linear]]:
        """What to decode, in minibatches, and by which output layer.

        That is once the estimate, or each of ``n_samples`` draws from the posterior. Draws depend
        on ``scvi.settings.seed``. Those of the layer are the same whatever cells are asked about, so
        that cells can be compared.
        """
        head = self.module.decoder.head(modality).output
        if n_samples is None:
            decoded = self._represented_batches(manager, indices, batch_size)
            yield (_input(batch, w, modality) for batch, w in decoded), head
            return
        layer = self._output_posterior(modality)
        seed = resolve_seed()
        rows_snd = self._posterior_samples(manager, indices, n_samples, batch_size, seed)
        decoded = self._represented_batches(manager, indices, batch_size)
        inputs = [_input(batch, w, modality) for batch, w in decoded]
        sizes = [len(i.w) for i in inputs]
        drawn = copy.deepcopy(head).requires_grad_(False)
        place = self.module.modalities.index(modality)
        for sample, rows_nd in enumerate(rows_snd):
            weight, bias = layer.deviation(_generator(seed, place, sample))
            drawn.weight.copy_(head.weight + weight)
            drawn.bias.copy_(head.bias + bias)
            parts = zip(inputs, rows_nd.split(sizes), strict=True)
            yield (i._replace(w=w.to(i.w)) for i, w in parts), drawn


class DecoderInput(NamedTuple):
    """What the decoder is given of n cells, and their libraries in one modality.

    Attributes
    ----------
    w
        Rows, shape ``(n, n_representation)``.
    continuous
        Continuous covariates, shape ``(n, n_continuous)``.
    library
        Total counts, shape ``(n,)``.
    """

    w: Tensor
    continuous: Tensor
    library: Tensor


def _input(batch: dict[str, Any], w: Tensor, modality: str) -> DecoderInput:
    return DecoderInput(w, batch["continuous"], batch["counts"][modality].library.to(w))


def _generator(*key: int) -> torch.Generator:
    """A stream of its own for each key."""
    seed = np.random.SeedSequence(key).generate_state(1, np.uint64)[0]
    return torch.Generator().manual_seed(int(seed >> np.uint64(1)))
