"""Information in the count of a cell about its group."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

_N_NODES = 20


def discrimination(mean1: Tensor, mean2: Tensor, fisher: Callable[[Tensor], Tensor]) -> Tensor:
    r"""Expected log-likelihood ratio of the count of a cell from the first of two groups.

    This information for discrimination (Kullback and Leibler, Ann Math Stat 22:79, 1951) is

    .. math::
        \int_{\log \mu_2}^{\log \mu_1} (\mu_1 / t - 1) \, I(t) \, d \log t,

    for the Fisher information I about the log mean. The formula is exact for exponential families,
    such as the Poisson and the negative binomial distribution with known dispersion. It is
    evaluated by Gauss-Legendre quadrature.

    Parameters
    ----------
    mean1, mean2
        Mean counts of the groups, positive, of the same shape.
    fisher
        Fisher information about the log mean of counts with given means, such as
        :meth:`multiDGD.nn.Likelihood.fisher`.

    Returns
    -------
    Information in nats, 0 if the means are equal, of the shape of the means.

    Examples
    --------
    >>> import torch
    >>> from multiDGD.stats import discrimination
    >>> mean1, mean2 = torch.tensor([3.0]), torch.tensor([1.0])
    >>> discrimination(mean1, mean2, lambda mean: mean)  # Poisson: 3 log 3 - 2
    tensor([1.2958])
    """
    log_mean1, log_mean2 = mean1.log(), mean2.log()
    half = (log_mean1 - log_mean2) / 2
    middle = (log_mean1 + log_mean2) / 2
    total = torch.zeros_like(half)
    for node, weight in zip(*np.polynomial.legendre.leggauss(_N_NODES), strict=True):
        t = (middle + half * float(node)).exp()
        total += float(weight) * (mean1 / t - 1) * fisher(t)
    return total * half
