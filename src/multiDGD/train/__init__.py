"""Optimisation: the training plan, and representations of cells under a frozen decoder."""

from ._association import Association, associations, log_mean_variances
from ._candidates import category_means
from ._categories import learn_categories
from ._curvature import hidden_jacobians
from ._evidence import component_log_evidence
from ._fold_change import FoldChanges
from ._group_rates import GroupRates, RateSums, rate_sums
from ._laplace import Laplace, laplace, log_mean_jacobian
from ._map import infer_representations
from ._output_posterior import OutputPosterior, output_posteriors
from ._plan import MultiDGDTrainingPlan
from ._row_adam import RowAdam
from ._shift import Shift, population_covariance, published_step
from ._splitter import CellSplitter
from ._start import start_from_embedding, start_from_zero

__all__ = [
    "Association",
    "CellSplitter",
    "FoldChanges",
    "GroupRates",
    "Laplace",
    "MultiDGDTrainingPlan",
    "OutputPosterior",
    "RateSums",
    "RowAdam",
    "Shift",
    "associations",
    "category_means",
    "component_log_evidence",
    "hidden_jacobians",
    "infer_representations",
    "laplace",
    "learn_categories",
    "log_mean_jacobian",
    "log_mean_variances",
    "output_posteriors",
    "population_covariance",
    "published_step",
    "rate_sums",
    "start_from_embedding",
    "start_from_zero",
]
