"""Settings that several pages share."""

from __future__ import annotations

#: Dimensions of the representation, the default of MultiDGD.
N_LATENT = 20
#: Number of nearest neighbours in scores of neighbours.
N_NEIGHBORS = 15
#: Arguments of ``train`` that switch off progress bars and summaries.
QUIET = {"enable_progress_bar": False, "enable_model_summary": False}
