"""Features that some cells did not measure although the object contains them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Self

import numpy as np
from anndata import AnnData
from scvi.data.fields import MuDataWrapper

from multiDGD.nn import Counts

from ._checks import listed
from ._log import logger
from ._obs_fields import BatchField

PANEL_KEY = "panel"

# Minimum of the expected counts, and of the expected cells with counts, of an absent feature. By
# chance, a Poisson count with this mean is 0 in 1 of 22,000 cases.
_MIN_EXPECTED = 10.0
# A gene of one sex or one cell type can be absent from a batch in which it was measured. Antibodies
# of a panel are found in most cells, and few panels differ by less than one in 200.
_WIDE_DETECTION = 0.5
_MIN_SHARE_OF_WIDE = 1 / 200


class Panels(NamedTuple):
    """Groups of cells with the same measured features.

    Attributes
    ----------
    observed
        Ascending positions of the measured features of each modality, for each panel. A modality
        without an entry is missing.
    codes
        Panel of each cell of the object, shape ``(n_obs,)``.
    """

    observed: list[dict[str, np.ndarray]]
    codes: np.ndarray


class PanelField(BatchField):
    """Column of ``obs`` with the panel of each cell; queries may contain new panels.

    The registry also contains the measured features of each panel, which
    :class:`multiDGD.data.CellManager` adds once it can read the counts.
    """

    MEASURED_KEY = "measured"

    def transfer_field(
        self,
        state_registry: dict,
        adata_target: AnnData,
        extend_categories: bool = False,
        **kwargs: Any,
    ) -> dict:
        """Encode the panels of another object, and append new ones to the categories."""
        return super().transfer_field(state_registry, adata_target, extend_categories=True)


MuDataPanelField: Any = MuDataWrapper(PanelField)


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


class MeasuredFeatures(NamedTuple):
    """Measured features of each panel, with the profiles that decide about further panels.

    Attributes
    ----------
    masks
        Masks of the measured features, shape ``(panels, f)``, by modality.
    profiles
        Profiles, by modality.
    """

    masks: dict[str, np.ndarray]
    profiles: dict[str, Profile]

    @classmethod
    def of(cls, totals: Mapping[str, GroupTotals]) -> Self:
        """Find the measured features of the panels of a reference.

        Parameters
        ----------
        totals
            Sums over the cells of each panel, by modality.
        """
        profiles = {m: total.profile() for m, total in totals.items()}
        return cls({m: ~total.absent(profiles[m]) for m, total in totals.items()}, profiles)

    def extended(self, totals: Mapping[str, GroupTotals]) -> Self:
        """Measured features of the same and further panels, given the counts of a query.

        In a panel of the reference, a feature was measured as well if the query has counts of
        it. In further panels, the counts of the query decide.

        Parameters
        ----------
        totals
            Sums over the cells of each panel of the query, by modality.
        """
        masks = {}
        for modality, known in self.masks.items():
            total = totals[modality]
            further = ~total.absent(self.profiles[modality])[len(known) :]
            masks[modality] = np.concatenate([known, further]) | (total.counts > 0)
        return self._replace(masks=masks)

    def state(self) -> list[list[np.ndarray]]:
        """Plain arrays of each modality, for the registry."""
        return [[mask, *self.profiles[m]] for m, mask in self.masks.items()]

    @classmethod
    def from_state(cls, state: Sequence[Sequence[Any]], modalities: Iterable[str]) -> Self:
        """Build the record from the registry.

        Parameters
        ----------
        state
            Result of :meth:`state`.
        modalities
            Names of the modalities, in order.
        """
        arrays = {m: [np.asarray(x) for x in a] for m, a in zip(modalities, state, strict=True)}
        profiles = {m: Profile(share, found) for m, (_, share, found) in arrays.items()}
        return cls({m: mask.astype(bool) for m, (mask, *_) in arrays.items()}, profiles)

    def panels(self, codes: np.ndarray, observed: Mapping[str, np.ndarray]) -> Panels:
        """Group the cells of an object by their measured features.

        Parameters
        ----------
        codes
            Panel of each cell, shape ``(n_obs,)``.
        observed
            Positions of the features that the object contains, by modality.
        """
        present, inverse = np.unique(codes, return_inverse=True)
        masks = [self.masks[m][present][:, at] for m, at in observed.items()]
        distinct, group = np.unique(np.hstack(masks), axis=0, return_inverse=True)
        ends = np.cumsum([len(at) for at in observed.values()])[:-1]
        found = []
        for row in distinct:
            parts = zip(observed.items(), np.split(row, ends), strict=True)
            found.append({m: at[mask] for (m, at), mask in parts if mask.any()})
        return Panels(found, group.ravel()[inverse.ravel()])


def log_unmeasured(
    measured: MeasuredFeatures, panels: np.ndarray, features: Mapping[str, np.ndarray]
) -> None:
    """Log which features were not measured in which panels.

    Parameters
    ----------
    measured
        Measured features of the panels.
    panels
        Names of the panels.
    features
        Feature names of each modality.
    """
    for modality, masks in measured.masks.items():
        for panel, mask in zip(panels, masks, strict=True):
            if not mask.all():
                logger.info(
                    "%d of the %d features of modality %r were not measured in panel %r: %s.",
                    (~mask).sum(),
                    len(mask),
                    modality,
                    str(panel),
                    listed(features[modality][~mask]),
                )


def warn_of_absent_features(
    totals: Mapping[str, GroupTotals],
    batches: np.ndarray,
    features: Mapping[str, np.ndarray],
    declared: Mapping[str, np.ndarray],
) -> None:
    """Log a warning if batches appear to lack some features, as with antibody panels.

    Parameters
    ----------
    totals
        Sums over the cells of each batch, by modality.
    batches
        Names of the batches.
    features
        Feature names of each modality.
    declared
        Masks of the features that are declared as not measured, shape ``(batches, f)``, by
        modality.
    """
    found = []
    for modality, absent in widely_absent(totals).items():
        for batch, mask in zip(batches, absent & ~declared[modality], strict=True):
            if mask.any():
                names = listed(features[modality][mask])
                found.append(f"{mask.sum()} of modality {modality!r} in {str(batch)!r} ({names})")
    if found:
        logger.warning(
            "Features without any count in a batch, although most cells of other batches contain "
            "them: %s. If they were not measured there, as with different antibody panels, pass "
            "`panel_key` to the setup: the column of `obs` with the panel, often that of the "
            "batch. Otherwise their zeros are modelled as counts.",
            "; ".join(found),
        )


def widely_absent(totals: Mapping[str, GroupTotals]) -> dict[str, np.ndarray]:
    """Masks of the features that batches appear to lack, shape ``(batches, f)``, by modality.

    Parameters
    ----------
    totals
        Sums over the cells of each batch, by modality.
    """
    found = {}
    for modality, total in totals.items():
        profile = total.profile()
        is_wide = profile.detection >= _WIDE_DETECTION
        absent = total.absent(profile) & is_wide
        enough = absent.sum(1) >= _MIN_SHARE_OF_WIDE * is_wide.sum()
        found[modality] = absent & enough[:, None]
    return found
