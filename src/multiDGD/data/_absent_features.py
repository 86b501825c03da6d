"""Messages about features that were not measured in some batches or panels."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from multiDGD._log import logger

from ._checks import listed
from ._group_totals import GroupTotals
from ._panels import MeasuredFeatures

# A gene of one sex or one cell type can be absent from a batch in which it was measured. Antibodies
# of a panel are found in most cells, and few panels differ by less than one in 200.
_WIDE_DETECTION = 0.5
_MIN_SHARE_OF_WIDE = 1 / 200


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
