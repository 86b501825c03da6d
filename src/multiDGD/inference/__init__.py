"""Inference under a trained decoder: representations, their posteriors and new categories."""

from ._associations import associations, log_mean_variances
from ._count_residuals import counts_and_means
from ._curvature import hidden_jacobians
from ._evidence import component_log_evidence
from ._infer_representations import infer_representations
from ._laplace import Laplace, laplace, log_mean_jacobian
from ._log_prob_moments import LogProbMoments
from ._marginal_likelihood import (
    MarginalLikelihood,
    evidence_lower_bound,
    marginal_likelihood,
)
from ._new_categories import learn_categories
from ._output_posterior import OutputPosterior, output_posteriors
from ._population import population_covariance

__all__ = [
    "Laplace",
    "LogProbMoments",
    "MarginalLikelihood",
    "OutputPosterior",
    "associations",
    "component_log_evidence",
    "counts_and_means",
    "evidence_lower_bound",
    "hidden_jacobians",
    "infer_representations",
    "laplace",
    "learn_categories",
    "log_mean_jacobian",
    "log_mean_variances",
    "marginal_likelihood",
    "output_posteriors",
    "population_covariance",
]
