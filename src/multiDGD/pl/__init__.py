"""Plots of models and their results.

Every function draws on ``ax``, or on a new figure, and returns the axes. ``save`` writes the
figure to a file and ``show`` displays it. Category colours come from ``adata.uns``, where scanpy
stores them.
"""

from ._calibration import calibration
from ._composition import composition
from ._counts_vs_predicted import counts_vs_predicted
from ._covariate import covariate_representation
from ._history import history
from ._likelihoods import likelihoods
from ._locus import locus
from ._modalities import modalities
from ._perturbation import perturbation
from ._representation import representation
from ._uncertainty import uncertainty
from ._volcano import volcano

__all__ = [
    "calibration",
    "composition",
    "counts_vs_predicted",
    "covariate_representation",
    "history",
    "likelihoods",
    "locus",
    "modalities",
    "perturbation",
    "representation",
    "uncertainty",
    "volcano",
]
