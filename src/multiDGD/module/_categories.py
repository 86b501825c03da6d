"""Mean representations of covariate categories, and components for new categories."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from ._module import MultiDGDModule


def add_categories(module: MultiDGDModule, n_new: Mapping[str, int]) -> None:
    """Add components for new categories to the mixtures of covariates.

    Parameters
    ----------
    module
        The module, changed in place.
    n_new
        Number of new categories of each covariate, by name. Covariates that are not modelled are
        ignored.
    """
    for name, mixture in zip(module.covariates, module.mixtures_of_covariates, strict=True):
        if n_new.get(name, 0):
            mixture.add_classes(n_new[name])


def category_means(module: MultiDGDModule, codes: Tensor) -> Tensor:
    """Concatenated means of the given categories in the mixtures of all covariates.

    Parameters
    ----------
    module
        The module.
    codes
        Category of each registered covariate, shape ``(n, covariates)``. A code of -1 means an
        unknown category, whose mean is the average over all categories.

    Returns
    -------
    Shape ``(n, n_representation - n_latent)``.
    """
    parts = [module.mixture.mean.new_zeros(len(codes), 0)]
    columns = module.covariate_columns
    for column, mixture in zip(columns, module.mixtures_of_covariates, strict=True):
        code = codes[:, column]
        known = mixture.mean[code.clamp(min=0)]
        average = mixture.mean.mean(0, keepdim=True).expand_as(known)
        parts.append(torch.where(code[:, None] >= 0, known, average))
    return torch.cat(parts, dim=1).detach()
