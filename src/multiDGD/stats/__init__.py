"""Statistics of arrays and tensors, independent of models and AnnData objects."""

from ._association import Association
from ._calibration import LabelCalibration, calibrate, fit_calibration
from ._conditional_shift import conditional_shift
from ._controls import empirical_p_values, matched_controls
from ._count_splitting import split_counts
from ._false_discovery import is_discovery
from ._fold_changes import FoldChanges
from ._group_rates import GroupRates, RateSums
from ._imputer import Imputer
from ._library_regression import LibraryRegression
from ._linear_changes import additive_changes, linear_changes
from ._profile_scores import ProfileScores
from ._residual_regression import RegressionCells, ResidualRegression, fit_residual_regression
from ._shrinkage import shrink_variances, shrunk_correlation

__all__ = [
    "Association",
    "FoldChanges",
    "GroupRates",
    "Imputer",
    "LabelCalibration",
    "LibraryRegression",
    "ProfileScores",
    "RateSums",
    "RegressionCells",
    "ResidualRegression",
    "additive_changes",
    "calibrate",
    "conditional_shift",
    "empirical_p_values",
    "fit_calibration",
    "fit_residual_regression",
    "is_discovery",
    "linear_changes",
    "matched_controls",
    "shrink_variances",
    "shrunk_correlation",
    "split_counts",
]
