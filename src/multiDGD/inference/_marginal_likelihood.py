"""Marginal likelihood of each cell, with its representation integrated out by sampling."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from multiDGD._checks import positive_int
from multiDGD.module import MultiDGDModule, full_mixture_module, take_cells

from ._laplace import Laplace
from ._prior_draws import prior_draws

# Degrees of freedom of the Student t proposal. Every tenth draw is from the prior instead.
_DF = 5.0
_PRIOR_EVERY = 10
# Draws of each cell in memory, and minimum number of pairs of draw and cell to decode at once.
_DRAWS = 100
_ROWS = 128


class MarginalLikelihood(NamedTuple):
    """Estimated marginal log-likelihoods of n cells, on the CPU.

    Attributes
    ----------
    log_prob
        Log-likelihoods (nats), float64, shape ``(n,)``.
    effective_share
        Effective sample size divided by the number of draws, between 0 and 1, shape ``(n,)``.
    """

    log_prob: Tensor
    effective_share: Tensor


@torch.no_grad()
def marginal_likelihood(
    module: MultiDGDModule,
    batch: dict[str, Any],
    posterior: Laplace,
    generators: Sequence[np.random.Generator],
    n_samples: int,
) -> MarginalLikelihood:
    r"""Estimate the log-likelihood of each cell with its representation integrated out.

    .. math::
        \log p(x) = \log \int p(x \mid w)\, p(w)\, dw
        \approx \log \frac{1}{S} \sum_{s=1}^S \frac{p(x \mid w_s)\, p(w_s)}{q(w_s)},
        \quad w_s \sim q

    The proposal q is a mixture. Nine of ten draws are from a multivariate Student t with 5 degrees
    of freedom and the location and scale of the Laplace approximation, whose tails would be too
    light. Every tenth draw is from the prior, which bounds the weights by about
    :math:`10\, p(x \mid w)`. The variance of the weights is therefore finite, from 10 draws on.

    The estimate of p(x) is unbiased, and its logarithm too low on average. With an effective share
    e of the draws, the standard error of the logarithm is about :math:`\sqrt{(1/e - 1) / S}`, and
    the bias half its square. Shares below 0.01 indicate a posterior unlike its approximation; the
    result may then be much too low.

    Parameters
    ----------
    module
        A trained module.
    batch
        A minibatch of n cells on the module's device. A label or category of -1 is integrated out.
    posterior
        Laplace approximations of the cells' posteriors.
    generators
        Random generator of each cell.
    n_samples
        Number S of draws.

    Raises
    ------
    ValueError
        If ``n_samples`` is not a positive integer.
    """
    positive_int("n_samples", n_samples)
    share_of_prior = (n_samples // _PRIOR_EVERY) / n_samples
    n_mixtures = 1 + len(module.covariates)
    log_sum = log_sum_of_squares = torch.full((len(generators),), -torch.inf).double()
    for draws, normal_snd in _normal_draws(posterior, generators, n_samples):
        s = len(draws)
        chi_square_sn = _stack(g.chisquare(_DF, s) for g in generators).to(normal_snd)
        uniform_snm = _stack(g.random((s, n_mixtures)) for g in generators).to(normal_snd)
        student_snd = posterior.at(normal_snd * (_DF / chi_square_sn).sqrt()[..., None])
        prior_snd = prior_draws(module, batch, normal_snd, uniform_snm)
        is_prior = torch.from_numpy((draws + 1) % _PRIOR_EVERY == 0).to(normal_snd.device)
        w_snd = torch.where(is_prior[:, None, None], prior_snd, student_snd)
        log_likelihood, log_prior = _log_joint(module, batch, w_snd)
        log_q = posterior.log_prob(w_snd, _DF).cpu()
        if share_of_prior:
            log_q = torch.logaddexp(
                log_q + math.log1p(-share_of_prior), log_prior + math.log(share_of_prior)
            )
        log_weight = log_likelihood + log_prior - log_q
        log_sum = torch.logaddexp(log_sum, log_weight.logsumexp(0))
        log_sum_of_squares = torch.logaddexp(log_sum_of_squares, (2 * log_weight).logsumexp(0))
    module.workspace.clear()
    log_n = math.log(n_samples)
    return MarginalLikelihood(log_sum - log_n, (2 * log_sum - log_sum_of_squares - log_n).exp())


@torch.no_grad()
def evidence_lower_bound(
    module: MultiDGDModule,
    batch: dict[str, Any],
    posterior: Laplace,
    generators: Sequence[np.random.Generator],
    n_samples: int,
) -> Tensor:
    r"""Estimate the evidence lower bound of each cell under the Laplace approximation.

    .. math::
        \mathrm{E}_q\left[\log p(x \mid w) + \log p(w) - \log q(w)\right] \leq \log p(x)

    Parameters
    ----------
    module, batch, posterior, generators, n_samples
        As for :func:`marginal_likelihood`; q is the normal density ``posterior``.

    Returns
    -------
    Nats, float64, shape ``(n,)``, on the CPU.

    Raises
    ------
    ValueError
        If ``n_samples`` is not a positive integer.
    """
    positive_int("n_samples", n_samples)
    total = torch.zeros(len(generators)).double()
    for _, normal_snd in _normal_draws(posterior, generators, n_samples):
        w_snd = posterior.at(normal_snd)
        log_likelihood, log_prior = _log_joint(module, batch, w_snd)
        total += (log_likelihood + log_prior - posterior.log_prob(w_snd).cpu()).sum(0)
    module.workspace.clear()
    return total / n_samples


def _normal_draws(
    posterior: Laplace, generators: Sequence[np.random.Generator], n_samples: int
) -> Iterator[tuple[np.ndarray, Tensor]]:
    """Yield numbers of draws and standard normal draws, in blocks that do not depend on n."""
    d = posterior.mean.shape[1]
    for first in range(0, n_samples, _DRAWS):
        s = min(_DRAWS, n_samples - first)
        normal_snd = _stack(g.standard_normal((s, d)) for g in generators)
        yield np.arange(first, first + s), normal_snd.to(posterior.mean)


def _stack(by_cell: Iterable[np.ndarray]) -> Tensor:
    return torch.from_numpy(np.stack(list(by_cell), axis=1))


def _log_joint(
    module: MultiDGDModule, batch: dict[str, Any], w_snd: Tensor
) -> tuple[Tensor, Tensor]:
    """Log-likelihood and log prior at representations, float64, shape ``(s, n)`` each."""
    module = full_mixture_module(module)
    n, d = w_snd.shape[1:]
    cells = torch.arange(n, device=w_snd.device)
    at_once = min(len(w_snd), max(1, _ROWS // n))
    repeated = take_cells(batch, cells.repeat(at_once))
    found = []
    for part in w_snd.split(at_once):
        if len(part) < at_once:
            repeated = take_cells(batch, cells.repeat(len(part)))
        output = module.objective(repeated, part.reshape(-1, d))
        losses = [output.reconstruction_loss, output.kl_local]
        sums = torch.stack([torch.stack(list(terms.values())).sum(0) for terms in losses])
        found.append(-sums.cpu().double().view(2, -1, n))
    log_likelihood, log_prior = torch.cat(found, dim=1)
    return log_likelihood, log_prior
