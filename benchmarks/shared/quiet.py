"""No warnings and messages of the libraries in the output of a benchmark."""

from __future__ import annotations

import logging
import warnings

import scvi


def hide_messages() -> None:
    """Hide warnings, and messages below errors, for the rest of the process."""
    warnings.filterwarnings("ignore")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    scvi.settings.verbosity = logging.ERROR
