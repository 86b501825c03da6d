"""MultiDGD: the capabilities of the model, one mixin each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal
from weakref import WeakKeyDictionary

from anndata import AnnData
from mudata import MuData

from multiDGD.data import logger
from multiDGD.model.core._n_components import resolve_n_components
from multiDGD.model.core._presets import published_defaults
from multiDGD.model.core._saving import SaveMixin
from multiDGD.model.core._setup import SetupMixin
from multiDGD.model.core._training import TrainingMixin
from multiDGD.model.decoding._count_split import CountSplitMixin
from multiDGD.model.decoding._expression import ExpressionMixin
from multiDGD.model.decoding._foreground import ForegroundMixin
from multiDGD.model.decoding._intervals import IntervalMixin
from multiDGD.model.differential._differential import DifferentialMixin
from multiDGD.model.embedding._annotate import AnnotationMixin
from multiDGD.model.embedding._components import ComponentMixin
from multiDGD.model.embedding._latent import LatentMixin
from multiDGD.model.embedding._typicality import TypicalityMixin
from multiDGD.model.generation._posterior_predictive import PredictiveMixin
from multiDGD.model.generation._sample import GenerationMixin
from multiDGD.model.imputation._impute import ImputationMixin
from multiDGD.model.labels._predict import LabelMixin
from multiDGD.model.links._links import LinkMixin
from multiDGD.model.perturbation._perturb import PerturbationMixin
from multiDGD.model.queries._query import QueryMixin
from multiDGD.module import MultiDGDModule, add_categories

from ._compare_likelihoods import ComparisonMixin
from ._load_legacy import LegacyMixin


class MultiDGD(
    SetupMixin,
    QueryMixin,
    TrainingMixin,
    SaveMixin,
    LegacyMixin,
    AnnotationMixin,
    ComponentMixin,
    TypicalityMixin,
    LatentMixin,
    LabelMixin,
    ExpressionMixin,
    ForegroundMixin,
    IntervalMixin,
    CountSplitMixin,
    ImputationMixin,
    DifferentialMixin,
    PerturbationMixin,
    LinkMixin,
    GenerationMixin,
    PredictiveMixin,
    ComparisonMixin,
):
    """Multi-omics Deep Generative Decoder (Schuster et al., Nature Communications 2024).

    Every cell owns a representation that is learned together with a decoder, which turns it into
    the expected counts of every modality, and with a Gaussian mixture over representations.
    There is no encoder: a new cell is embedded by optimising its own representation.

    Parameters
    ----------
    adata
        AnnData or MuData that has been registered by :meth:`setup_anndata` or
        :meth:`setup_mudata`.
    n_latent
        Dimensions of the basal representation.
    n_components
        Components of the mixture. By default the number of labels times
        ``n_components_per_class`` where labels are registered; without labels one for each 25
        cells, at least 2 and at most 30: more than there are cell types costs little, since
        components that are not needed stay close to others. ``"auto"`` takes the number that the
        spectral start of training asks for (:func:`multiDGD.init.choose_n_components`); only
        where labels do not supervise the mixture.
    n_components_per_class
        Components for each label.
    supervised
        Whether registered labels supervise the mixture. If not, they only give the number of
        components, as published.
    likelihoods
        Likelihood of each modality by name, or one name for all: ``"nb"``, ``"poisson"``,
        ``"bernoulli"`` or ``"protein"``. Where none is given, ``"protein"`` for modalities that are
        called ``prot``, ``protein``, ``proteins``, ``protein_expression``, ``adt`` or
        ``Antibody Capture``, in upper or lower case, and ``"nb"`` for all others.
        :meth:`compare_likelihoods` says which one fits.
    n_covariate_latent
        Dimensions of each categorical covariate's representation.
    covariance_type
        ``"diagonal"``, ``"isotropic"`` or ``"fixed"``.
    softball
        Radius and hardness of the region in which the mixture's means lie.
    sd_mean
        Typical standard deviation of a component; ``0.2 * radius / components`` if `None`, as
        published.
    sd_sd
        Standard deviation of the prior on the components' log variances.
    dirichlet_alpha
        Concentration of the prior on the mixture's weights.
    dirichlet_alpha_covariates
        The same for the covariates' mixtures.
    decoder_kwargs
        Arguments of :class:`multiDGD.nn.Decoder`: ``n_units`` (100), ``n_hidden`` (1) and
        ``n_hidden_modality`` (1).
    registry
        Used by :meth:`load` in place of data.

    Raises
    ------
    ValueError
        If an argument does not fit the data.

    Examples
    --------
    >>> from multiDGD import MultiDGD
    >>> from multiDGD.datasets import simulate_multiome
    >>> mdata = simulate_multiome(n_cells=100, n_genes=50, n_peaks=60)
    >>> MultiDGD.setup_mudata(mdata, batch_key="batch")
    >>> model = MultiDGD(mdata, n_latent=5)
    >>> model.train(max_epochs=2, enable_progress_bar=False)
    >>> mdata.obsm["X_multidgd"] = model.get_latent_representation()
    """

    def __init__(
        self,
        adata: AnnData | MuData | None = None,
        n_latent: int = 20,
        n_components: int | Literal["auto"] | None = None,
        n_components_per_class: int = 1,
        supervised: bool = True,
        likelihoods: str | Mapping[str, str] | None = None,
        n_covariate_latent: int = 2,
        covariance_type: Literal["diagonal", "isotropic", "fixed"] = "diagonal",
        softball: tuple[float, float] = (2.0, 5.0),
        sd_mean: float | None = None,
        sd_sd: float = 1.0,
        dirichlet_alpha: float = 1.0,
        dirichlet_alpha_covariates: float = 2.0,
        decoder_kwargs: Mapping[str, Any] | None = None,
        registry: dict | None = None,
    ) -> None:
        super().__init__(adata, registry)
        summary = self.summary
        n_labels, n_cells = len(summary.labels), 1 if adata is None else adata.n_obs
        supervised = bool(supervised and n_labels)
        n_components = resolve_n_components(
            n_components,
            n_components_per_class,
            n_labels,
            supervised=supervised,
            n_latent=n_latent,
            n_cells=n_cells,
            manager=None if adata is None else self.adata_manager,
        )
        if supervised:
            n_components_per_class = n_components // n_labels
        self.init_params_ = self._get_init_params(locals())
        self.module = MultiDGDModule(
            n_cells,
            summary.n_features,
            n_latent=n_latent,
            n_components=n_components,
            n_labels=n_labels if supervised else 0,
            n_components_per_class=n_components_per_class,
            covariates={n: len(c) - summary.n_added[n] for n, c in summary.covariates.items()},
            n_covariate_latent=n_covariate_latent,
            n_continuous=len(summary.continuous),
            likelihoods=likelihoods,
            covariance_type=covariance_type,
            softball=softball,
            sd_mean=sd_mean,
            sd_sd=sd_sd,
            dirichlet_alpha=dirichlet_alpha,
            dirichlet_alpha_covariates=dirichlet_alpha_covariates,
            decoder_kwargs={"n_hidden": 1, "n_hidden_modality": 1, **(decoder_kwargs or {})},
        )
        for name in summary.covariates:
            if name not in self.module.covariates:
                logger.info("Covariate %r has one category and is not modelled.", name)
        add_categories(self.module, summary.n_added)
        self.n_representations_ = n_cells
        self._inferred_cache = WeakKeyDictionary()
        kind = "supervised" if supervised else "unsupervised"
        features = ", ".join(f"{m} {n}" for m, n in summary.n_features.items())
        self._model_summary_string = (
            f"MultiDGD with: features {features}; n_latent {n_latent}; {n_components} components, "
            f"{kind}; covariates {self.module.covariates + list(summary.continuous)}"
        )

    published_defaults = staticmethod(published_defaults)

    def _learn(self, weight_precision: float) -> None:
        cell_subset = self._learn_cell_subset()
        self._update_learned(
            library_medians=self._learn_library_medians(),
            library_regression=self._learn_library_regression(),
            imputers=self._learn_imputers(),
            output_posteriors=self._learn_output_posteriors(weight_precision),
            typical_scores=self._learn_typical_scores(),
            cell_subset=cell_subset,
            labels=self._learn_labels(cell_subset),
        )
