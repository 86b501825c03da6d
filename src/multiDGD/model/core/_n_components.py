"""Number of mixture components of a model."""

from __future__ import annotations

from typing import Literal, TypeAlias, get_args

import numpy as np
from scvi import settings

from multiDGD._checks import choice, positive_int
from multiDGD.data import CellManager, logger
from multiDGD.init import choose_n_components

from ._initialisation import compute_spectral_embedding

Auto: TypeAlias = Literal["auto"]
# The mixture is fitted to at most 2,000 of them.
_MAX_CELLS = 10_000


def resolve_n_components(
    n_components: int | Auto | None,
    n_components_per_class: int,
    n_labels: int,
    *,
    supervised: bool,
    n_latent: int,
    manager: CellManager | None,
) -> tuple[int, int]:
    """Check the given numbers of components, or choose them.

    Parameters
    ----------
    n_components, n_components_per_class, n_latent
        As for :class:`multiDGD.MultiDGD`.
    n_labels
        Number of registered labels.
    supervised
        Whether labels supervise the mixture.
    manager
        Manager of the registered cells; `None` in a model without data.

    Returns
    -------
    Number of components, in total and of each class.

    Raises
    ------
    ValueError
        If a number is invalid or does not fit the labels.
    """
    positive_int("n_latent", n_latent)
    positive_int("n_components_per_class", n_components_per_class)
    if isinstance(n_components, str):
        choice("n_components", n_components, get_args(Auto), " or a number")
    if n_components is None and n_labels:
        n_components = n_labels * n_components_per_class
    elif n_components is None or n_components == "auto":
        if supervised:
            raise ValueError(
                "`n_components='auto'` requires an unsupervised mixture: use "
                "`n_components_per_class`, or `supervised=False`."
            )
        # Models loaded without data never need an estimate: `init_params_` contains the number.
        if manager is None:
            raise ValueError("`n_components` must be a number without `adata`, found 'auto'.")
        n_components = estimate_n_components(manager, n_latent)
    positive_int("n_components", n_components)
    if supervised and n_components < n_labels:
        raise ValueError(
            f"`n_components` is {n_components}, below the {n_labels} labels. Use at least "
            f"{n_labels}, or omit `labels_key` in the setup."
        )
    if supervised and n_components % n_labels:
        raise ValueError(
            f"`n_components` is {n_components}, not a multiple of the {n_labels} labels, as "
            "required in a supervised mixture. Use `n_components_per_class`."
        )
    if manager is not None and n_components > manager.adata.n_obs:
        logger.warning(
            "`n_components` is %d for %d cells: most components remain empty.",
            n_components,
            manager.adata.n_obs,
        )
    return n_components, n_components // n_labels if supervised else n_components_per_class


def estimate_n_components(manager: CellManager, n_latent: int) -> int:
    """Estimate the number of components from the spectral embedding.

    Applies :func:`multiDGD.init.choose_n_components` to the embedding that initialises training,
    computed for at most 10,000 cells.

    Parameters
    ----------
    manager
        Manager of the registered cells.
    n_latent
        Dimensions of the representation.
    """
    # Another model of the same object may have registered other codes in the meantime.
    manager.validate()
    seed = settings.seed or 0
    n_cells = manager.adata.n_obs
    cells = None
    if n_cells > _MAX_CELLS:
        rng = np.random.default_rng(seed)
        cells = np.sort(rng.choice(n_cells, _MAX_CELLS, replace=False))
    counts = {m: manager.matrix(m, cells) for m in manager.summary.features}
    embedding = compute_spectral_embedding(manager, counts, n_latent, cells=cells)
    return choose_n_components(embedding, seed=seed)
