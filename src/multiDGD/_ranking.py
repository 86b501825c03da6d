"""Order of features: those that distinguish components come first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from scipy import sparse


def rank_features(
    values: sparse.csc_matrix,
    component: np.ndarray,
    present: np.ndarray,
    names: np.ndarray,
    markers: Sequence[str] = (),
) -> np.ndarray:
    """Positions of features with counts, markers first, then by variance between components.

    Parameters
    ----------
    values
        Log-normalised counts, shape ``(cells, features)``.
    component
        Component of each cell.
    present
        Whether each cell has counts.
    names
        Names of the features.
    markers
        Names of the features that come first, in this order.
    """
    code = np.unique(component, return_inverse=True)[1]
    member = sparse.csr_matrix((present.astype(float), (code, np.arange(len(code)))))
    n_k = np.asarray(member.sum(1)).ravel()
    mean_kf = (member @ values).toarray() / np.maximum(n_k, 1)[:, None]
    weight_k = n_k / max(n_k.sum(), 1)
    variance_f = weight_k @ (mean_kf - weight_k @ mean_kf) ** 2
    first = {str(name): -i for i, name in enumerate(markers, start=-len(markers))}
    marker_f = np.array([first.get(str(name), 0) for name in names])
    order = np.lexsort((-variance_f, -marker_f))
    return order[np.asarray(values.sum(0)).ravel()[order] > 0]


def take_turns(ranked: Mapping[str, np.ndarray], n: int) -> list[tuple[str, int]]:
    """Modality and position of the first ``n`` features, one of each modality in turn.

    Parameters
    ----------
    ranked
        Positions of the features, by modality.
    n
        Number of features.
    """
    longest = max(map(len, ranked.values()), default=0)
    turns = [(m, int(at[i])) for i in range(longest) for m, at in ranked.items() if i < len(at)]
    return turns[:n]
