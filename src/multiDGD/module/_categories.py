"""Categories of covariates: their mean representations, and components for more of them."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

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


def category_means(module: MultiDGDModule, codes: Tensor) -> Tensor:
    """Means of the given categories in every covariate's mixture, joined.

    Parameters
    ----------
    module
        The module.
    codes
        Category of each registered covariate, -1 for unknown (the average of all), shape
        ``(n, covariates)``.

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
