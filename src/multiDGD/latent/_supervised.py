"""Gaussian mixture with components assigned to classes."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias, get_args

import torch
from torch import Tensor, nn

from multiDGD._checks import choice, positive, positive_int
from multiDGD.latent import _checks
from multiDGD.latent._labels import class_labels
from multiDGD.latent._mixture import GaussianMixture, log_normal

from ._parameters import CovarianceType

SampleType: TypeAlias = Literal["random", "mean"]


class GaussianMixtureSupervised(GaussianMixture):
    r"""Gaussian mixture with ``Ncompperclass`` components for each of ``Nclass`` classes.

    .. math::
        \log p(z \mid c) = \log \sum_{k \in c} \pi_{k \mid c} \, N(z; \mu_k, \sigma_k^2)

    with :math:`\pi_{\cdot \mid c}` the softmax of ``weight`` within the class. Unlabelled
    points have the density of the full mixture, so one call can combine labelled and unlabelled
    points. Class c has the components ``c * Ncompperclass`` to ``(c + 1) * Ncompperclass - 1``.

    Labels are integers 0 ... Nclass - 1 in a list, array or tensor of shape (n_sample,) or
    (n_sample, 1); -1 marks an unlabelled point. The first implementation used 999, which is
    still accepted, with a ``FutureWarning``, unless it is a class.

    Parameters
    ----------
    Nclass
        Number of classes.
    Ncompperclass
        Number of components in each class.
    dim
        Dimension of the space.
    covariance_type, mean_init, sd_init
        As in :class:`GaussianMixture`.
    alpha
        Concentration of the Dirichlet prior on the probabilities of all components.

    Attributes
    ----------
    Nclass : int
        Number of classes.
    Ncompperclass : int
        Number of components in each class.

    Raises
    ------
    ValueError
        As in :class:`GaussianMixture`.

    Examples
    --------
    >>> import torch
    >>> from multiDGD.latent import GaussianMixtureSupervised
    >>> gmm = GaussianMixtureSupervised(3, 2, dim=5, mean_init=(2.0, 5.0))
    >>> x = torch.randn(4, 5)
    >>> gmm(x, label=[0, 2, -1, 1]).shape
    torch.Size([4])
    >>> gmm.class_log_prob(x).shape
    torch.Size([4, 3])
    """

    def __init__(
        self,
        Nclass: int,
        Ncompperclass: int,
        dim: int,
        covariance_type: CovarianceType = "isotropic",
        mean_init: tuple[float, float] = (0.0, 1.0),
        sd_init: tuple[float, float] = (0.5, 1.0),
        alpha: float = 1,
    ) -> None:
        n_class = positive_int("Nclass", Nclass)
        n_per_class = positive_int("Ncompperclass", Ncompperclass)
        alpha = positive("alpha", alpha)
        super().__init__(n_class * n_per_class, dim, covariance_type, mean_init, sd_init, alpha)
        self.Nclass = n_class
        self.Ncompperclass = n_per_class

    def log_density(self, x: Tensor, label: Any | None = None) -> Tensor:
        """Log density of each point, conditional on its class if that is known.

        Parameters
        ----------
        x
            Points, shape (n_sample, dim).
        label
            Class of each point, -1 if unknown; ``None`` if all are unknown.

        Returns
        -------
        log p(x | label), or log p(x) for unlabelled points, in nats, shape (n_sample,), without
        parameter priors.

        Raises
        ------
        ValueError
            If ``x`` has another shape, or ``label`` has another length, is not integer or is out
            of range.
        """
        if label is None:
            return super().log_density(x)
        x_nl = _checks.points("x", x, self.dim)
        return self.log_density_of_codes(x_nl, self._labels(label, n_expected=len(x_nl)))

    def log_density_of_codes(
        self, x_nl: Tensor, label_n: Tensor, has_unknown: bool | None = None
    ) -> Tensor:
        """:meth:`log_density` for codes that are known to be valid.

        Parameters
        ----------
        x_nl
            Points, shape (n_sample, dim).
        label_n
            Class of each point, -1 if unknown, shape (n_sample,).
        has_unknown
            Whether any code may be -1. By default they are inspected, so that the processor waits
            for a GPU.

        Returns
        -------
        As :meth:`log_density`.
        """
        label_n = label_n.to(x_nl.device, torch.int64)
        unlabelled_n = label_n < 0
        # Compute only the components of each point's own class: with thousands of classes (donors)
        # most of the full table of points and components would be discarded.
        class_n = label_n.clamp(min=0)
        # The derivative of `index_select`, unlike that of indexing, needs no sorting.
        mean_nml = self._by_class(self.mean).index_select(0, class_n)
        neglogvar_nml = self._by_class(self.neglogvar).index_select(0, class_n)
        log_density_nm = log_normal(x_nl[:, None, :], mean_nml, neglogvar_nml)
        if self.Ncompperclass > 1:  # a single component has conditional probability 1
            log_density_nm = log_density_nm + self._log_conditional().index_select(0, class_n)
            log_density_n = log_density_nm.logsumexp(dim=1)
        else:
            log_density_n = log_density_nm.squeeze(1)
        if not (bool(unlabelled_n.any()) if has_unknown is None else has_unknown):
            return log_density_n
        return torch.where(unlabelled_n, super().log_density(x_nl), log_density_n)

    def log_prob(self, x: Tensor, label: Any | None = None) -> Tensor:
        """Log density of each point plus the log prior of the parameters.

        Parameters
        ----------
        x
            Points, shape (n_sample, dim).
        label
            Class of each point, -1 if unknown; ``None`` if all are unknown.

        Returns
        -------
        ``log_density(x, label) + prior_log_prob()`` in nats, shape (n_sample,). Every value
        includes the prior, so a sum over points counts it n_sample times.

        Raises
        ------
        ValueError
            As ``log_density``.
        """
        return self.log_density(x, label) + self.prior_log_prob()

    def forward(self, x: Tensor, label: Any | None = None) -> Tensor:
        """Negative of ``log_prob``: a loss in nats, shape (n_sample,)."""
        return -self.log_prob(x, label)

    @torch.no_grad()
    def add_classes(self, n_new: int) -> None:
        """Append classes, each initialised at the average of the existing ones.

        Means and weights of the new components are the averages over the existing components,
        variances their geometric means. All new components are identical; those of one class
        stay so until their means are set apart. ``mean``, ``neglogvar`` and ``weight`` become new
        parameters, which must be passed to optimisers again.

        Parameters
        ----------
        n_new
            Number of classes to add.

        Raises
        ------
        ValueError
            If ``n_new`` is not a positive integer.
        """
        n_new = positive_int("n_new", n_new)
        n_rows = n_new * self.Ncompperclass
        for name in ("mean", "neglogvar", "weight"):
            value = getattr(self, name)
            average = value.mean(0, keepdim=True).expand(n_rows, *value.shape[1:])
            extended = torch.cat([value, average])
            if isinstance(value, nn.Parameter):
                extended = nn.Parameter(extended, requires_grad=value.requires_grad)
            setattr(self, name, extended)
        self.Nclass += n_new
        self.n_mix_comp += n_rows

    def class_log_prob(self, x: Tensor) -> Tensor:
        r"""Log posterior of the classes, :math:`\log p(c \mid x)`, in the full mixture.

        Parameters
        ----------
        x
            Points, shape (n_sample, dim).

        Returns
        -------
        Log probabilities in nats, shape (n_sample, Nclass); the probabilities of each row sum
        to 1.

        Raises
        ------
        ValueError
            If ``x`` has another shape.
        """
        joint_nk = self.component_log_prob(x)
        joint_nc = joint_nk.view(-1, self.Nclass, self.Ncompperclass).logsumexp(dim=2)
        return torch.log_softmax(joint_nc, dim=1)

    def label_mixture_probs(self, label: Any) -> Tensor:
        """Probabilities of the components within each given class.

        Parameters
        ----------
        label
            Classes; a single integer is treated as a list of one.

        Returns
        -------
        Probabilities, shape (n_labels, Ncompperclass); each row sums to 1.

        Raises
        ------
        ValueError
            If ``label`` is not integer or is out of range; -1 is not allowed.
        """
        label_n = self._labels(label)
        if bool((label_n < 0).any()):
            raise ValueError(
                "`label` must name a class, found -1 (unknown); for the probabilities of all "
                "components call mixture_probs()."
            )
        return self._log_conditional()[label_n].exp()

    @torch.no_grad()
    def supervised_sampling(
        self,
        label: Any,
        sample_type: SampleType = "random",
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Draw one point from the class of each label.

        Parameters
        ----------
        label
            Class of each point to draw; -1 draws from the full mixture. A single integer is
            treated as a list of one.
        sample_type
            ``'random'`` for a draw from the mixture of the class, ``'mean'`` for the mean of its
            most probable component. The mean of the class itself can lie between components,
            where the density is low.
        generator
            Random generator on the device of the mixture; torch's global one by default.

        Returns
        -------
        Points, shape (n_labels, dim).

        Raises
        ------
        ValueError
            If ``sample_type`` is unknown, or ``label`` is not integer or is out of range.
        """
        choice("sample_type", sample_type, get_args(SampleType))
        label_n = self._labels(label)
        class_n = label_n.masked_scatter(
            label_n < 0, self._unlabelled_classes(label_n, sample_type, generator)
        )
        log_conditional_nm = self._log_conditional()[class_n]
        if sample_type == "mean":
            component_n = log_conditional_nm.argmax(1)
        else:
            component_n = torch.multinomial(
                log_conditional_nm.exp(), 1, generator=generator
            ).squeeze(1)
        component_n = component_n + class_n * self.Ncompperclass
        if sample_type == "mean":
            return self.mean[component_n]
        return self._around(self.mean[component_n], self.stddev[component_n], generator)

    def _unlabelled_classes(
        self, label_n: Tensor, sample_type: str, generator: torch.Generator | None
    ) -> Tensor:
        """Class of each unlabelled point of ``label_n``, chosen by the full mixture."""
        n_unlabelled = int((label_n < 0).sum())
        if n_unlabelled == 0:
            return label_n[:0]
        probs_cm = self._by_class(self.mixture_probs())
        if sample_type == "mean":
            return probs_cm.amax(1).argmax().expand(n_unlabelled)
        return torch.multinomial(
            probs_cm.sum(1), n_unlabelled, replacement=True, generator=generator
        )

    def _by_class(self, value: Tensor) -> Tensor:
        return value.reshape(self.Nclass, self.Ncompperclass, *value.shape[1:])

    def _log_conditional(self) -> Tensor:
        """Log probabilities of the components within their class, (Nclass, Ncompperclass)."""
        return torch.log_softmax(self._by_class(self.weight), dim=1)

    def _labels(self, label: Any, n_expected: int | None = None) -> Tensor:
        return class_labels(label, self.Nclass, self.mean.device, n_expected)
