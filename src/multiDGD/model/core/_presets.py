"""Sets of arguments with a name."""

from __future__ import annotations

from typing import Any


def published_defaults() -> dict[str, dict[str, Any]]:
    """Arguments that reproduce the published model (Schuster et al., 2024).

    These settings are available for comparison. The benchmark of the defaults shows why other
    settings are the default.

    Returns
    -------
    A dictionary with two entries, created anew for each call:

    - ``"model"``, the arguments of :class:`multiDGD.MultiDGD`;
    - ``"train"``, the arguments of :meth:`multiDGD.MultiDGD.train`.

    Examples
    --------
    >>> from multiDGD import MultiDGD
    >>> preset = MultiDGD.published_defaults()
    >>> model = MultiDGD(mdata, **preset["model"])  # doctest: +SKIP
    >>> model.train(**preset["train"])  # doctest: +SKIP
    """
    return {
        "model": {
            "n_latent": 20,
            "supervised": False,
            "likelihoods": "nb",
            "n_covariate_latent": 2,
            "covariance_type": "diagonal",
            "softball": (2.0, 5.0),
            "sd_mean": None,
            "sd_sd": 1.0,
            "dirichlet_alpha": 1.0,
            "dirichlet_alpha_covariates": 2.0,
            "mixture_weight": 1.0,
            "decoder_kwargs": {"n_units": 100, "n_hidden": 2, "n_hidden_modality": 3},
        },
        "train": {
            "start": "zero",
            "max_epochs": 500,
            "batch_size": 128,
            "early_stopping": True,
            "early_stopping_patience": 10,
            "early_stopping_warmup_epochs": 50,
            "plan_kwargs": {
                "lr": 1e-4,
                "lr_representation": 1e-2,
                "lr_mixture": 1e-2,
                "lr_covariate_mixture": 1e-3,
                "lr_likelihood": 1e-4,
                "betas": (0.5, 0.7),
                "weight_precision": 0.0,
                "weight_decay": 1e-4,
                "schedule": "constant",
                "hold": 0.0,
                "remove_covariates_at": None,
            },
        },
    }
