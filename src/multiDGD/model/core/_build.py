"""Module of a model, and the text that describes both."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from multiDGD._names import nearest
from multiDGD.data import DataSummary, logger
from multiDGD.latent import GaussianMixtureSupervised
from multiDGD.module import MultiDGDModule, add_categories


def build_module(
    summary: DataSummary,
    n_cells: int,
    *,
    supervised: bool,
    decoder_kwargs: Mapping[str, Any] | None,
    **settings: Any,
) -> MultiDGDModule:
    """Build the module of a model for registered data.

    Parameters
    ----------
    summary
        Names of the registered features, labels and covariates.
    n_cells
        Number of representations.
    supervised
        Whether labels supervise the mixture.
    decoder_kwargs
        As for :class:`multiDGD.MultiDGD`.
    **settings
        Further arguments of :class:`multiDGD.module.MultiDGDModule`.
    """
    sizes = ("n_units", "n_hidden", "n_hidden_modality")
    for name in decoder_kwargs or {}:
        if name not in sizes:
            raise TypeError(
                f"`decoder_kwargs` has no item {name!r}. Nearest: {nearest(name, sizes)}."
            )
    covariates = summary.covariates.items()
    module = MultiDGDModule(
        n_cells,
        summary.n_features,
        n_labels=len(summary.labels) if supervised else 0,
        covariates={name: len(found) - summary.n_added[name] for name, found in covariates},
        n_continuous=len(summary.continuous),
        decoder_kwargs={"n_hidden": 1, "n_hidden_modality": 1, **(decoder_kwargs or {})},
        **settings,
    )
    if supervised and len(summary.labels) == 1:
        logger.warning(
            "All labels are %r: a single label does not supervise the mixture.", summary.labels[0]
        )
    for name in summary.covariates:
        if name not in module.covariates:
            logger.info("Covariate %r has one category and is not modelled.", name)
    # A covariate with one category in the reference stays unmodelled in its queries.
    add_categories(module, summary.n_added)
    # The default type of torch may be float64, which no other part of the package supports.
    return module.float()


def describe_model(summary: DataSummary, module: MultiDGDModule) -> str:
    """Features, sizes and covariates of a model in one line.

    Parameters
    ----------
    summary
        Names of the registered features, labels and covariates.
    module
        Module of the model.
    """
    features = ", ".join(
        f"{modality} {n} ({module.likelihood(modality).name})"
        for modality, n in summary.n_features.items()
    )
    is_supervised = isinstance(module.mixture, GaussianMixtureSupervised)
    kind = "supervised" if is_supervised else "unsupervised"
    return (
        f"MultiDGD with: features {features}; n_latent {module.n_latent}; "
        f"{module.mixture.n_mix_comp} components, {kind}; "
        f"covariates {module.covariates + list(summary.continuous)}"
    )
