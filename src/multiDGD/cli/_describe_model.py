"""Text summary of a saved model."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from multiDGD import MultiDGD
from multiDGD.latent import GaussianMixtureSupervised

from ._training import count_epochs

_MAX_NAMES = 3


def describe_model(model: MultiDGD) -> str:
    """Describe the training data and the parts of a model.

    Parameters
    ----------
    model
        A trained model; it may be loaded without data.

    Returns
    -------
    str
        One line per property, its name first.

    Examples
    --------
    >>> print(describe_model(model))  # doctest: +SKIP
    model           MultiDGD, saved with scvi-tools 1.4.2
    ...
    """
    summary, module = model.summary, model.module
    setup = model.registry_["setup_args"]
    mixture = module.mixture
    is_supervised = isinstance(mixture, GaussianMixtureSupervised)
    rows = [
        (
            "model",
            f"{type(model).__name__}, saved with scvi-tools {model.registry_['scvi_version']}",
        ),
        ("cells", _cells(model)),
        # Models of the first implementation have no history.
        ("epochs", f"{count_epochs(model) or 'unknown'}"),
        ("representation", f"{module.n_latent} dimensions"),
        (
            "mixture",
            f"{mixture.n_mix_comp} components, "
            + ("supervised by labels" if is_supervised else "unsupervised"),
        ),
    ]
    layers = setup.get("layers") or {}
    for modality, names in summary.features.items():
        layer = setup.get("layer") or layers.get(modality)
        rows.append(
            (
                f"modality {modality}",
                f"{len(names):,} features ({_first(names)}), likelihood "
                f"{module.likelihood(modality).name}, counts in "
                + ("X" if layer is None else f"layer {layer}"),
            )
        )
    if len(summary.labels):
        rows.append((f"labels {setup['labels_key']}", _categories(summary.labels)))
    for key, categories in summary.covariates.items():
        kind = "batch" if key == model.batch_key else "covariate"
        rows.append((f"{kind} {key}", _categories(categories)))
    rows += [(f"covariate {key}", "continuous") for key in summary.continuous]
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"{name:<{width}}  {text}" for name, text in rows)


def _cells(model: MultiDGD) -> str:
    parts = {
        "training": model.train_indices_,
        "validation": model.validation_indices_,
        "test": model.test_indices_,
    }
    split = ", ".join(f"{len(cells):,} {name}" for name, cells in parts.items() if len(cells))
    return f"{len(model.cell_names_):,} ({split})"


def _categories(names: np.ndarray) -> str:
    return f"{len(names):,} {'category' if len(names) == 1 else 'categories'} ({_first(names)})"


def _first(names: Sequence[object] | np.ndarray) -> str:
    shown = ", ".join(map(str, names[:_MAX_NAMES]))
    return shown + (", ..." if len(names) > _MAX_NAMES else "")
