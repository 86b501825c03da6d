"""Logger of the package."""

from __future__ import annotations

import logging

# A child of scvi-tools' logger follows `scvi.settings.verbosity` and uses its handler.
logger = logging.getLogger("scvi.multiDGD")
