"""Statistics of arrays and tensors, independent of models and AnnData objects."""

from ._association import Association
from ._beta_binomial import ProportionTest, compare_proportions
from ._calibration import LabelCalibration, calibrate, fit_calibration
from ._conditional_shift import conditional_shift
from ._controls import empirical_p_values, matched_controls
from ._count_splitting import split_counts
from ._discrimination import discrimination
from ._false_discovery import is_discovery
from ._fold_changes import FoldChanges
from ._group_rates import GroupRates, RateSums
from ._imputer import Imputer
from ._library_regression import LibraryRegression
from ._linear_changes import additive_changes, linear_changes
from ._linked_peaks import ResidualEvidence, contact_prior, link_peaks
from ._moderated import ModeratedDifference, moderated_difference
from ._profile_scores import ProfileScores
from ._residual_regression import RegressionCells, ResidualRegression, fit_residual_regression
from ._residuals import SharedFluctuation, StandardisedResiduals
from ._sample_densities import SampleDensities
from ._shrinkage import shrink_variances, shrunk_correlation
from ._single_effects import Evidence, SingleEffects, single_effects

__all__ = [
    "Association",
    "Evidence",
    "FoldChanges",
    "GroupRates",
    "Imputer",
    "LabelCalibration",
    "LibraryRegression",
    "ModeratedDifference",
    "ProfileScores",
    "ProportionTest",
    "RateSums",
    "RegressionCells",
    "ResidualEvidence",
    "ResidualRegression",
    "SampleDensities",
    "SharedFluctuation",
    "SingleEffects",
    "StandardisedResiduals",
    "additive_changes",
    "calibrate",
    "compare_proportions",
    "conditional_shift",
    "contact_prior",
    "discrimination",
    "empirical_p_values",
    "fit_calibration",
    "fit_residual_regression",
    "is_discovery",
    "link_peaks",
    "linear_changes",
    "matched_controls",
    "moderated_difference",
    "shrink_variances",
    "shrunk_correlation",
    "single_effects",
    "split_counts",
]
