"""Number of mixture components of a model."""

from __future__ import annotations

from typing import Literal

import numpy as np
from scvi import settings

from multiDGD._checks import positive_int
from multiDGD.data import CellManager
from multiDGD.init import choose_n_components

from ._initialisation import embed_cells


def resolve_n_components(
    n_components: int | Literal["auto"] | None,
    n_components_per_class: int,
    n_labels: int,
    *,
    supervised: bool,
    n_latent: int,
    n_cells: int,
    manager: CellManager | None,
) -> int:
    """Check the number of components that the user gave, or choose one.

    Parameters
    ----------
    n_components, n_components_per_class, n_latent
        As for :class:`multiDGD.MultiDGD`.
    n_labels
        Number of registered labels.
    supervised
        Whether they supervise the mixture.
    n_cells
        Number of cells.
    manager
        Manager of the registered cells; `None` in a model without data.

    Raises
    ------
    ValueError
        If the number is invalid or does not fit the labels.
    """
    positive_int("n_latent", n_latent)
    positive_int("n_components_per_class", n_components_per_class)
    if n_components == "auto":
        if supervised:
            raise ValueError(
                "`n_components='auto'` is for mixtures without labels: use "
                "`n_components_per_class`, or `supervised=False`."
            )
        if manager is None:
            raise ValueError("`n_components='auto'` needs `adata`.")
        n_components = count_components(manager, n_latent)
    elif n_components is None:
        # A model that is loaded without data takes the number that is in `init_params_`.
        n_components = default_n_components(n_cells, n_labels, n_components_per_class)
    positive_int("n_components", n_components)
    if supervised and n_components < n_labels:
        raise ValueError(
            f"`n_components` is {n_components}, below the {n_labels} labels. Give at least as "
            "many, or leave `labels_key` out of the setup."
        )
    if supervised and n_components % n_labels:
        raise ValueError(
            f"`n_components` is {n_components}, not a multiple of the {n_labels} labels, "
            "as a supervised mixture needs. Use `n_components_per_class`."
        )
    return n_components


def default_n_components(n_cells: int, n_labels: int, n_components_per_class: int) -> int:
    """Number of components without a value from the user.

    Parameters
    ----------
    n_cells
        Number of cells.
    n_labels
        Number of labels, 0 without labels.
    n_components_per_class
        Components of each label.
    """
    if n_labels:
        return n_labels * n_components_per_class
    return int(np.clip(n_cells // 25, 2, 30))


def count_components(manager: CellManager, n_latent: int) -> int:
    """Estimate the number of components from the spectral embedding.

    Uses :func:`multiDGD.init.choose_n_components` on the embedding that initialises training.

    Parameters
    ----------
    manager
        Manager of the registered cells.
    n_latent
        Dimensions of the representation.
    """
    # Another model of the same object may have registered other codes since.
    manager.validate()
    counts = {m: manager.matrix(m) for m in manager.summary.features}
    embedding = embed_cells(manager, counts, n_latent)
    return choose_n_components(embedding, seed=settings.seed or 0)
