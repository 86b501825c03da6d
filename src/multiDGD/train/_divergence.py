"""Detection of a training that diverges."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

_MODALITY_TERM = "reconstruction_loss_"
_REMEDY = (
    "Lower the learning rates in `plan_kwargs` ({rates}), or remove cells and features with extreme "
    "counts. The model keeps its state from before this training."
)


def check_losses(
    terms: Mapping[str, Sequence[Tensor]], epoch: int, rates: Mapping[str, float]
) -> None:
    """Raise if a loss of an epoch is not finite.

    Parameters
    ----------
    terms
        Losses of the cells of each minibatch, by term.
    epoch
        Number of the epoch, from 0.
    rates
        Learning rates, by name of the argument.

    Raises
    ------
    RuntimeError
        The message names the first term that is not finite, its modality and the epoch.
    """
    totals = {name: torch.stack([x.sum() for x in parts]) for name, parts in terms.items()}
    if not totals or torch.stack([x.sum() for x in totals.values()]).isfinite().all():
        return
    first = {name: _first_nonfinite(total) for name, total in totals.items()}
    name = min(first, key=lambda term: first[term])
    value = totals[name][first[name]].item()
    raise RuntimeError(
        f"The training diverged in epoch {epoch}: {_described(name)} is {value} in minibatch "
        f"{first[name]}. {_remedy(rates)}"
    )


def check_parameters(module: nn.Module, epoch: int, rates: Mapping[str, float]) -> None:
    """Raise if a parameter is not finite.

    Parameters
    ----------
    module
        The module.
    epoch, rates
        As for :func:`check_losses`.

    Raises
    ------
    RuntimeError
        The message names the parameter and the epoch.
    """
    parameters = dict(module.named_parameters())
    if torch.stack([p.detach().sum() for p in parameters.values()]).isfinite().all():
        return
    for name, parameter in parameters.items():
        n = int((~parameter.isfinite()).sum())
        if n:
            raise RuntimeError(
                f"The training diverged in epoch {epoch}: {n} values of the parameter `{name}` are "
                f"not finite. {_remedy(rates)}"
            )


def _first_nonfinite(total: Tensor) -> int:
    at = (~total.isfinite()).nonzero()
    return int(at[0]) if len(at) else len(total)


def _described(term: str) -> str:
    if term.startswith(_MODALITY_TERM):
        return f"`{term}`, the loss of modality {term.removeprefix(_MODALITY_TERM)!r},"
    return f"`{term}`"


def _remedy(rates: Mapping[str, float]) -> str:
    return _REMEDY.format(rates=", ".join(f"`{name}` {rate:g}" for name, rate in rates.items()))
