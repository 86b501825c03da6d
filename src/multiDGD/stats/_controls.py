"""Features to compare a chosen one with, and how extreme it is beside them."""

from __future__ import annotations

import numpy as np


def matched_controls(
    mean_f: np.ndarray, features: np.ndarray, n_controls: int, rng: np.random.Generator
) -> np.ndarray:
    """Other features of about the same mean, for each of the chosen ones.

    Parameters
    ----------
    mean_f
        Mean of every feature, shape ``(f,)``.
    features
        Positions of q chosen features.
    n_controls
        Sets of controls wanted; fewer where there are not that many features.
    rng
        Draws them from the nearest three times as many.

    Returns
    -------
    Positions, shape ``(n, q)``: each row a set of controls, in the order of ``features``.
    """
    others = np.setdiff1d(np.arange(len(mean_f)), features)
    n = min(n_controls, len(others))
    log_mean = np.log(mean_f)
    found = np.empty((n, len(features)), dtype=np.int64)
    for column, feature in enumerate(features):
        nearest = others[np.argsort(np.abs(log_mean[others] - log_mean[feature]), kind="stable")]
        found[:, column] = rng.choice(nearest[: 3 * n], n, replace=False)
    return found


def empirical_p_values(value_f: np.ndarray, control_nf: np.ndarray) -> np.ndarray:
    """How often a control is at least as far from 0, both sides together.

    ``(1 + controls as extreme) / (1 + controls)``, so never 0 (Phipson & Smyth, 2010).

    Parameters
    ----------
    value_f
        Shape ``(f,)``.
    control_nf
        The same of each control, shape ``(n, f)``.
    """
    as_extreme = (np.abs(control_nf) >= np.abs(value_f)).sum(0)
    return (1 + as_extreme) / (1 + len(control_nf))
