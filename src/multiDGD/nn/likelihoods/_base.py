"""The one interface of all likelihoods."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from multiDGD._checks import positive_int
from multiDGD.nn._counts import Counts
from multiDGD.nn._workspace import Workspace

from ._functions import LinearLogProb, LogProb
from ._terms import Terms
from ._totals import sample_given_totals


class Likelihood(nn.Module, ABC):
    r"""Distribution of one modality's counts given the decoder's logits.

    The mean count of feature j in cell i is :math:`\mu_{ij} = s_i\,\mathrm{softmax}(a_i)_j` with
    :math:`s_i` the cell's total count in the modality and :math:`a_i` its logits. A subclass says
    how counts scatter around it, through :meth:`log_prob_zero` and :meth:`log_ratio_to_zero`.
    Zeros, which are most of the data, then cost one pass over the means without any gamma
    function, and the rest is a correction at the non-zeros.

    Parameters
    ----------
    n_features
        Number of features f of the modality.

    Attributes
    ----------
    name
        Name under which users ask for this likelihood.
    default_for
        Names of modalities, in lower case, that have this likelihood where none is asked for.
    has_background
        Whether it tells counts of background from those of foreground, and has
        :meth:`foreground_probability` and :meth:`foreground_mean`.

    Raises
    ------
    ValueError
        If there are no features.
    """

    name: ClassVar[str]
    default_for: ClassVar[frozenset[str]] = frozenset()
    has_background: ClassVar[bool] = False
    _registry: ClassVar[dict[str, type[Likelihood]]] = {}

    def __init_subclass__(cls, **kwargs: object) -> None:
        super().__init_subclass__(**kwargs)
        if "name" in cls.__dict__:
            Likelihood._registry[cls.name] = cls

    def __init__(self, n_features: int) -> None:
        super().__init__()
        positive_int("n_features", n_features)
        self.n_features = n_features

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
            Logarithm of their means, shape ``(nnz,)``.
        columns
            Feature of each, shape ``(nnz,)``.
        """

    @abstractmethod
    def sample(self, mean_nf: Tensor) -> Tensor:
        """Draw counts with the given means, shape ``(n, f)``, by torch's global generator."""

    def initialize(self, mean_f: Tensor) -> None:
        """Start parameters where the counts ask; nothing unless a subclass has such parameters.

        Parameters
        ----------
        mean_f
            Mean count of each feature in the training cells, shape ``(f,)``.
        """

    def sample_cells(self, mean_nf: Tensor) -> Tensor:
        """Draw counts of cells whose totals are those of their means, shape ``(n, f)``.

        A real cell's library is its total; where a few features with much scatter have most of
        the counts, totals of independent draws are far from it.

        Parameters
        ----------
        mean_nf
            Mean counts, shape ``(n, f)``.
        """
        return sample_given_totals(self.sample, mean_nf)

    def fisher(self, mean_nf: Tensor) -> Tensor:
        """Fisher information of each count about the logarithm of its mean, shape ``(n, f)``.

        The expected curvature of the negative log-likelihood. Unless a subclass says otherwise,
        that of a Poisson count, which is its mean; it decides how fast representations are found
        and how wide posteriors and intervals are, not where the optimum is.

        Parameters
        ----------
        mean_nf
            Mean counts, shape ``(n, f)``.
        """
        return mean_nf

    def unimodal(self) -> Likelihood:
        """A stand-in without local optima of the mean, to find starts for new cells by.

        Unless a subclass says otherwise this likelihood itself, which needs no other.
        """
        return self

    def foreground_probability(self, mean_nf: Tensor, counts_nf: Tensor | None = None) -> Tensor:
        """Probability that each count is of foreground, shape ``(n, f)``.

        Only of likelihoods with ``has_background``.

        Parameters
        ----------
        mean_nf
            Mean counts, shape ``(n, f)``.
        counts_nf
            What was counted, shape ``(n, f)``; without it, what is to be expected of a count.
        """
        raise NotImplementedError(f"{type(self).__name__} has no background.")

    def foreground_mean(self, mean_nf: Tensor) -> Tensor:
        """What of the means is foreground, shape ``(n, f)``.

        Only of likelihoods with ``has_background``.

        Parameters
        ----------
        mean_nf
            Mean counts, shape ``(n, f)``.
        """
        raise NotImplementedError(f"{type(self).__name__} has no background.")

    def terms(self, learned: bool) -> Terms:
        """What evaluates the distribution and its derivatives for blocks of rows.

        By autograd, unless a subclass returns closed forms, for speed alone.

        Parameters
        ----------
        learned
            Whether derivatives by the likelihood's parameters are wanted.
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
        return library_n[:, None] * logits_nf.softmax(-1)

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
            Output of the modality's head, shape ``(n, f)``. Below float32 it is raised to it.
        counts
            The cells' counts, as non-zeros or as a dense matrix ``(n, f)``.
        workspace
            Memory to use; fresh memory by default.

        Raises
        ------
        ValueError
            If the counts' shape is not that of the logits or of this likelihood.
        """
        counts = self._checked(counts, tuple(logits_nf.shape), "logits_nf")
        inputs = (logits_nf, *self.parameters())
        workspace = workspace or Workspace()
        return LogProb.apply(self, counts, workspace, _differentiable(inputs), *inputs)

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
            That layer, which has a bias.
        counts, workspace
            As for :meth:`log_prob`.

        Raises
        ------
        ValueError
            If the counts' shape is not that of the logits or of this likelihood.
        """
        shape = len(hidden_nh), output.out_features
        counts = self._checked(counts, shape, "output")
        inputs = (hidden_nh, output.weight, output.bias, *self.parameters())
        workspace = workspace or Workspace()
        return LinearLogProb.apply(self, counts, workspace, _differentiable(inputs), *inputs)

    def _checked(self, counts: Counts | Tensor, shape: tuple[int, ...], argument: str) -> Counts:
        if isinstance(counts, Tensor):
            counts = Counts.from_dense(counts)
        found = (counts.n_cells, counts.n_features)
        if found != shape or found[1] != self.n_features:
            raise ValueError(
                f"`counts` must have shape {(shape[0], self.n_features)} and `{argument}` give "
                f"the same, found {found} and {shape}."
            )
        return counts


def _differentiable(inputs: tuple[Tensor, ...]) -> bool:
    return torch.is_grad_enabled() and any(x.requires_grad for x in inputs)


def get_likelihood(name: str) -> type[Likelihood]:
    """Look a likelihood up by its name.

    Parameters
    ----------
    name
        ``"nb"``, ``"poisson"``, ``"bernoulli"``, ``"protein"``, or one of your own.

    Raises
    ------
    ValueError
        If no likelihood has this name.
    """
    try:
        return Likelihood._registry[name]
    except KeyError:
        known = ", ".join(sorted(Likelihood._registry))
        raise ValueError(f"`likelihoods` has no {name!r}. Known are: {known}.") from None


def likelihood_names(
    modalities: Sequence[str] | Mapping[str, int], likelihoods: str | Mapping[str, str]
) -> dict[str, str]:
    """The likelihood of each modality; where none is named, that which is the default for its name.

    Parameters
    ----------
    modalities
        Names of all of them.
    likelihoods
        Name of the likelihood of some of them; one name stands for all.

    Raises
    ------
    ValueError
        If ``likelihoods`` names a modality that is not there.

    Examples
    --------
    >>> from multiDGD.nn import likelihood_names
    >>> likelihood_names(["rna", "atac", "adt"], {"atac": "poisson"})
    {'rna': 'nb', 'atac': 'poisson', 'adt': 'protein'}
    """
    if isinstance(likelihoods, str):
        return dict.fromkeys(modalities, likelihoods)
    unknown = [m for m in likelihoods if m not in modalities]
    if unknown:
        raise ValueError(
            f"`likelihoods` names {unknown}, which are not modalities. There are: "
            f"{list(modalities)}."
        )
    return {m: likelihoods.get(m, _default(m)) for m in modalities}


def _default(modality: str) -> str:
    known = Likelihood._registry.items()
    return next((name for name, kind in known if modality.lower() in kind.default_for), "nb")
