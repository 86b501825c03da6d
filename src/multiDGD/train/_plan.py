"""The training plan: decoder, mixtures and representations, each with its own learning rate."""

from __future__ import annotations

import math
from collections import defaultdict
from typing import Any

import torch
from scvi.module.base import LossOutput
from scvi.train import TrainingPlan
from torch import Tensor

from multiDGD.module import MultiDGDModule, frozen_gradient

from ._row_adam import RowAdam

# Steps that validation cells take at once, however many epochs ago the last validation was.
_MAX_VALIDATION_STEPS = 100
# Epochs from which on rows learn at the least of their default rates.
_MANY_EPOCHS = 60
_LEAST_ROW_RATE, _MOST_ROW_RATE = 3e-3, 1e-2


class MultiDGDTrainingPlan(TrainingPlan):
    """Fits everything at once by maximum a posteriori.

    Decoder and mixtures are stepped by Adam after every minibatch, the visited cells'
    representations by :class:`RowAdam`. Validation cells learn their representations in the
    validation loop, under a decoder and mixtures that are frozen there.

    Parameters
    ----------
    module
        The module to train.
    lr
        Learning rate of the decoder.
    lr_representation
        Learning rate of the representations. By default 3e-3 for 60 epochs or more, and more for
        fewer, so that rows get as far: 0.18 by their number, at most 1e-2.
    lr_mixture
        Learning rate of the mixture over z.
    lr_covariate_mixture
        Learning rate of the covariates' mixtures.
    lr_likelihood
        Learning rate of the likelihoods' own parameters, such as dispersions.
    betas
        Adam's decay rates, for all of them.
    eps
        Adam's epsilon.
    weight_precision
        Precision of a Gaussian prior around 0 on the decoder's weights, which is counted once for
        the whole data set: it restrains a decoder that few cells would not.
    weight_decay
        L2 penalty on the decoder in every step (as in :class:`torch.optim.Adam`).
    l1
        L1 penalty on the decoder's weights, in nats for each unit of absolute weight and cell.
    schedule
        ``"cosine"``: learning rates rise over the first steps and fall to 0 by a cosine;
        ``"constant"`` as published.
    n_warmup_steps
        Steps over which the learning rates rise, at most a tenth of all.
    hold
        Share of the epochs in which representations stay where they started. A decoder that has
        learned nothing yet would drag them away, and what it learns meanwhile from the covariates
        need not be learned by them.

    Raises
    ------
    ValueError
        If a rate is negative, ``hold`` not a share, or the schedule unknown.
    """

    row_optimizer: RowAdam

    def __init__(
        self,
        module: MultiDGDModule,
        *,
        lr: float = 1e-2,
        lr_representation: float | None = None,
        lr_mixture: float = 1e-3,
        lr_covariate_mixture: float = 1e-3,
        lr_likelihood: float = 1e-1,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_precision: float = 30.0,
        weight_decay: float = 0.0,
        l1: float = 0.0,
        schedule: str = "cosine",
        n_warmup_steps: int = 50,
        hold: float = 0.3,
    ) -> None:
        rates = {
            "lr": lr,
            "lr_representation": 0.0 if lr_representation is None else lr_representation,
            "lr_mixture": lr_mixture,
            "lr_covariate_mixture": lr_covariate_mixture,
            "lr_likelihood": lr_likelihood,
            "weight_precision": weight_precision,
            "weight_decay": weight_decay,
            "l1": l1,
        }
        for argument, value in rates.items():
            if not value >= 0:
                raise ValueError(f"`{argument}` must not be negative, found {value}.")
        if not 0 <= hold < 1:
            raise ValueError(f"`hold` must be a share of the epochs below 1, found {hold}.")
        if schedule not in ("cosine", "constant"):
            raise ValueError(f"`schedule` must be 'cosine' or 'constant', found {schedule!r}.")
        super().__init__(module, lr=lr, eps=eps, weight_decay=weight_decay)
        self.lr_representation = lr_representation
        self.lr_mixture = lr_mixture
        self.lr_covariate_mixture = lr_covariate_mixture
        self.lr_likelihood = lr_likelihood
        self.betas = betas
        self.weight_precision = weight_precision
        self.l1 = l1
        self.schedule = schedule
        self.n_warmup_steps = n_warmup_steps
        self.hold = hold
        self._terms: dict[str, dict[str, list[Tensor]]] = {}
        self._visited: tuple[Tensor, Tensor] | None = None

    def configure_optimizers(self) -> dict[str, Any]:
        """Adam with groups for the decoder's weights and its other parameters, and for mixtures."""
        module = self.module
        decoder = list(module.decoder.parameters())
        decayed = {"lr": self.lr, "weight_decay": self.weight_decay}
        groups = [
            {"params": [p for p in decoder if p.ndim > 1], **decayed, "penalised": True},
            {"params": [p for p in decoder if p.ndim < 2], **decayed},
            {
                "params": list(module.likelihoods.parameters()),
                "lr": self.lr_likelihood,
                "weight_decay": self.weight_decay,
            },
            {"params": list(module.mixture.parameters()), "lr": self.lr_mixture},
            {
                "params": list(module.covariate_mixtures.parameters()),
                "lr": self.lr_covariate_mixture,
            },
        ]
        groups = [group for group in groups if group["params"]]
        optimizer = torch.optim.Adam(groups, betas=self.betas, eps=self.eps, fused=True)
        if self.schedule == "constant":
            return {"optimizer": optimizer}
        n_steps = max(1, int(self.trainer.estimated_stepping_batches))
        n_warmup = min(self.n_warmup_steps, n_steps // 10)

        def factor(step: int) -> float:
            if step < n_warmup:
                return (step + 1) / (n_warmup + 1)
            done = (step - n_warmup) / max(1, n_steps - n_warmup)
            return 0.5 + 0.5 * math.cos(math.pi * min(1.0, done))

        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": scheduler, "interval": "step"},
        }

    @property
    def lr_factor_now(self) -> float:
        """What the schedule multiplies all learning rates with in this step."""
        scheduler = self.lr_schedulers()
        if scheduler is None:
            return 1.0
        step = scheduler.last_epoch
        return scheduler.lr_lambdas[0](step)

    @property
    def is_holding(self) -> bool:
        """Whether representations still stay where they started."""
        if not self.hold:
            return False
        return self.trainer.current_epoch < int(self.hold * (self.trainer.max_epochs or 0))

    def on_fit_start(self) -> None:
        """Begin with the rows, on the device to which the table has gone by now."""
        lr = self.lr_representation
        if lr is None:
            lr = default_row_rate(self.trainer.max_epochs)
        self.row_optimizer = RowAdam(self.module.representations.z, lr, self.betas, self.eps)

    def training_step(self, batch: dict[str, Any], batch_idx: int) -> Tensor:
        """Loss of a minibatch, by decoder, mixtures and the visited rows."""
        cells = batch["cells"]
        leaf = self.row_optimizer.table[cells].requires_grad_()
        output = self.module.objective(batch, leaf, self.n_obs_training or len(cells))
        self._visited = (cells, leaf)
        self._collect(output, "train")
        return output.loss

    @torch.no_grad()
    def on_after_backward(self) -> None:
        """Step the visited rows; see to the penalties on the decoder's weights."""
        if self._visited is None:
            return
        cells, leaf = self._visited
        self._visited = None
        assert leaf.grad is not None
        if not self.is_holding:
            self.row_optimizer.step(cells, leaf.grad, self.lr_factor_now)
        share = len(cells) / (self.n_obs_training or len(cells))
        for group in self.optimizers().param_groups:
            if group.get("penalised"):
                # Adam adds it to the gradient as it goes: no pass over the weights for it alone.
                group["weight_decay"] = self.weight_decay + self.weight_precision * share
                if self.l1:
                    for weight in group["params"]:
                        weight.grad.add_(weight.sign(), alpha=self.l1 * len(cells))

    def validation_step(self, batch: dict[str, Any], batch_idx: int) -> None:
        """Loss of validation cells; their rows take a step for each epoch since the last time."""
        cells = batch["cells"]
        # Labels stay out, so that what is predicted for validation cells is a prediction.
        batch = {**batch, "labels": torch.full_like(batch["labels"], -1)}
        every = self.trainer.check_val_every_n_epoch or 1
        for step in range(min(every, _MAX_VALIDATION_STEPS)):
            output, gradient = frozen_gradient(self.module, batch, self.row_optimizer.table[cells])
            if step == 0:
                self._collect(output, "validation")
            if not self.is_holding:
                self.row_optimizer.step(cells, gradient, self.lr_factor_now)

    def _collect(self, output: LossOutput, mode: str) -> None:
        # Added up when the epoch ends: a device would start a kernel for every addition.
        terms = self._terms.setdefault(mode, defaultdict(list))
        for of_cells in (output.reconstruction_loss, output.kl_local):
            for name, value_n in of_cells.items():
                terms[name].append(value_n.detach())
        terms["reconstruction_loss"].append(output.reconstruction_loss_sum.detach()[None])
        terms["kl_local"].append(output.kl_local_sum.detach()[None])
        terms["kl_global"] = [output.kl_global_sum.detach()[None]]

    def _log_epoch(self, mode: str) -> None:
        terms = self._terms.pop(mode, None)
        if terms is None:
            return
        n_cells = sum(map(len, terms["mixture_loss"]))
        sums = {name: torch.cat(values).sum() for name, values in terms.items()}
        prior = sums.pop("kl_global")
        means = {name: value / n_cells for name, value in sums.items()}
        loss = means["reconstruction_loss"] + means["kl_local"]
        if mode == "train":
            loss = loss + prior / n_cells
            means["kl_global"] = prior
        self.log(f"{mode}_loss", loss, prog_bar=mode == "train")
        self.log_dict({f"{name}_{mode}": value for name, value in means.items()})
        self.log(f"elbo_{mode}", loss)

    def on_train_epoch_end(self) -> None:
        """Log the epoch's means, in nats per cell."""
        self._log_epoch("train")

    def on_validation_epoch_end(self) -> None:
        """Log the validation cells' means, in nats per cell."""
        self._log_epoch("validation")


def default_row_rate(n_epochs: int | None) -> float:
    """Learning rate with which rows get as far in few epochs as in many.

    A step of :class:`RowAdam` is about as long as its rate, and a row takes one in each epoch.

    Parameters
    ----------
    n_epochs
        Number of epochs, negative or `None` if without end.
    """
    if n_epochs is None or n_epochs < 0:
        return _LEAST_ROW_RATE
    return min(_MOST_ROW_RATE, _LEAST_ROW_RATE * max(1.0, _MANY_EPOCHS / max(1, n_epochs)))
