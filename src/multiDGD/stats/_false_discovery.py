"""Control of the false discovery rate by local false discovery rates."""

from __future__ import annotations

import numpy as np


def is_discovery(lfdr: np.ndarray, fdr_target: float) -> np.ndarray:
    """Mark as many features as possible at a mean local false discovery rate within the target.

    Parameters
    ----------
    lfdr
        Local false discovery rate of each feature, shape ``(f,)``.
    fdr_target
        Largest mean over the marked features.

    Examples
    --------
    >>> import numpy as np
    >>> is_discovery(np.array([0.5, 0.01, 0.06]), 0.05)
    array([False,  True,  True])
    """
    order = np.argsort(lfdr, kind="stable")
    means = np.cumsum(lfdr[order]) / np.arange(1, len(lfdr) + 1)
    found = np.zeros(len(lfdr), dtype=bool)
    found[order] = means <= fdr_target
    return found
