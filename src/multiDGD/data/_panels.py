"""Panels: groups of cells in which the same features were measured."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Self

import numpy as np
from anndata import AnnData
from scvi.data.fields import MuDataWrapper

from ._group_totals import GroupTotals, Profile
from ._obs_fields import BatchField

PANEL_KEY = "panel"


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
