"""Base class and common interface of all likelihoods."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from functools import partial
from typing import ClassVar

import torch
from torch import Tensor, nn

from multiDGD._checks import positive_int
from multiDGD.nn._counts import Counts
from multiDGD.nn._workspace import Workspace

from ._autograd import LinearLogProb, LogProb
from ._mean_functions import Exponential, MeanFunction, Softmax
from ._terms import Terms

_NO_BACKGROUND = "{} has no background. Use a likelihood that has one, such as 'protein'."


class Likelihood(nn.Module, ABC):
    r"""Distribution of one modality's counts given the decoder's logits.

    The mean count of feature j in cell i is :math:`\mu_{ij} = s_i\,\mathrm{softmax}(a_i)_j` with
    :math:`s_i` the cell's total count in the modality and :math:`a_i` its logits. A subclass
    defines the distribution around this mean by :meth:`log_prob_zero` and
    :meth:`log_ratio_to_zero`. Most counts are zero, and zeros take one pass over the means
    without any gamma function. Non-zeros add a correction.

    In a module, the mean of a modality with a single feature is :math:`s_i \exp(a_i)`, because its
    softmax would always be 1. Its library size :math:`s_i` is 1 in measured cells.

    Parameters
    ----------
    n_features
        Number of features f of the modality.

    Attributes
    ----------
    name
        Name by which users select this likelihood.
    default_for
        Modality names, in lower case, for which this likelihood is the default.
    mean_function
        Function of the logits and library sizes that returns mean counts, a softmax by default.
    has_background
        Whether the likelihood separates background from foreground counts, by
        :meth:`foreground_probability` and :meth:`foreground_mean`.
    max_count
        Largest count of the distribution; larger ones are treated as equal to it.

    Raises
    ------
    ValueError
        If ``n_features`` is not a positive integer.
    """

    name: ClassVar[str]
    default_for: ClassVar[frozenset[str]] = frozenset()
    has_background: ClassVar[bool] = False
    max_count: ClassVar[float] = math.inf
    _registry: ClassVar[dict[str, type[Likelihood]]] = {}

    def __init_subclass__(cls, **kwargs: object) -> None:
        super().__init_subclass__(**kwargs)
        if "name" in cls.__dict__:
            Likelihood._registry[cls.name] = cls

    def __init__(self, n_features: int) -> None:
        super().__init__()
        positive_int("n_features", n_features)
        self.n_features = n_features
        self.mean_function: MeanFunction = Softmax()

    @abstractmethod
    def log_prob_zero(self, mean_nf: Tensor) -> Tensor:
        """Log-probability of zero counts (nats), shape ``(n, f)``; 0 for a mean of 0.

        Parameters
        ----------
        mean_nf
            Mean counts, shape ``(n, f)``.
        """

    @abstractmethod
    def log_ratio_to_zero(self, values: Tensor, log_mean: Tensor, columns: Tensor) -> Tensor:
        """``log p(count) - log p(0)`` (nats), shape ``(nnz,)``.

        Parameters
        ----------
        values
            Counts, shape ``(nnz,)``.
        log_mean
            Logarithms of the counts' means, shape ``(nnz,)``.
        columns
            Feature of each count, shape ``(nnz,)``.
        """

    @abstractmethod
    def sample(self, mean_nf: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Draw counts with the given means, shape ``(n, f)``.

        Parameters
        ----------
        mean_nf
            Mean counts, shape ``(n, f)``.
        generator
            Random generator on the device of the means; torch's global one by default.
        """

    def sample_rate(self, mean_nf: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Draw the rates of Poisson counts with this distribution, shape ``(n, f)``.

        The default is the mean itself, for likelihoods without overdispersion.

        Parameters
        ----------
        mean_nf, generator
            As for :meth:`sample`.
        """
        return mean_nf

    def distribution_parameters(self, mean_nf: Tensor) -> dict[str, Tensor]:
        """Parameters of the distribution of each count, by name, shape ``(n, f)`` each.

        Parameters
        ----------
        mean_nf
            Mean counts, shape ``(n, f)``.
        """
        return {"mean": mean_nf}

    def initialize(self, mean_f: Tensor) -> None:
        """Initialise parameters from mean counts; does nothing unless a subclass overrides it.

        Parameters
        ----------
        mean_f
            Mean count of each feature in the training cells, shape ``(f,)``.
        """

    def sample_cells(self, mean_nf: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Draw counts of cells whose totals are those of their means, shape ``(n, f)``.

        The library size of a measured cell is its total count. Totals of independent draws are
        far from it if a few highly variable features contribute most of the counts. The count of a
        modality with a single feature is drawn freely.

        Parameters
        ----------
        mean_nf, generator
            As for :meth:`sample`.
        """
        return self.mean_function.draw(partial(self.sample, generator=generator), mean_nf)

    def fisher(self, mean_nf: Tensor) -> Tensor:
        """Fisher information of each count about the logarithm of its mean, shape ``(n, f)``.

        This is the expected curvature of the negative log-likelihood. The default is that of a
        Poisson count, which equals its mean. It affects the speed at which representations are
        inferred and the width of posteriors and intervals, but not the optimum.

        Parameters
        ----------
        mean_nf
            Mean counts, shape ``(n, f)``.
        """
        return mean_nf

    def posterior_mean(self, mean_nf: Tensor, counts_nf: Tensor) -> Tensor:
        """Expected rate of each feature in a cell given its own count, shape ``(n, f)``.

        An overdispersed count is a Poisson count whose rate varies around the mean. A cell's own
        count is therefore informative about further molecules of the same cell. The default is
        the mean itself, for likelihoods without overdispersion.

        Parameters
        ----------
        mean_nf
            Mean counts, shape ``(n, f)``.
        counts_nf
            Observed counts, shape ``(n, f)``.
        """
        return mean_nf

    def surrogate(self) -> Likelihood:
        """Return a likelihood with the same interface and no local optima in the mean.

        It is used to find a starting point for the inference of representations. The default is
        this likelihood itself, for likelihoods without such local optima.
        """
        return self

    def foreground_probability(self, mean_nf: Tensor, counts_nf: Tensor | None = None) -> Tensor:
        """Probability that each count is foreground, shape ``(n, f)``.

        Only for likelihoods with ``has_background``.

        Parameters
        ----------
        mean_nf
            Mean counts, shape ``(n, f)``.
        counts_nf
            Observed counts, shape ``(n, f)``; by default, the prior probability is returned.
        """
        raise NotImplementedError(_NO_BACKGROUND.format(type(self).__name__))

    def foreground_mean(self, mean_nf: Tensor) -> Tensor:
        """Foreground part of the means, shape ``(n, f)``.

        Only for likelihoods with ``has_background``.

        Parameters
        ----------
        mean_nf
            Mean counts, shape ``(n, f)``.
        """
        raise NotImplementedError(_NO_BACKGROUND.format(type(self).__name__))

    def terms(self, learned: bool) -> Terms:
        """Return the object that evaluates the log-likelihood and its derivatives.

        The default uses automatic differentiation. A subclass may return closed forms, for speed
        only.

        Parameters
        ----------
        learned
            Whether to compute derivatives with respect to the likelihood's parameters.
        """
        return Terms(self, learned)

    def mean(self, logits_nf: Tensor, library_n: Tensor) -> Tensor:
        """Mean counts, shape ``(n, f)``.

        Parameters
        ----------
        logits_nf
            Output of the modality's head, shape ``(n, f)``.
        library_n
            Total count of each cell in the modality, shape ``(n,)``; 1 gives proportions.
        """
        return library_n[:, None] * self.shares(logits_nf)

    def shares(self, logits_nf: Tensor) -> Tensor:
        """Mean counts at a library size of 1, shape ``(n, f)``.

        Parameters
        ----------
        logits_nf
            Output of the modality's head, shape ``(n, f)``.
        """
        return self.mean_function.shares(logits_nf)

    def log_prob(
        self,
        logits_nf: Tensor,
        counts: Counts | Tensor,
        workspace: Workspace | None = None,
    ) -> Tensor:
        """Log-likelihood of each cell, summed over features (nats), shape ``(n,)``.

        Parameters
        ----------
        logits_nf
            Output of the modality's head, shape ``(n, f)``. Lower precisions are converted to
            float32.
        counts
            Counts of the cells, as non-zeros or as a dense matrix ``(n, f)``.
        workspace
            Buffers to use; newly allocated by default.

        Raises
        ------
        ValueError
            If the shape of ``counts`` is not that of the logits or does not match ``n_features``.
        """
        counts = self._checked(counts, tuple(logits_nf.shape), "logits_nf")
        if isinstance(self.mean_function, Exponential):
            return self._log_prob_of_rates(logits_nf, counts)
        inputs = (logits_nf, *self.parameters())
        workspace = workspace or Workspace()
        return LogProb.apply(self.terms, counts, workspace, _differentiable(inputs), *inputs)

    def linear_log_prob(
        self,
        hidden_nh: Tensor,
        output: nn.Linear,
        counts: Counts | Tensor,
        workspace: Workspace | None = None,
    ) -> Tensor:
        """``log_prob(output(hidden_nh), counts)``, with less memory and in less time.

        Parameters
        ----------
        hidden_nh
            Input of the modality's last layer, shape ``(n, h)``.
        output
            The last layer, with a bias.
        counts, workspace
            As for :meth:`log_prob`.

        Raises
        ------
        ValueError
            If the shape of ``counts`` is not that of the logits or does not match ``n_features``.
        """
        shape = len(hidden_nh), output.out_features
        counts = self._checked(counts, shape, "output")
        if isinstance(self.mean_function, Exponential):
            return self._log_prob_of_rates(output(hidden_nh), counts)
        inputs = (hidden_nh, output.weight, output.bias, *self.parameters())
        workspace = workspace or Workspace()
        return LinearLogProb.apply(self.terms, counts, workspace, _differentiable(inputs), *inputs)

    def _log_prob_of_rates(self, logits_nf: Tensor, counts: Counts) -> Tensor:
        """Log-likelihood of each cell by automatic differentiation, for few features."""
        logits_nf = logits_nf.to(torch.promote_types(logits_nf.dtype, torch.float32))
        library_n = counts.library.to(logits_nf)
        of_zeros_n = self.log_prob_zero(self.mean(logits_nf, library_n)).sum(1)
        log_shares_nf = self.mean_function.log_shares(logits_nf)
        if counts.is_padded:  # its row is that of one more cell
            log_shares_nf = nn.functional.pad(log_shares_nf, (0, 0, 0, 1))
            library_n = nn.functional.pad(library_n, (0, 1), value=1)
            of_zeros_n = nn.functional.pad(of_zeros_n, (0, 1))
        log_mean = log_shares_nf[counts.rows, counts.columns] + library_n[counts.rows].log()
        values = counts.values.to(logits_nf)
        of_nonzeros = self.log_ratio_to_zero(values, log_mean, counts.columns)
        return of_zeros_n.index_add(0, counts.rows, of_nonzeros)[: counts.n_cells]

    def _checked(self, counts: Counts | Tensor, shape: tuple[int, ...], argument: str) -> Counts:
        if isinstance(counts, Tensor):
            counts = Counts.from_dense(counts)
        found = (counts.n_cells, counts.n_features)
        if found != shape or found[1] != self.n_features:
            raise ValueError(
                f"`counts` and the logits (`{argument}`) must both have shape "
                f"{(shape[0], self.n_features)}, found {found} and {shape}."
            )
        return counts


def _differentiable(inputs: tuple[Tensor, ...]) -> bool:
    return torch.is_grad_enabled() and any(x.requires_grad for x in inputs)
