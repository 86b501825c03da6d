"""MultiDGD, composed of one mixin for each capability."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from anndata import AnnData
from mudata import MuData

from multiDGD.latent._parameters import CovarianceType
from multiDGD.model.abundance._abundance import AbundanceMixin
from multiDGD.model.core._build import build_module, describe_model
from multiDGD.model.core._copying import CopyMixin
from multiDGD.model.core._description import DescriptionMixin
from multiDGD.model.core._loading import LoadMixin
from multiDGD.model.core._n_components import Auto, resolve_n_components
from multiDGD.model.core._object_type import check_is_set_up
from multiDGD.model.core._presets import published_defaults
from multiDGD.model.core._public_names import name_methods
from multiDGD.model.core._random import resolve_seed, seeded_initialisation
from multiDGD.model.core._representation_cache import RepresentationCache
from multiDGD.model.core._saving import SaveMixin
from multiDGD.model.core._scvi_api import refuse_other_forms
from multiDGD.model.core._setup import SetupMixin
from multiDGD.model.core._training import TrainingMixin
from multiDGD.model.decoding._accessibility import AccessibilityMixin
from multiDGD.model.decoding._correlation import CorrelationMixin
from multiDGD.model.decoding._count_split import CountSplitMixin
from multiDGD.model.decoding._expression import ExpressionMixin
from multiDGD.model.decoding._foreground import ForegroundMixin
from multiDGD.model.decoding._intervals import IntervalMixin
from multiDGD.model.decoding._likelihood_parameters import LikelihoodParameterMixin
from multiDGD.model.decoding._marginal import MarginalLikelihoodMixin
from multiDGD.model.decoding._reconstruction import ReconstructionMixin
from multiDGD.model.differential._accessibility import DifferentialAccessibilityMixin
from multiDGD.model.differential._expression import DifferentialExpressionMixin
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

from ._compare_likelihoods import ComparisonMixin
from ._load_legacy import LegacyMixin
from ._report import ReportMixin


@name_methods
@refuse_other_forms
class MultiDGD(
    SetupMixin,
    QueryMixin,
    LoadMixin,
    DescriptionMixin,
    TrainingMixin,
    SaveMixin,
    CopyMixin,
    LegacyMixin,
    AbundanceMixin,
    AnnotationMixin,
    ComponentMixin,
    TypicalityMixin,
    LatentMixin,
    LabelMixin,
    ExpressionMixin,
    AccessibilityMixin,
    LikelihoodParameterMixin,
    CorrelationMixin,
    ReconstructionMixin,
    ForegroundMixin,
    IntervalMixin,
    CountSplitMixin,
    MarginalLikelihoodMixin,
    ImputationMixin,
    DifferentialExpressionMixin,
    DifferentialAccessibilityMixin,
    PerturbationMixin,
    LinkMixin,
    GenerationMixin,
    PredictiveMixin,
    ComparisonMixin,
    ReportMixin,
):
    """Multi-omics Deep Generative Decoder (Schuster et al., Nature Communications 2024).

    Each cell has a representation in latent space. Training optimises all representations together
    with a decoder and a Gaussian mixture. The decoder maps a representation to the expected counts
    of every modality, and the mixture is the prior over representations. There is no encoder:
    the representation of a new cell is inferred by optimisation, with all other parameters frozen.

    Parameters
    ----------
    adata
        AnnData or MuData, registered by :meth:`setup_anndata` or :meth:`setup_mudata`.
    n_latent
        Dimensions of the basal representation.
    n_components
        Number of mixture components. The default with registered labels is
        ``n_components_per_class`` for each label. Without labels, it is ``"auto"``: the number is
        estimated from the spectral initialisation (:func:`multiDGD.init.choose_n_components`),
        which requires an unsupervised mixture.
    n_components_per_class
        Number of components of each label.
    supervised
        Whether registered labels supervise the mixture. With `False`, labels only determine the
        number of components, as published.
    likelihoods
        Likelihood of each modality, by name, or one for all modalities: ``"nb"``, ``"poisson"``,
        ``"bernoulli"`` or ``"protein"``. The default is ``"protein"`` for modalities with the name
        ``prot``, ``protein``, ``proteins``, ``protein_expression``, ``adt`` or
        ``Antibody Capture``, in upper or lower case, and ``"nb"`` for all others.
        :meth:`compare_likelihoods` compares likelihoods on held-out cells.
    n_covariate_latent
        Dimensions of the representation of each categorical covariate.
    covariance_type
        Covariance of the components: ``"diagonal"``, ``"isotropic"`` or ``"fixed"``.
    softball
        Radius and hardness of the prior on the means of the mixtures.
    sd_mean
        Typical standard deviation of a component; ``0.2 * radius / components`` if `None`, as
        published.
    sd_sd
        Standard deviation of the prior on the log variances of the components.
    dirichlet_alpha
        Concentration of the prior on the weights of the mixture.
    dirichlet_alpha_covariates
        Concentration of the prior on the weights of the covariates' mixtures.
    mixture_weight
        Weight of the log density of a representation under the mixture, relative to the
        log-likelihood of the counts, in (0, 1]. The default is 1 if labels supervise the mixture,
        as in the published model, and 0.2 otherwise. A lower weight is a power prior (Ibrahim &
        Chen, 2000): cells are pulled less towards the nearest component, so that a cell type with
        several components stays connected. In cells with missing modalities it is raised to the
        power of the share of measured modalities.
    decoder_kwargs
        Arguments of :class:`multiDGD.nn.Decoder`: ``n_units`` (100 by default), ``n_hidden`` (1)
        and ``n_hidden_modality`` (1).
    registry
        Registry of a saved model. :meth:`load` passes it if the model is loaded without data.

    Raises
    ------
    ValueError
        If an argument is invalid or does not fit the data.

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
        n_components: int | Auto | None = None,
        n_components_per_class: int = 1,
        supervised: bool = True,
        likelihoods: str | Mapping[str, str] | None = None,
        n_covariate_latent: int = 2,
        covariance_type: CovarianceType = "diagonal",
        softball: tuple[float, float] = (2.0, 5.0),
        sd_mean: float | None = None,
        sd_sd: float = 1.0,
        dirichlet_alpha: float = 1.0,
        dirichlet_alpha_covariates: float = 2.0,
        mixture_weight: float | None = None,
        decoder_kwargs: Mapping[str, Any] | None = None,
        registry: dict | None = None,
    ) -> None:
        if adata is not None and registry is None:
            check_is_set_up(adata, type(self))
        super().__init__(adata, registry)
        n_cells = 1 if adata is None else adata.n_obs
        n_labels = len(self.summary.labels)
        supervised = bool(supervised and n_labels)
        n_components, n_components_per_class = resolve_n_components(
            n_components,
            n_components_per_class,
            n_labels,
            supervised=supervised,
            n_latent=n_latent,
            manager=self.adata_manager,
        )
        self.init_params_ = self._get_init_params(locals())
        with seeded_initialisation(resolve_seed()):
            self.module = build_module(
                self.summary,
                n_cells,
                n_latent=n_latent,
                n_components=n_components,
                n_components_per_class=n_components_per_class,
                supervised=supervised,
                likelihoods=likelihoods,
                n_covariate_latent=n_covariate_latent,
                covariance_type=covariance_type,
                softball=softball,
                sd_mean=sd_mean,
                sd_sd=sd_sd,
                dirichlet_alpha=dirichlet_alpha,
                dirichlet_alpha_covariates=dirichlet_alpha_covariates,
                mixture_weight=mixture_weight,
                decoder_kwargs=decoder_kwargs,
            )
        self.n_representations_ = n_cells
        self._inferred_cache = RepresentationCache()
        self._model_summary_string = describe_model(self.summary, self.module)

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
