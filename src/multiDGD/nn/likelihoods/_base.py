"""The one interface of all likelihoods."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from torch import Tensor, nn

from multiDGD.nn._counts import Counts

from ._sparse import SparseLogProb
from ._zero import ZeroPart


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

    Raises
    ------
    ValueError
        If there are no features.
    """

    name: ClassVar[str]
    _registry: ClassVar[dict[str, type[Likelihood]]] = {}

    def __init_subclass__(cls, **kwargs: object) -> None:
        super().__init_subclass__(**kwargs)
        if "name" in cls.__dict__:
            Likelihood._registry[cls.name] = cls

    def __init__(self, n_features: int) -> None:
        super().__init__()
        if n_features < 1:
            raise ValueError(f"`n_features` must be at least 1, found {n_features}.")
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

    def zero_part(self) -> ZeroPart:
        """What evaluates :meth:`log_prob_zero` and its derivatives for blocks of rows.

        By autograd, unless a subclass returns closed forms, for speed alone.
        """
        return ZeroPart(self)

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
        self, logits_nf: Tensor, counts: Counts | Tensor, *, reuse_logits: bool = False
    ) -> Tensor:
        """Log-likelihood of each cell, summed over features (nats), shape ``(n,)``.

        Parameters
        ----------
        logits_nf
            Output of the modality's head, shape ``(n, f)``. Below float32 it is raised to it.
        counts
            The cells' counts, as non-zeros or as a dense matrix ``(n, f)``.
        reuse_logits
            Let the backward pass write the logits' gradient over the logits, which nobody must
            look at afterwards. Saves memory of that size, and the time to get it.

        Raises
        ------
        ValueError
            If the counts' shape is not that of the logits or of this likelihood.
        """
        if isinstance(counts, Tensor):
            counts = Counts.from_dense(counts)
        found = (counts.n_cells, counts.n_features)
        if found != tuple(logits_nf.shape) or found[1] != self.n_features:
            raise ValueError(
                f"`counts` must have shape {(logits_nf.shape[0], self.n_features)} and `logits_nf` "
                f"the same, found {found} and {tuple(logits_nf.shape)}."
            )
        return SparseLogProb.apply(self, counts, reuse_logits, logits_nf, *self.parameters())


def get_likelihood(name: str) -> type[Likelihood]:
    """Look a likelihood up by its name.

    Parameters
    ----------
    name
        For example ``"nb"``, ``"poisson"`` or ``"bernoulli"``.

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
