"""The logger that users already listen to."""

from __future__ import annotations

import logging

# A child of scvi-tools' logger: `scvi.settings.verbosity` rules it, and its handler shows it.
logger = logging.getLogger("scvi.multiDGD")
