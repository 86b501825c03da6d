"""Shifts of representations that change the means of selected features."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from multiDGD.inference import population_covariance
from multiDGD.module import MultiDGDModule
from multiDGD.stats import conditional_shift

from ._normaliser import Normaliser

# Error of a log mean, in nats, at which the normaliser is approximated again.
_TOLERANCE = 0.01
# Maximum number of approximations after the first.
_MAX_ROUNDS = 3


class Shift:
    r"""Shift of representations that changes the means of selected features.

    Representations vary in the population with the covariance C
    (:func:`multiDGD.inference.population_covariance`). The shift is the most probable one that
    changes the log means of the features by a given amount
    (:func:`multiDGD.stats.conditional_shift`). The likelihood of the cell's counts is not part of
    the objective, because the other counts would also have been different. Covariates stay
    unchanged.

    The normaliser that all features of a cell share takes most of the time. It is approximated
    around the representation of the cell, then, where this is not exact enough, around the result.
    It is evaluated exactly for the few cells for which this does not suffice either.

    Parameters
    ----------
    module
        A trained module.
    representation
        Representations of n cells, shape ``(n, n_representation)``.
    continuous
        Continuous covariates of the cells, shape ``(n, n_continuous)``.
    modality
        Modality of the features.
    """

    def __init__(
        self, module: MultiDGDModule, representation: Tensor, continuous: Tensor, modality: str
    ) -> None:
        self.module = module
        self.representation = representation
        self.continuous = continuous
        self.modality = modality
        self.covariance = population_covariance(module.mixture)
        self.output = module.decoder.head(modality).output
        self.normaliser = Normaliser(self.output, module.likelihood(modality).mean_function)
        with torch.no_grad():
            self._start = self.normaliser.around(self._hidden(representation, continuous))

    @torch.no_grad()
    def __call__(self, sets: Tensor, change: Tensor) -> Tensor:
        """Representations after the shift for each of several sets of features.

        Parameters
        ----------
        sets
            Positions of q features in each of k sets, shape ``(k, q)``.
        change
            Change of the log mean of each feature, shape ``(k, q)``.

        Returns
        -------
        Shape ``(k, n, n_representation)``.
        """
        k, n = len(sets), len(self.representation)
        cell = torch.arange(n, device=sets.device).repeat(k)
        sets, change = sets.repeat_interleave(n, 0), change.repeat_interleave(n, 0)
        w = self.representation[cell]
        start = self._start.take(cell)
        target = self._logits(start.hidden, sets) - start.value[:, None] + change

        def shift(rows: Tensor, normaliser: Callable[[Tensor | slice, Tensor], Tensor]) -> Tensor:
            """Shift cells, and return the inputs of the output layer."""
            first = w[rows]
            w[rows] = self._shifted(cell[rows], sets[rows], target[rows], normaliser, first)
            return self._hidden(w[rows], self.continuous[cell[rows]])

        rows, near = torch.arange(len(w), device=w.device), start
        hidden = shift(rows, near.at)
        error = (self.normaliser(hidden) - near.at(slice(None), hidden)).abs()
        for _ in range(_MAX_ROUNDS):
            inexact = error > _TOLERANCE
            rows, hidden, error = rows[inexact], hidden[inexact], error[inexact]
            if not len(rows):
                break
            former, near = near.take(inexact), self.normaliser.around(hidden)
            near = near.curved(former)
            hidden = shift(rows, near.at)
            # The error increases at least with the square of the distance from the reference.
            squares = ((x - near.hidden).square().sum(1) for x in (hidden, former.hidden))
            error = error * torch.div(*squares)
            large = error > _TOLERANCE
            exact = self.normaliser(hidden[large])
            error[large] = (exact - near.at(slice(None), hidden)[large]).abs()
        inexact = error > _TOLERANCE
        if inexact.any():
            shift(rows[inexact], lambda at, hidden: self.normaliser(hidden))
        return w.view(k, n, -1)

    def _shifted(
        self,
        cell: Tensor,
        sets: Tensor,
        target: Tensor,
        normaliser: Callable[[Tensor | slice, Tensor], Tensor],
        first: Tensor,
    ) -> Tensor:
        """Representations at which log means are those of the target, with a given normaliser."""
        n_latent = self.module.n_latent
        z0, rest = self.representation[cell].tensor_split([n_latent], dim=1)
        continuous = self.continuous[cell]

        def log_means(at: Tensor | slice, z: Tensor) -> tuple[Tensor, Tensor]:
            with torch.enable_grad():
                leaf = z.detach().requires_grad_()
                hidden = self._hidden(torch.cat([leaf, rest[at]], dim=1), continuous[at])
                eta = self._logits(hidden, sets[at]) - normaliser(at, hidden)[:, None]
                slopes = [
                    torch.autograd.grad(column.sum(), leaf, retain_graph=True)[0]
                    for column in eta.unbind(1)
                ]
            return eta.detach(), torch.stack(slopes, dim=1)

        change = target - log_means(slice(None), z0)[0]
        z = conditional_shift(log_means, z0, change, self.covariance, first[:, :n_latent])
        return torch.cat([z, rest], dim=1)

    def _hidden(self, w: Tensor, continuous: Tensor) -> Tensor:
        """Inputs of the output layer."""
        latent = self.module.decoder_input(w, continuous)
        return self.module.decoder.hidden(latent, [self.modality])[self.modality]

    def _logits(self, hidden: Tensor, sets: Tensor) -> Tensor:
        """Logits of a set of features for each cell, shape ``(n, q)``."""
        weight, bias = self.output.weight[sets], self.output.bias[sets]
        return torch.einsum("nh,nqh->nq", hidden, weight) + bias


@torch.no_grad()
def summed_log_shares(
    module: MultiDGDModule, w_knd: Tensor, continuous: Tensor
) -> dict[str, Tensor]:
    """Sums over cells of the log means of all features, shape ``(k, f)`` for each modality.

    Parameters
    ----------
    module
        A trained module.
    w_knd
        Several representations of n cells, shape ``(k, n, n_representation)``.
    continuous
        Continuous covariates of the cells, shape ``(n, n_continuous)``.
    """
    sums: dict[str, list[Tensor]] = {m: [] for m in module.modalities}
    for w in w_knd:
        for m, logits in module.generative(w, continuous)["logits"].items():
            log_shares = module.likelihood(m).mean_function.log_shares(logits)
            sums[m].append(log_shares.sum(0))
    return {m: torch.stack(rows) for m, rows in sums.items()}
