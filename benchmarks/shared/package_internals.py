"""Names of the package that are not public, or that may move: each is imported once, here."""

from multiDGD._scores import UNKNOWN_LABELS, batch_mixing, kmeans_nmi_ari, knn_accuracy
from multiDGD.inference import infer_representations
from multiDGD.init import _modality_scores as init_modality_scores
from multiDGD.init import _normalize as init_normalize
from multiDGD.init import _remove_covariates as init_remove_covariates
from multiDGD.init import _spectral as init_spectral
from multiDGD.model.core._train_arguments import default_max_epochs
from multiDGD.model.labels import _predict as label_prediction
from multiDGD.module import category_means, cell_losses, frozen_gradient, join, take_cells
from multiDGD.stats import calibrate, fit_calibration, is_discovery
from multiDGD.train import RowAdam

__all__ = [
    "UNKNOWN_LABELS",
    "RowAdam",
    "batch_mixing",
    "calibrate",
    "category_means",
    "cell_losses",
    "default_max_epochs",
    "fit_calibration",
    "frozen_gradient",
    "infer_representations",
    "init_modality_scores",
    "init_normalize",
    "init_remove_covariates",
    "init_spectral",
    "is_discovery",
    "join",
    "kmeans_nmi_ari",
    "knn_accuracy",
    "label_prediction",
    "take_cells",
]
