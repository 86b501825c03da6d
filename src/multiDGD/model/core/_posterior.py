"""Posteriors of the representations and of the decoder's output weights."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from multiDGD.data import CellManager
from multiDGD.inference import Laplace, OutputPosterior, laplace, output_posteriors
from multiDGD.module import MultiDGDModule

from ._progress import track
from ._random import new_generator, resolve_seed, subsample
from ._representations import RepresentationMixin, as_positions

# Without a prior, the weights of units that are inactive in all cells would be unidentified.
_MIN_WEIGHT_PRECISION = 1.0
# More cells would hardly change the estimated information about each feature.
_MAX_CELLS = 5000


class PosteriorMixin(RepresentationMixin):
    """Normal approximations of posteriors around the MAP estimate."""

    def _learn_output_posteriors(self, weight_precision: float) -> dict[str, OutputPosterior]:
        """Posterior of the output layer of each modality, given the training cells."""
        n_cells = len(self.train_indices_)
        cells = subsample(self.train_indices_, _MAX_CELLS)
        decoded = self._represented_batches(self.adata_manager, cells, None)
        precision = max(weight_precision, _MIN_WEIGHT_PRECISION)
        posteriors = output_posteriors(self.module, decoded, precision, n_cells)
        return {m: posterior.to(torch.device("cpu")) for m, posterior in posteriors.items()}

    def _output_posterior(self, modality: str) -> OutputPosterior:
        """Posterior of the output layer of one modality, on the module's device."""
        posteriors = self._learned.output_posteriors
        if posteriors is None:
            raise ValueError(
                "The model was saved without the posterior of its decoder: train it again."
            )
        return posteriors[modality].to(self.module.device)

    # The Jacobian of the decoder requires gradients, which the caller may have disabled.
    @torch.inference_mode(False)
    @torch.no_grad()
    def _posteriors(
        self,
        manager: CellManager,
        indices: Sequence[int] | np.ndarray | None,
        batch_size: int | None,
        silent: bool = True,
    ) -> Iterator[tuple[dict[str, Any], Laplace]]:
        """Minibatches of cells with the posteriors of their representations, on the device."""
        panels = self._panels(manager)

        def factor(module: MultiDGDModule, part: dict[str, Any], w: Tensor) -> Tensor:
            return laplace(module, part, w).factor

        cells = as_positions(indices, manager.adata.n_obs)
        rows = self._learned.cells.find(manager, cells)
        # Labels are part of the posterior of training cells only.
        labelled = self.train_indices_ if self.new_categories_ is None else []
        is_unlabelled = torch.from_numpy(~np.isin(rows, labelled))
        first = 0
        for batch, w in self._represented_batches(manager, indices, batch_size, silent):
            mask = is_unlabelled[first : first + len(w)].to(w.device)
            first += len(w)
            labels = batch["labels"].masked_fill(mask, -1)
            yield batch, Laplace(w, panels.map(factor, {**batch, "labels": labels}, w))

    def _posterior_samples(
        self,
        manager: CellManager,
        indices: Sequence[int] | None,
        n_samples: int,
        batch_size: int | None,
        seed: int,
        silent: bool = True,
    ) -> Tensor:
        """Draws of representations, shape ``(n_samples, n, d)``, on the CPU.

        The draws do not depend on the size of minibatches.
        """
        n = len(as_positions(indices, manager.adata.n_obs))
        d = self.module.n_representation
        draws = torch.randn(n_samples, n, d, generator=new_generator(seed), dtype=torch.float32)
        first = 0
        for _, posterior in self._posteriors(manager, indices, batch_size, silent):
            part = slice(first, first + len(posterior.mean))
            draws[:, part] = posterior.at(draws[:, part].to(posterior.mean)).cpu()
            first = part.stop
        return draws

    def _decoder_samples(
        self,
        manager: CellManager,
        indices: Sequence[int] | None,
        modality: str,
        n_samples: int | None,
        batch_size: int | None,
        silent: bool = True,
    ) -> Iterator[tuple[Iterable[DecoderInput], nn.Linear]]:
        """Inputs of the decoder, in minibatches, with the output layer that decodes them.

        The only item is the MAP estimate if ``n_samples`` is `None`. Otherwise, each of the
        ``n_samples`` items is one draw from the posterior, and depends on ``scvi.settings.seed``.
        Draws of the output layer do not depend on the cells, so that cells can be compared.
        """
        head = self.module.decoder.head(modality).output
        if n_samples is None:
            decoded = self._represented_batches(manager, indices, batch_size, silent)
            yield (_decoder_input(batch, w, modality) for batch, w in decoded), head
            return
        layer = self._output_posterior(modality)
        seed = resolve_seed()
        w_snd = self._posterior_samples(manager, indices, n_samples, batch_size, seed, silent)
        decoded = self._represented_batches(manager, indices, batch_size)
        inputs = [_decoder_input(batch, w, modality) for batch, w in decoded]
        sizes = [len(i.w) for i in inputs]
        drawn = copy.deepcopy(head).requires_grad_(False)
        number = self.module.modalities.index(modality)
        for sample, w_nd in enumerate(track(w_snd, "Decoding", disable=silent)):
            weight, bias = layer.deviation(new_generator(seed, number, sample))
            drawn.weight.copy_(head.weight + weight)
            drawn.bias.copy_(head.bias + bias)
            parts = zip(inputs, w_nd.split(sizes), strict=True)
            yield (i._replace(w=w.to(i.w)) for i, w in parts), drawn


class DecoderInput(NamedTuple):
    """Inputs of the decoder for n cells, and their library sizes in one modality.

    Attributes
    ----------
    w
        Representations, shape ``(n, n_representation)``.
    continuous
        Continuous covariates, shape ``(n, n_continuous)``.
    library
        Total counts, shape ``(n,)``.
    """

    w: Tensor
    continuous: Tensor
    library: Tensor


def _decoder_input(batch: dict[str, Any], w: Tensor, modality: str) -> DecoderInput:
    return DecoderInput(w, batch["continuous"], batch["counts"][modality].library.to(w))
