"""MultiDGD, the model that users hold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal
from weakref import WeakKeyDictionary

import numpy as np
from anndata import AnnData
from mudata import MuData
from scvi.data import AnnDataManagerValidationCheck
from scvi.utils import setup_anndata_dsp

from multiDGD._checks import positive_int
from multiDGD._names import nearest
from multiDGD.data import CellManager, anndata_fields, logger, mudata_fields
from multiDGD.module import MultiDGDModule, add_categories

from ._annotate import AnnotationMixin
from ._calibration import CalibrationMixin
from ._compare import ComparisonMixin
from ._components import ComponentMixin, count_components
from ._differential import DifferentialMixin
from ._expression import ExpressionMixin
from ._foreground import ForegroundMixin
from ._generate import GenerationMixin
from ._impute import ImputationMixin
from ._latent import LatentMixin
from ._legacy import LegacyMixin
from ._perturb import PerturbationMixin
from ._predictive import PredictiveMixin
from ._presets import published_defaults
from ._query import QueryMixin
from ._save import SaveMixin
from ._training import TrainingMixin
from ._typicality import TypicalityMixin
from ._uncertainty import UncertaintyMixin


class MultiDGD(
    SaveMixin,
    QueryMixin,
    CalibrationMixin,
    GenerationMixin,
    ExpressionMixin,
    ForegroundMixin,
    PredictiveMixin,
    ComponentMixin,
    ComparisonMixin,
    TypicalityMixin,
    UncertaintyMixin,
    DifferentialMixin,
    PerturbationMixin,
    ImputationMixin,
    AnnotationMixin,
    LegacyMixin,
    TrainingMixin,
    LatentMixin,
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
        positive_int("n_latent", n_latent)
        positive_int("n_components_per_class", n_components_per_class)
        summary = self.summary
        n_labels = len(summary.labels)
        n_cells = adata.n_obs if adata is not None else 1
        is_supervised = bool(supervised and n_labels)
        if n_components == "auto":
            if is_supervised:
                raise ValueError(
                    "`n_components='auto'` is for mixtures without labels: use "
                    "`n_components_per_class`, or `supervised=False`."
                )
            if adata is None:
                raise ValueError("`n_components='auto'` needs `adata`.")
            self.adata_manager.validate()  # see `train`
            n_components = count_components(self.adata_manager, n_latent)
        elif n_components is None:
            # A model that is loaded without data takes the number that is in `init_params_`.
            n_components = default_n_components(n_cells, n_labels, n_components_per_class)
        positive_int("n_components", n_components)
        if is_supervised and n_components < n_labels:
            raise ValueError(
                f"`n_components` is {n_components}, below the {n_labels} labels. Give at least as "
                "many, or leave `labels_key` out of the setup."
            )
        if is_supervised:
            if n_components % n_labels:
                raise ValueError(
                    f"`n_components` is {n_components}, not a multiple of the {n_labels} labels, "
                    "as a supervised mixture needs. Use `n_components_per_class`."
                )
            n_components_per_class = n_components // n_labels
        self.init_params_ = self._get_init_params(locals())
        self.module = MultiDGDModule(
            n_cells,
            summary.n_features,
            n_latent=n_latent,
            n_components=n_components,
            n_labels=n_labels if is_supervised else 0,
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
        # Rows of the table until then, which a model that is saved untrained has.
        self.n_rows_ = n_cells
        # Cells known by name and counts; set when training starts, and saved.
        self.cell_names_ = np.asarray([], dtype=str)
        self.cell_fingerprints_ = np.asarray([], dtype=np.uint64)
        self.library_medians_: dict[str, float] = {}
        self.depth_model_: dict[str, Any] | None = None
        self.imputers_: dict[str, dict[str, Any]] = {}
        self.output_posteriors_: dict[str, dict[str, Any]] | None = None
        self.typical_scores_: np.ndarray | None = None
        self.label_temperature_, self.label_weight_, self.label_noise_ = 1.0, 0.0, 0.0
        self.label_correlation_: np.ndarray | None = None
        self.known_cells_: dict[str, np.ndarray] | None = None
        self.is_started_ = False
        self.new_categories_: dict[str, list[str]] | None = None
        self._inferred = WeakKeyDictionary()
        self._index = None
        kind = "supervised" if is_supervised else "unsupervised"
        features = ", ".join(f"{m} {n}" for m, n in summary.n_features.items())
        self._model_summary_string = (
            f"MultiDGD with: features {features}; n_latent {n_latent}; {n_components} components, "
            f"{kind}; covariates {self.module.covariates + list(summary.continuous)}"
        )

    def get_var_names(
        self, legacy_mudata_format: bool = False
    ) -> np.ndarray | dict[str, np.ndarray]:
        """Feature names: an array for AnnData, arrays by modality for MuData.

        Parameters
        ----------
        legacy_mudata_format
            Return one array for a MuData too, of all modalities together.
        """
        if self.adata is not None:
            return super().get_var_names(legacy_mudata_format=legacy_mudata_format)
        features = self.summary.features
        if self.registry_["setup_method_name"] == "setup_mudata" and not legacy_mudata_format:
            return features
        return np.concatenate(list(features.values()))

    published_defaults = staticmethod(published_defaults)

    @classmethod
    @setup_anndata_dsp.dedent
    def setup_anndata(
        cls,
        adata: AnnData,
        layer: str | None = None,
        modality_key: str | None = None,
        labels_key: str | None = None,
        unlabeled_category: str = "unknown",
        batch_key: str | None = None,
        categorical_covariate_keys: list[str] | None = None,
        continuous_covariate_keys: list[str] | None = None,
        **kwargs: Any,
    ) -> None:
        """%(summary)s.

        Parameters
        ----------
        %(param_adata)s
        %(param_layer)s
        modality_key
            Column of ``adata.var`` with the modality of each feature (``feature_types`` as 10x
            writes it), where one AnnData holds several. Features may come in any order.
        labels_key
            Column of ``adata.obs`` with labels, which supervise the mixture. Missing entries and
            ``unlabeled_category`` mark unlabelled cells.
        unlabeled_category
            Value that says unknown.
        batch_key
            Column of ``adata.obs`` with the batch: one more categorical covariate.
        %(param_cat_cov_keys)s
        %(param_cont_cov_keys)s

        Raises
        ------
        ValueError
            If a key is missing, names repeat, values are not counts, or cells have none.

        Examples
        --------
        >>> MultiDGD.setup_anndata(  # doctest: +SKIP
        ...     adata, modality_key="feature_types", batch_key="donor"
        ... )
        """
        fields = anndata_fields(
            adata,
            layer=layer,
            modality_key=modality_key,
            labels_key=labels_key,
            unlabeled_category=unlabeled_category,
            batch_key=batch_key,
            categorical_covariate_keys=categorical_covariate_keys,
            continuous_covariate_keys=continuous_covariate_keys,
            is_query=kwargs.get("source_registry") is not None,
        )
        given = {k: v for k, v in locals().items() if k != "fields"}
        cls._register(adata, fields, given, kwargs)

    @classmethod
    @setup_anndata_dsp.dedent
    def setup_mudata(
        cls,
        mdata: MuData,
        modalities: list[str] | None = None,
        layers: Mapping[str, str | None] | None = None,
        labels_key: str | None = None,
        unlabeled_category: str = "unknown",
        batch_key: str | None = None,
        categorical_covariate_keys: list[str] | None = None,
        continuous_covariate_keys: list[str] | None = None,
        **kwargs: Any,
    ) -> None:
        """%(summary_mdata)s.

        Parameters
        ----------
        %(param_mdata)s
        modalities
            Names of the modalities to model, in any number and order; all by default. A cell may
            be missing from some of them.
        layers
            Layer with the counts of each modality; ``X`` where none is named.
        labels_key
            Column of ``mdata.obs`` with labels, which supervise the mixture. Missing entries and
            ``unlabeled_category`` mark unlabelled cells.
        unlabeled_category
            Value that says unknown.
        batch_key
            Column of ``mdata.obs`` with the batch: one more categorical covariate.
        categorical_covariate_keys
            Columns of ``mdata.obs`` with further categorical covariates.
        continuous_covariate_keys
            Columns of ``mdata.obs`` with continuous covariates.

        Raises
        ------
        ValueError
            If a modality or key is missing, names repeat, values are not counts, or cells have
            none.

        Examples
        --------
        >>> MultiDGD.setup_mudata(
        ...     mdata, layers={"rna": "counts"}, batch_key="donor"
        ... )  # doctest: +SKIP
        """
        fields = mudata_fields(
            mdata,
            modalities=modalities,
            layers=layers,
            labels_key=labels_key,
            unlabeled_category=unlabeled_category,
            batch_key=batch_key,
            categorical_covariate_keys=categorical_covariate_keys,
            continuous_covariate_keys=continuous_covariate_keys,
            source_registry=kwargs.get("source_registry"),
        )
        given = {k: v for k, v in locals().items() if k != "fields"}
        cls._register(mdata, fields, given, kwargs)

    @classmethod
    def _register(
        cls, data: AnnData | MuData, fields: list, given: dict[str, Any], kwargs: dict[str, Any]
    ) -> None:
        if kwargs and "source_registry" not in kwargs:
            wrong = next(iter(kwargs))
            near = nearest(wrong, [name for name in given if name not in ("cls", "kwargs")])
            raise TypeError(f"The setup has no argument `{wrong}`. Nearest: {near}.")
        manager = CellManager(
            fields=fields,
            setup_method_args=cls._get_setup_method_args(**given),
            # Mosaics are welcome: their cells are looked up by name.
            validation_checks=AnnDataManagerValidationCheck(check_fully_paired_mudata=False),
        )
        manager.register_fields(data, **kwargs)
        cls.register_manager(manager)


def default_n_components(n_cells: int, n_labels: int, n_components_per_class: int) -> int:
    """Number of components where the user gives none.

    Parameters
    ----------
    n_cells
        Number of cells.
    n_labels
        Number of labels, 0 without any.
    n_components_per_class
        Components for each label.
    """
    if n_labels:
        return n_labels * n_components_per_class
    return int(np.clip(n_cells // 25, 2, 30))
