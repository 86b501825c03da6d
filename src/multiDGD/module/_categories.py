"""Room for categories of covariates that a module was not trained with."""

from __future__ import annotations

from collections.abc import Mapping

from ._module import MultiDGDModule


def add_categories(module: MultiDGDModule, n_new: Mapping[str, int]) -> None:
    """Give the mixtures of covariates components for more categories.

    Parameters
    ----------
    module
        The module, changed in place.
    n_new
        Number of categories to add to each covariate. One that is not modelled is passed over.
    """
    for name, mixture in zip(module.covariates, module.mixtures_of_covariates, strict=True):
        if n_new.get(name, 0):
            mixture.add_classes(n_new[name])
