"""Sums of counts over groups of cells, and the features that a group lacks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np

from multiDGD.nn import Counts

# Minimum of the expected counts, and of the expected cells with counts, of an absent feature. By
# chance, a Poisson count with this mean is 0 in 1 of 22,000 cases.
_MIN_EXPECTED = 10.0


class Profile(NamedTuple):
    """Share of each feature in the library size and in the number of cells, shape ``(f,)`` each."""

    share: np.ndarray
    detection: np.ndarray


class GroupTotals:
    """Sums of one modality over the cells of each of g groups.

    Parameters
    ----------
    n_groups
        Number of groups g.
    n_features
        Number of features f.

    Attributes
    ----------
    counts, detections
        Sums of counts and numbers of counts above 0, shape ``(g, f)`` each.
    library, n_cells
        Sums of library sizes and numbers of measured cells, shape ``(g, 1)`` each.
    """

    def __init__(self, n_groups: int, n_features: int) -> None:
        self.counts, self.detections = np.zeros((2, n_groups, n_features))
        self.library, self.n_cells = np.zeros((2, n_groups, 1))

    def add(self, counts: Counts, groups: np.ndarray) -> None:
        """Add the cells of a minibatch.

        Parameters
        ----------
        counts
            Counts of n cells.
        groups
            Group of each cell, shape ``(n,)``.
        """
        at = groups[counts.rows.numpy()], counts.columns.numpy()
        library = counts.library.numpy()
        np.add.at(self.counts, at, counts.values.numpy())
        np.add.at(self.detections, at, 1)
        np.add.at(self.library[:, 0], groups, library)
        np.add.at(self.n_cells[:, 0], groups, library > 0)

    def profile(self) -> Profile:
        """Profile of each feature over the groups that contain it."""
        found = self.counts > 0
        library, n_cells = ((found * x).sum(0).clip(1) for x in (self.library, self.n_cells))
        return Profile(self.counts.sum(0) / library, self.detections.sum(0) / n_cells)

    def absent(self, profile: Profile) -> np.ndarray:
        """Mask of features without counts although a profile predicts many, shape ``(g, f)``.

        Parameters
        ----------
        profile
            Profile of other cells, or of all groups.
        """
        expected = np.minimum(profile.share * self.library, profile.detection * self.n_cells)
        return (self.counts == 0) & (expected >= _MIN_EXPECTED)


def group_totals(
    batches: Iterable[Mapping[str, Any]],
    n_features: Mapping[str, int],
    groups: np.ndarray,
    n_groups: int,
) -> dict[str, GroupTotals]:
    """Sums over the cells of each group, by modality.

    Parameters
    ----------
    batches
        Minibatches of cells.
    n_features
        Number of features of each modality.
    groups
        Group of each cell of the object, shape ``(n_obs,)``.
    n_groups
        Number of groups.
    """
    totals = {m: GroupTotals(n_groups, f) for m, f in n_features.items()}
    for batch in batches:
        of_cells = groups[batch["cells"].numpy()]
        for modality, counts in batch["counts"].items():
            totals[modality].add(counts, of_cells)
    return totals
