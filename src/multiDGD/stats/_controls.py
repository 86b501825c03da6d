"""Control features, and empirical p-values relative to them."""

from __future__ import annotations

import numpy as np


def matched_controls(
    mean_f: np.ndarray, features: np.ndarray, n_controls: int, rng: np.random.Generator
) -> np.ndarray:
    """Draw control features with about the same mean as each selected feature.

    Parameters
    ----------
    mean_f
        Mean of every feature, shape ``(f,)``.
    features
        Positions of q selected features.
    n_controls
        Number of sets of controls. The result has fewer sets if there are fewer other features.
    rng
        Random generator. The n controls of a feature are a sample of the 3 n features with the
        nearest means.

    Returns
    -------
    Positions, shape ``(n, q)``. Each row is a set of controls in the order of ``features``.
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
    """Two-sided empirical p-values relative to controls.

    The p-value is ``(1 + n_extreme) / (1 + n)``, where ``n_extreme`` of n controls have at least
    the same absolute value. It is never 0 (Phipson & Smyth, 2010).

    Parameters
    ----------
    value_f
        Values, shape ``(f,)``.
    control_nf
        Values for each control, shape ``(n, f)``.
    """
    n_extreme = (np.abs(control_nf) >= np.abs(value_f)).sum(0)
    return (1 + n_extreme) / (1 + len(control_nf))
