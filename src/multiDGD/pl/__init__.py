"""Plots of what a model learned.

Axes in, axes out: every function draws on ``ax`` or a new figure and returns what it drew on.
``save`` writes the figure to a file, ``show`` shows it. Colours of categories come from
``adata.uns`` as scanpy keeps them.
"""

from ._calibration import calibration
from ._composition import composition
from ._fit import counts_vs_predicted
from ._history import history
from ._likelihoods import likelihoods
from ._locus import locus
from ._modalities import modalities
from ._perturbation import perturbation
from ._representation import covariate_representation, representation
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
