"""Text summary of a saved model."""

from __future__ import annotations

from multiDGD import MultiDGD


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
    version = model.registry_["scvi_version"]
    rows = [
        ("model", f"{type(model).__name__}, saved with scvi-tools {version}"),
        *model._description(),
    ]
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"{name:<{width}}  {text}" for name, text in rows)
