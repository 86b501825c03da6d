"""Likelihoods by their names, and the default likelihood of each modality."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ._base import Likelihood


def get_likelihood(name: str) -> type[Likelihood]:
    """Return the likelihood of a given name.

    Parameters
    ----------
    name
        ``"nb"``, ``"poisson"``, ``"bernoulli"``, ``"protein"``, or the name of your own subclass.

    Raises
    ------
    ValueError
        If no likelihood has this name.
    """
    try:
        return Likelihood._registry[name]
    except KeyError:
        known = ", ".join(sorted(Likelihood._registry))
        raise ValueError(
            f"`likelihoods` contains {name!r}, which is not a likelihood. Choose from: {known}."
        ) from None


def likelihood_names(
    modalities: Sequence[str] | Mapping[str, int], likelihoods: str | Mapping[str, str]
) -> dict[str, str]:
    """Return the name of each modality's likelihood: the given one, or the modality's default.

    Parameters
    ----------
    modalities
        Names of all modalities.
    likelihoods
        Name of the likelihood of some modalities; a single name applies to all.

    Raises
    ------
    ValueError
        If ``likelihoods`` contains an unknown modality.

    Examples
    --------
    >>> from multiDGD.nn import likelihood_names
    >>> likelihood_names(["rna", "atac", "adt"], {"atac": "poisson"})
    {'rna': 'nb', 'atac': 'poisson', 'adt': 'protein'}
    """
    if isinstance(likelihoods, str):
        return dict.fromkeys(modalities, likelihoods)
    unknown = [m for m in likelihoods if m not in modalities]
    if unknown:
        raise ValueError(
            f"`likelihoods` contains {unknown}, which are not modalities. Choose from: "
            f"{list(modalities)}."
        )
    return {m: likelihoods.get(m, _default(m)) for m in modalities}


def _default(modality: str) -> str:
    registered = Likelihood._registry.items()
    return next((name for name, kind in registered if modality.lower() in kind.default_for), "nb")
