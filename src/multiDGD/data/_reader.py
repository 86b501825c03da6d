"""What the model requires of a source of counts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import numpy as np

from multiDGD.nn import Counts


class CountReader(Protocol):
    """Source of the counts of registered cells, in memory or elsewhere.

    :class:`multiDGD.data.ModalityReader` reads any matrix of an AnnData. Another source needs only
    these members.
    """

    @property
    def features(self) -> Mapping[str, np.ndarray]:
        """Feature names of each modality that the source contains, by name."""
        ...

    @property
    def is_loaded(self) -> bool:
        """Whether reading cells in random order is as fast as in ascending order."""
        ...

    def fetch(self, cells: np.ndarray) -> dict[str, Counts]:
        """Read the counts of some cells, by modality.

        Parameters
        ----------
        cells
            Positions of the cells in the registered object, in any order, shape ``(n,)``.

        Returns
        -------
        Non-zeros of each modality, by name. Row i is cell ``cells[i]`` in all of them; it is empty
        if the modality was not measured in the cell.
        """
        ...
