"""Mean functions: how the logits of a modality determine the mean counts of a cell."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
from torch import Tensor

from multiDGD.nn._counts import Counts

from ._conditional_sampling import sample_given_totals

# Logarithm of the largest mean per unit of library size. Larger means would overflow in products.
_MAX_LOG_RATE = 30.0


class MeanFunction(ABC):
    """Mean counts as the product of a library size and a function of the logits."""

    @abstractmethod
    def log_shares(self, logits_nf: Tensor) -> Tensor:
        """Logarithms of the means at a library size of 1, shape ``(n, f)``."""

    @abstractmethod
    def log_normaliser(self, logits_nf: Tensor) -> Tensor:
        """Term that the logits of a cell share in its log-likelihood, shape ``(n,)``.

        For counts x and a library size s, the log-likelihood of Poisson counts is the sum of x
        times the logits, minus s times this term.
        """

    @abstractmethod
    def slope(self, shares_nf: Tensor) -> Tensor:
        """Derivatives of the difference of a logit and its log share, shape ``(n, f)``.

        They are those with respect to all logits, and the same for each difference of a cell.
        """

    @abstractmethod
    def library(self, mean_nf: Tensor, library_n: Tensor) -> Tensor:
        """Library sizes of means that were computed at ``library_n``, then changed, ``(n,)``."""

    @abstractmethod
    def expected_total(self, shares_nf: Tensor) -> Tensor | float:
        """Expected total count at a library size of 1, shape ``(n, 1)`` or a number."""

    @abstractmethod
    def bounds(self, shares_nf: Tensor, log_half_width_nf: Tensor) -> Tensor:
        """Lower and upper bounds of shares from half widths of their logarithms, ``(2, n, f)``."""

    @abstractmethod
    def thinned(self, counts: Counts, values: Tensor, fraction: float) -> Counts:
        """Part of the counts: the given values at the non-zeros, a fraction of all molecules."""

    @abstractmethod
    def draw(self, sample: Callable[[Tensor], Tensor], mean_nf: Tensor) -> Tensor:
        """Draw counts of cells with the given means by a function that draws independent counts."""

    def shares(self, logits_nf: Tensor) -> Tensor:
        """Means at a library size of 1, shape ``(n, f)``."""
        return self.log_shares(logits_nf).exp()


class Softmax(MeanFunction):
    """Shares of the total count, which is the library size: for modalities of several features."""

    def shares(self, logits_nf: Tensor) -> Tensor:
        """Softmax of the logits."""
        return logits_nf.softmax(-1)

    def log_shares(self, logits_nf: Tensor) -> Tensor:
        """Log-softmax of the logits."""
        return logits_nf.log_softmax(-1)

    def log_normaliser(self, logits_nf: Tensor) -> Tensor:
        """Logarithm of the sum of exponentials: the likelihood given the total count."""
        return logits_nf.logsumexp(1)

    def slope(self, shares_nf: Tensor) -> Tensor:
        """The shares themselves."""
        return shares_nf

    def library(self, mean_nf: Tensor, library_n: Tensor) -> Tensor:
        """Sum of the means."""
        return mean_nf.sum(1)

    def expected_total(self, shares_nf: Tensor) -> float:
        """1, the sum of the shares."""
        return 1.0

    def bounds(self, shares_nf: Tensor, log_half_width_nf: Tensor) -> Tensor:
        """Bounds on the scale of log odds, where the upper bound stays below 1."""
        log_odds = shares_nf.logit()
        half_width = log_half_width_nf / (1 - shares_nf)
        return torch.stack([log_odds - half_width, log_odds + half_width]).sigmoid()

    def thinned(self, counts: Counts, values: Tensor, fraction: float) -> Counts:
        """Given values, with their total as library size."""
        return counts.with_values(values)

    def draw(self, sample: Callable[[Tensor], Tensor], mean_nf: Tensor) -> Tensor:
        """Draw cells whose totals are those of their means."""
        return sample_given_totals(sample, mean_nf)


class Exponential(MeanFunction):
    """Rates, which are not shares of a total: for modalities with a single feature.

    The share of a single feature is always 1, and its total is the count itself. The library size
    is an exposure instead: 1 in each cell in which the feature was measured. The mean at this
    exposure is the exponential of the logit.
    """

    def log_shares(self, logits_nf: Tensor) -> Tensor:
        """Logits, bounded above."""
        return logits_nf.clamp(max=_MAX_LOG_RATE)

    def log_normaliser(self, logits_nf: Tensor) -> Tensor:
        """Sum of the rates."""
        return self.shares(logits_nf).sum(1)

    def slope(self, shares_nf: Tensor) -> Tensor:
        """0, since each log rate is a logit."""
        return torch.zeros_like(shares_nf)

    def library(self, mean_nf: Tensor, library_n: Tensor) -> Tensor:
        """Exposures, which do not depend on the means."""
        return library_n

    def expected_total(self, shares_nf: Tensor) -> Tensor:
        """Sum of the rates."""
        return shares_nf.sum(1, keepdim=True)

    def bounds(self, shares_nf: Tensor, log_half_width_nf: Tensor) -> Tensor:
        """Bounds on the scale of logarithms."""
        factor = log_half_width_nf.exp()
        return torch.stack([shares_nf / factor, shares_nf * factor])

    def thinned(self, counts: Counts, values: Tensor, fraction: float) -> Counts:
        """Given values, at a fraction of the exposure."""
        library = counts.library * fraction
        return counts.with_values(values)._replace(library=library)

    def draw(self, sample: Callable[[Tensor], Tensor], mean_nf: Tensor) -> Tensor:
        """Independent counts."""
        return sample(mean_nf)
