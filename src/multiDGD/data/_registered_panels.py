"""Panels of a registered object."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from scvi import REGISTRY_KEYS

from ._absent_features import log_unmeasured, warn_of_absent_features, widely_absent
from ._group_totals import GroupTotals, group_totals
from ._panels import PANEL_KEY, MeasuredFeatures, PanelField, Panels

if TYPE_CHECKING:
    from ._manager import CellManager

# Cells of each batch in which features are looked for before all counts are read.
_MAX_CELLS = 1000


def register_panels(manager: CellManager, is_query: bool) -> None:
    """Determine the measured features of each panel, and add them to the registry.

    Parameters
    ----------
    manager
        Manager of an object whose fields have been registered.
    is_query
        Whether the registry was transferred from that of a reference, whose panels stay the same.
    """
    if PANEL_KEY not in manager.data_registry:
        return
    state, features = _state(manager, PANEL_KEY), manager.summary.features
    panels = state[PanelField.CATEGORICAL_MAPPING_KEY]
    totals = _group_totals(manager, PANEL_KEY, len(panels))
    known = _measured_features(manager) if is_query else None
    measured = MeasuredFeatures.of(totals) if known is None else known.extended(totals)
    if not is_query:
        log_unmeasured(measured, panels, features)
    state[PanelField.MEASURED_KEY] = measured.state()


def find_panels(manager: CellManager) -> Panels:
    """Group the cells of an object by their measured features.

    Parameters
    ----------
    manager
        Manager of the object.
    """
    measured, observed = _measured_features(manager), manager.observed
    if measured is None:
        return Panels([observed], np.zeros(manager.adata.n_obs, dtype=np.int64))
    return measured.panels(manager.codes(PANEL_KEY), observed)


def announce_absent_features(manager: CellManager) -> None:
    """Log a warning if batches appear to lack features that are not declared as such.

    Parameters
    ----------
    manager
        Manager of the object.
    """
    key = REGISTRY_KEYS.BATCH_KEY
    if key not in manager.data_registry:
        return
    batches = _state(manager, key)[PanelField.CATEGORICAL_MAPPING_KEY]
    codes, n = manager.codes(key), len(batches)
    groups = [np.flatnonzero(codes == k) for k in range(n)]
    sample = np.sort(np.concatenate([g[:: -(-len(g) // _MAX_CELLS)] for g in groups]))
    totals = _group_totals(manager, key, n, sample)
    # All counts are read only if some cells of each batch suggest that features are absent.
    if len(sample) < len(codes) and any(x.any() for x in widely_absent(totals).values()):
        totals = _group_totals(manager, key, n)
    features = manager.summary.features
    declared = {m: np.ones((n, len(names)), dtype=bool) for m, names in features.items()}
    panels = manager.panels
    for batch, panel in np.unique(np.stack([codes, panels.codes]), axis=1).T:
        for modality, at in panels.observed[panel].items():
            declared[modality][batch, at] = False
    warn_of_absent_features(totals, batches, features, declared)


def exposures_of(
    manager: CellManager, modalities: Sequence[str], is_present: np.ndarray
) -> dict[str, np.ndarray]:
    """Library sizes of all cells in the modalities with one feature, shape ``(n_obs,)`` each.

    A single count is no share of a total. Its library size is 1 in measured cells, even if the
    count is 0, and 0 in others.

    Parameters
    ----------
    manager
        Manager of the object.
    modalities
        Names of modalities.
    is_present
        Mask of the cells with a row in the modalities' matrix.
    """
    single = [m for m in modalities if manager.summary.n_features[m] == 1]
    if not single:
        return {}
    panels = manager.panels
    found = {}
    for m in single:
        measured = np.array([m in observed for observed in panels.observed])[panels.codes]
        found[m] = (measured & is_present).astype(np.float32)
    return found


def _measured_features(manager: CellManager) -> MeasuredFeatures | None:
    """Measured features of each registered panel; None without panels."""
    if PANEL_KEY not in manager.data_registry:
        return None
    state = _state(manager, PANEL_KEY).get(PanelField.MEASURED_KEY)
    return state and MeasuredFeatures.from_state(state, manager.summary.features)


def _group_totals(
    manager: CellManager, key: str, n_groups: int, cells: np.ndarray | None = None
) -> dict[str, GroupTotals]:
    """Sums over some cells of each category registered under a key, by modality."""
    n_features = manager.summary.n_features
    return group_totals(manager.batches(cells), n_features, manager.codes(key), n_groups)


def _state(manager: CellManager, key: str) -> dict:
    """Part of the registry that belongs to one field."""
    return manager.registry["field_registries"][key]["state_registry"]
