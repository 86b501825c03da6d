"""A Gaussian mixture whose components belong to classes."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from multiDGD._checks import choice, positive, positive_int
from multiDGD.latent import _checks
from multiDGD.latent._labels import class_labels
from multiDGD.latent._mixture import GaussianMixture, log_normal


class GaussianMixtureSupervised(GaussianMixture):
    r"""A Gaussian mixture with ``Ncompperclass`` components for each of ``Nclass`` classes.

    .. math::
        \log p(z \mid c) = \log \sum_{k \in c} \pi_{k \mid c} \, N(z; \mu_k, \sigma_k^2)

    with :math:`\pi_{\cdot \mid c}` the softmax of ``weight`` within the class. Points without
    a label have the density of the full mixture, so labelled and unlabelled points can be
    mixed. Class c owns components ``c * Ncompperclass`` to ``(c + 1) * Ncompperclass - 1``.

    Labels are integers 0 ... Nclass - 1 in a list, array or tensor of shape (n_sample,) or
    (n_sample, 1); -1 marks a point without a label. 999, the mark of the first implementation,
    still does where it is no class, with a ``FutureWarning``.

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
        covariance_type: str = "isotropic",
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
        """Log density of each point, given its class where that is known.

        Parameters
        ----------
        x
            Points, shape (n_sample, dim).
        label
            Class of each point, -1 where unknown; ``None`` if all are.

        Returns
        -------
        log p(x | label), or log p(x) without a label; nats, shape (n_sample,), without
        parameter priors.

        Raises
        ------
        ValueError
            If ``x`` has another shape, or ``label`` another length, no integers, or values
            that are no class.
        """
        if label is None:
            return super().log_density(x)
        x_nl = _checks.points("x", x, self.dim)
        label_n = self._labels(label, n_expected=len(x_nl))
        unlabeled_n = label_n < 0
        # Only the components of each point's own class: with thousands of classes (donors) the
        # full table of points and components would be mostly thrown away.
        class_n = label_n.clamp(min=0)
        # Selected by `index_select`, whose derivative is a sum without sorting.
        mean_nml = self._by_class(self.mean).index_select(0, class_n)
        neglogvar_nml = self._by_class(self.neglogvar).index_select(0, class_n)
        log_density_nm = log_normal(x_nl[:, None, :], mean_nml, neglogvar_nml)
        if self.Ncompperclass > 1:  # a class's only component has all of its probability
            log_density_nm = log_density_nm + self._log_conditional().index_select(0, class_n)
            log_density_n = log_density_nm.logsumexp(dim=1)
        else:
            log_density_n = log_density_nm.squeeze(1)
        if not bool(unlabeled_n.any()):
            return log_density_n
        return log_density_n.masked_scatter(unlabeled_n, super().log_density(x_nl[unlabeled_n]))

    def log_prob(self, x: Tensor, label: Any | None = None) -> Tensor:
        """Log density of each point plus the log prior of the parameters.

        Parameters
        ----------
        x
            Points, shape (n_sample, dim).
        label
            Class of each point, -1 where unknown; ``None`` if all are.

        Returns
        -------
        ``log_density(x, label) + prior_log_prob()`` in nats, shape (n_sample,). The prior is in
        every value, so a sum over points counts it n_sample times.

        Raises
        ------
        ValueError
            As ``log_density``.
        """
        return self.log_density(x, label) + self.prior_log_prob()

    def forward(self, x: Tensor, label: Any | None = None) -> Tensor:
        """Negative of ``log_prob``, a loss in nats, shape (n_sample,)."""
        return -self.log_prob(x, label)

    @torch.no_grad()
    def add_classes(self, n_new: int) -> None:
        """Add classes behind the others, each like their average.

        Means and weights of the new components are the averages of those there are, scales
        their geometric mean. All of them are alike, and stay alike within a class until their
        means are moved apart. The parameters become new ones, which optimisers must be told.

        Parameters
        ----------
        n_new
            Number of classes to add.

        Raises
        ------
        ValueError
            If ``n_new`` is no integer of at least 1.
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
        Log probabilities in nats, shape (n_sample, Nclass); each row sums to 1 as
        probabilities.

        Raises
        ------
        ValueError
            If ``x`` has another shape.
        """
        joint_nk = self.component_log_prob(x)
        joint_nc = joint_nk.view(-1, self.Nclass, self.Ncompperclass).logsumexp(dim=2)
        return torch.log_softmax(joint_nc, dim=1)

    def label_mixture_probs(self, label: Any) -> Tensor:
        """Probabilities of a class's components within the class.

        Parameters
        ----------
        label
            Classes asked about; one integer counts as a list of one.

        Returns
        -------
        Probabilities, shape (n_labels, Ncompperclass); each row sums to 1.

        Raises
        ------
        ValueError
            If ``label`` holds no integers or values that are no class; -1 is none.
        """
        label_n = self._labels(label)
        if bool((label_n < 0).any()):
            raise ValueError(
                "`label` must name a class, found -1 (no label); for the probabilities of all "
                "components call mixture_probs()."
            )
        return self._log_conditional()[label_n].exp()

    @torch.no_grad()
    def supervised_sampling(self, label: Any, sample_type: str = "random") -> Tensor:
        """One point from the class of each label.

        Parameters
        ----------
        label
            Class of each point to make; -1 takes it from the full mixture. One integer counts
            as a list of one.
        sample_type
            ``'random'`` for a draw from the class's mixture, ``'mean'`` for the mean of its most
            probable component (not the mean of the class, which can lie between components
            where there are no points).

        Returns
        -------
        Points, shape (n_labels, dim).

        Raises
        ------
        ValueError
            If ``sample_type`` is unknown, or ``label`` holds no integers or values that are no
            class.
        """
        choice("sample_type", sample_type, ("random", "mean"))
        label_n = self._labels(label)
        class_n = label_n.masked_scatter(label_n < 0, self._any_class(label_n, sample_type))
        log_conditional_nm = self._log_conditional()[class_n]
        if sample_type == "mean":
            component_n = log_conditional_nm.argmax(1)
        else:
            component_n = torch.multinomial(log_conditional_nm.exp(), 1).squeeze(1)
        component_n = component_n + class_n * self.Ncompperclass
        if sample_type == "mean":
            return self.mean[component_n]
        return self._around(self.mean[component_n], self.stddev[component_n])

    def _any_class(self, label_n: Tensor, sample_type: str) -> Tensor:
        """Classes for the unlabelled among ``label_n``, by the full mixture."""
        n_unlabeled = int((label_n < 0).sum())
        if n_unlabeled == 0:
            return label_n[:0]
        probs_cm = self._by_class(self.mixture_probs())
        if sample_type == "mean":
            return probs_cm.amax(1).argmax().expand(n_unlabeled)
        return torch.multinomial(probs_cm.sum(1), n_unlabeled, replacement=True)

    def _by_class(self, value: Tensor) -> Tensor:
        return value.reshape(self.Nclass, self.Ncompperclass, *value.shape[1:])

    def _log_conditional(self) -> Tensor:
        """Log probabilities of the components within their class, (Nclass, Ncompperclass)."""
        return torch.log_softmax(self._by_class(self.weight), dim=1)

    def _labels(self, label: Any, n_expected: int | None = None) -> Tensor:
        return class_labels(label, self.Nclass, self.mean.device, n_expected)
