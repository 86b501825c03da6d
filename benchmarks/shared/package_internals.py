"""Names of the package that are not public, or that may move: each is imported once, here."""

from multiDGD._scores import batch_mixing, kmeans_nmi_ari, knn_accuracy
from multiDGD.init import _block as init_block
from multiDGD.init import _integrate as init_integrate
from multiDGD.init import _normalize as init_normalize
from multiDGD.init import _spectral as init_spectral
from multiDGD.model._calibration import calibrated, fit_calibration
from multiDGD.model._differential_table import is_discovery
from multiDGD.model._training import default_max_epochs
from multiDGD.train import RowAdam, category_means, infer_representations
from multiDGD.train._batches import join, take_cells
from multiDGD.train._frozen import cell_losses, frozen_gradient

__all__ = [
    "RowAdam",
    "batch_mixing",
    "calibrated",
    "category_means",
    "cell_losses",
    "default_max_epochs",
    "fit_calibration",
    "frozen_gradient",
    "infer_representations",
    "init_block",
    "init_integrate",
    "init_normalize",
    "init_spectral",
    "is_discovery",
    "join",
    "kmeans_nmi_ari",
    "knn_accuracy",
    "take_cells",
]
