"""Terms of the loss, and the names under which their means are logged."""

from __future__ import annotations

from collections.abc import Mapping

from scvi.module.base import LossOutput
from torch import Tensor

from multiDGD.module import MultiDGDModule

#: Term that belongs to the model and not to its cells.
PRIOR = "kl_global"
_SPLITS = ("train", "validation")


def terms_of(output: LossOutput) -> dict[str, Tensor]:
    """Terms of a loss by name, shape ``(n,)`` for those of each cell, otherwise ``(1,)``.

    Parameters
    ----------
    output
        Loss of a minibatch of n cells.
    """
    of_cells = {**output.reconstruction_loss, **output.kl_local}
    sums = {
        "reconstruction_loss": output.reconstruction_loss_sum,
        "kl_local": output.kl_local_sum,
        "kl_global": output.kl_global_sum,
    }
    return {
        **{name: value_n.detach() for name, value_n in of_cells.items()},
        **{name: value.detach()[None] for name, value in sums.items()},
    }


def mean_terms(sums: Mapping[str, Tensor], prior: Tensor, split: str) -> dict[str, Tensor]:
    """Means over cells, in nats per cell, with the names of the history.

    Parameters
    ----------
    sums
        Sums of the terms over cells, and ``n_cells``.
    prior
        Negative log-prior of the mixtures, a part of the loss of the training cells only.
    split
        ``"train"`` or ``"validation"``.
    """
    means = {name: value / sums["n_cells"] for name, value in sums.items() if name != "n_cells"}
    means["representation_loss"] = means.pop("kl_local")
    loss = means["reconstruction_loss"] + means["representation_loss"]
    if split == "train":
        loss = loss + prior / sums["n_cells"]
        means["prior_loss"] = prior
    return {f"{split}_loss": loss, **{f"{name}_{split}": value for name, value in means.items()}}


def monitored_names(module: MultiDGDModule) -> list[str]:
    """Names of the quantities that callbacks of a training can monitor, without count splitting.

    The history contains all of these but ``elbo_train`` and ``elbo_validation``, which are the names
    of the losses in scvi-tools.

    Parameters
    ----------
    module
        The module to train.
    """
    terms = [
        "reconstruction_loss",
        "representation_loss",
        "mixture_loss",
        *(f"reconstruction_loss_{modality}" for modality in module.modalities),
        *(f"covariate_{name}_loss" for name in module.covariates),
    ]
    named = [f"{term}_{split}" for term in ("elbo", *terms) for split in _SPLITS]
    return [*(f"{split}_loss" for split in _SPLITS), "prior_loss_train", *named]
