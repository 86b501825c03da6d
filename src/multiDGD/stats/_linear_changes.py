"""Linear predictions of the changes of features with the change of some of them."""

from __future__ import annotations

import numpy as np


def additive_changes(log_nf: np.ndarray, features: np.ndarray, change: float) -> np.ndarray:
    """Difference between cells with much and little of some features, scaled to a change of them.

    Parameters
    ----------
    log_nf
        Log-normalised counts of all features, shape ``(n, f)``.
    features
        Positions of the features that change.
    change
        Change of their logarithms.

    Returns
    -------
    Change of each feature, shape ``(f,)``; 0 if the features are equal in all cells.

    Examples
    --------
    >>> import numpy as np
    >>> from multiDGD.stats import additive_changes
    >>> log_nf = np.array([[0.0, 1.0, 5.0], [1.0, 3.0, 5.0], [2.0, 5.0, 5.0]])
    >>> additive_changes(log_nf, np.array([0]), -1.0) + 0
    array([-1., -2.,  0.])
    """
    level_n = log_nf[:, features].mean(1)
    is_high = level_n > np.median(level_n)
    if not is_high.any() and level_n.min() < level_n.max():
        is_high = level_n > level_n.min()
    if not is_high.any() or is_high.all():
        return np.zeros(log_nf.shape[1], log_nf.dtype)
    difference_f = log_nf[is_high].mean(0) - log_nf[~is_high].mean(0)
    own = float(level_n[is_high].mean() - level_n[~is_high].mean())
    return difference_f * (change / own)


def linear_changes(
    log_nf: np.ndarray, features: np.ndarray, change: float, n_components: int = 20
) -> np.ndarray:
    """Most probable change under a linear model with principal components.

    Cells vary as the normal distribution with the covariance of the leading principal components.
    The change is the conditional mean given the change of the features.

    Parameters
    ----------
    log_nf, features, change
        As for :func:`additive_changes`.
    n_components
        Number of principal components.

    Returns
    -------
    Change of each feature, shape ``(f,)``; 0 if the features do not vary.

    Examples
    --------
    >>> import numpy as np
    >>> from multiDGD.stats import linear_changes
    >>> log_nf = np.array([[0.0, 1.0, 5.0], [1.0, 3.0, 5.0], [2.0, 5.0, 5.0]])
    >>> linear_changes(log_nf, np.array([0]), -1.0, n_components=1).round(6) + 0
    array([-1., -2.,  0.])
    """
    centred_nf = log_nf - log_nf.mean(0)
    # Of the smaller of both products of the matrix with itself.
    gram_nn = (centred_nf @ centred_nf.T).astype(np.float64)
    eigenvalue, vector = np.linalg.eigh(gram_nn)
    leading = eigenvalue[::-1][:n_components] > 1e-9 * max(eigenvalue[-1], 1e-300)
    vector = vector[:, ::-1][:, :n_components][:, leading]
    scaled_kf = vector.T @ centred_nf
    own_kq = scaled_kf[:, features]
    covariance_qq = own_kq.T @ own_kq
    weights_q = np.linalg.pinv(covariance_qq, hermitian=True) @ np.full(len(features), change)
    return scaled_kf.T @ (own_kq @ weights_q)
