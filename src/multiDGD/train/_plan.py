"""The training plan, with separate learning rates for decoder, mixtures and representations."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from scvi.module.base import LossOutput
from scvi.train import TrainingPlan
from torch import Tensor

from multiDGD.init import remove_covariates
from multiDGD.module import FeaturePanels, MultiDGDModule, frozen_gradient

from ._count_split import CountSplitValidation
from ._divergence import check_losses, check_parameters
from ._history import plain_history, restore_history
from ._row_adam import RowAdam

# Maximum number of steps of validation cells per validation, however many epochs apart.
_MAX_VALIDATION_STEPS = 100


class MultiDGDTrainingPlan(TrainingPlan):
    """Fit all parameters jointly by maximum a posteriori.

    After every minibatch, Adam updates the decoder and mixtures, and :class:`RowAdam` the
    representations of its cells. The representations of validation cells are learned in the
    validation loop, with the decoder and mixtures frozen.

    Parameters
    ----------
    module
        The module to train.
    lr
        Learning rate of the decoder.
    lr_representation
        Learning rate of the representations.
    lr_mixture
        Learning rate of the mixture over z.
    lr_covariate_mixture
        Learning rate of the covariates' mixtures.
    lr_likelihood
        Learning rate of the parameters of the likelihoods, such as dispersions.
    betas
        Decay rates of Adam, for all parameters.
    eps
        Epsilon of Adam.
    weight_precision
        Precision of a Gaussian prior around 0 on the decoder's weights. The prior is counted once
        for the whole data set, so that it regularises more if there are fewer cells.
    weight_decay
        L2 penalty on the decoder in every step, as in :class:`torch.optim.Adam`.
    l1
        L1 penalty on the decoder's weights, in nats per unit of absolute weight and cell.
    schedule
        ``"cosine"``: learning rates rise over the first steps and then fall to 0 along a cosine;
        ``"constant"``: constant learning rates, as published.
    n_warmup_steps
        Steps over which the learning rates rise, at most a tenth of all steps.
    hold
        Share of the epochs, at the beginning, in which representations keep their initial values.
        An untrained decoder would otherwise pull them away from the initialisation. Meanwhile the
        decoder learns effects of the covariates, which the representations then need not explain.
    remove_covariates_at
        Share of the epochs after which :func:`multiDGD.init.remove_covariates` is applied once
        more, now to the representations, but not before the end of ``hold``. `None`: never.
        Training draws batches apart in the representations if their effect differs between cell
        types.
    split_validation_counts
        Whether to log ``count_split_validation`` after each validation: the mean over modalities of
        ``count_split_<modality>_validation``, the scores of :class:`CountSplitValidation`.

    Raises
    ------
    ValueError
        If a rate or penalty is negative, ``hold`` is not in [0, 1), or ``schedule`` is unknown.
    """

    row_optimizer: RowAdam
    #: Set by :meth:`multiDGD.MultiDGD.train` if ``split_validation_counts``.
    count_split: CountSplitValidation | None = None
    #: Identifier of the registered cells, which checkpoints contain.
    cells_id: str = ""
    #: State of a former training, from its checkpoint.
    _resumed: dict[str, Any] | None = None
    #: Measured features of the training cells; `None` if all cells measured all features.
    panels: FeaturePanels | None = None

    def __init__(
        self,
        module: MultiDGDModule,
        *,
        lr: float = 1e-2,
        lr_representation: float = 1e-2,
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
        remove_covariates_at: float | None = 0.5,
        split_validation_counts: bool = False,
    ) -> None:
        rates = {
            "lr": lr,
            "lr_representation": lr_representation,
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
            raise ValueError(f"`hold` must be a share of the epochs in [0, 1), found {hold}.")
        if remove_covariates_at is not None and not 0 <= remove_covariates_at < 1:
            raise ValueError(
                "`remove_covariates_at` must be None or a share of the epochs in [0, 1), found "
                f"{remove_covariates_at}."
            )
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
        self.remove_covariates_at = remove_covariates_at
        self.split_validation_counts = split_validation_counts
        self._terms: dict[str, dict[str, list[Tensor]]] = {}
        self._logged: dict[str, Tensor] = {}
        self._visited: tuple[Tensor, Tensor] | None = None

    def configure_optimizers(self) -> dict[str, Any]:
        """Adam with parameter groups for the decoder, the likelihoods and the mixtures."""
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
            progress = (step - n_warmup) / max(1, n_steps - n_warmup)
            return 0.5 + 0.5 * math.cos(math.pi * min(1.0, progress))

        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": scheduler, "interval": "step"},
        }

    @property
    def lr_factor_now(self) -> float:
        """Factor of the schedule on all learning rates in the current step."""
        scheduler = self.lr_schedulers()
        if scheduler is None:
            return 1.0
        step = scheduler.last_epoch
        return scheduler.lr_lambdas[0](step)

    @property
    def is_holding(self) -> bool:
        """Whether representations still keep their initial values."""
        if not self.hold:
            return False
        return self.trainer.current_epoch < int(self.hold * (self.trainer.max_epochs or 0))

    def on_fit_start(self) -> None:
        """Create the optimiser of the representations, which are on the training device by now."""
        self.row_optimizer = RowAdam(
            self.module.representations.z, self.lr_representation, self.betas, self.eps
        )
        if self._resumed is not None:
            self.row_optimizer.load_state_dict(self._resumed["representations"])
            restore_history(self.trainer.logger, self._resumed["history"])

    @torch.no_grad()
    def on_train_epoch_start(self) -> None:
        """Remove covariates from the representations at the given share of the epochs."""
        if self.remove_covariates_at is None:
            return
        share = max(self.hold, self.remove_covariates_at)
        # Not before the first epoch, because the initialisation removes covariates itself.
        if self.trainer.current_epoch != max(1, int(share * (self.trainer.max_epochs or 0))):
            return
        splitter = self.trainer.datamodule
        covariates = splitter.adata_manager.create_torch_dataset().covariates
        if not covariates.shape[1]:
            return
        table, n_latent = self.row_optimizer.table, self.module.n_latent
        z_nl = table[:, :n_latent].cpu().double().numpy()
        fit = np.zeros(len(z_nl), dtype=bool)
        fit[splitter.train_idx] = True
        centre = z_nl[fit].mean(0)
        removed = remove_covariates(z_nl - centre, list(covariates.T), fit, seed=splitter.seed)
        table[:, :n_latent] = torch.from_numpy(removed + centre).to(table)

    @property
    def _objective(self) -> Callable[..., LossOutput]:
        """Objective of a minibatch, given representations."""
        return self.module.objective if self.panels is None else self.panels.objective

    def training_step(self, batch: dict[str, Any], batch_idx: int) -> Tensor:
        """Compute the loss of a minibatch."""
        cells = batch["cells"]
        leaf = self.row_optimizer.table[cells].requires_grad_()
        output = self._objective(batch, leaf, self.n_obs_training or len(cells))
        self._visited = (cells, leaf)
        self._collect(output, "train")
        return output.loss

    @torch.no_grad()
    def on_after_backward(self) -> None:
        """Update the minibatch's representations and apply penalties to the decoder's weights."""
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
                # As Adam's weight decay, the prior requires no separate pass over the weights.
                group["weight_decay"] = self.weight_decay + self.weight_precision * share
                if self.l1:
                    for weight in group["params"]:
                        weight.grad.add_(weight.sign(), alpha=self.l1 * len(cells))

    def validation_step(self, batch: dict[str, Any], batch_idx: int) -> None:
        """Update validation cells by one step for each epoch since the last validation."""
        cells = batch["cells"]
        # Without labels, so that labels predicted for validation cells do not depend on them.
        batch = {**batch, "labels": torch.full_like(batch["labels"], -1)}
        n_epochs = self.trainer.check_val_every_n_epoch or 1
        for step in range(min(n_epochs, _MAX_VALIDATION_STEPS)):
            output, gradient = frozen_gradient(
                self.module, batch, self.row_optimizer.table[cells], self._objective
            )
            if step == 0:
                self._collect(output, "validation")
            if not self.is_holding:
                self.row_optimizer.step(cells, gradient, self.lr_factor_now)

    def _collect(self, output: LossOutput, mode: str) -> None:
        # Summed at the end of the epoch, because each addition launches a kernel on a GPU.
        terms = self._terms.setdefault(mode, defaultdict(list))
        for losses in (output.reconstruction_loss, output.kl_local):
            for name, value_n in losses.items():
                terms[name].append(value_n.detach())
        terms["reconstruction_loss"].append(output.reconstruction_loss_sum.detach()[None])
        terms["kl_local"].append(output.kl_local_sum.detach()[None])
        terms["kl_global"] = [output.kl_global_sum.detach()[None]]

    @property
    def _rates(self) -> dict[str, float]:
        return {
            "lr": self.lr,
            "lr_representation": self.row_optimizer.lr,
            "lr_likelihood": self.lr_likelihood,
            "lr_mixture": self.lr_mixture,
        }

    def _epoch_means(self, mode: str) -> dict[str, Tensor]:
        """Means over the cells of the epoch so far, in nats per cell; empty without cells."""
        terms = self._terms.get(mode)
        if not terms:
            return {}
        n_cells = sum(map(len, terms["mixture_loss"]))
        sums = {name: torch.cat(values).sum() for name, values in terms.items()}
        prior = sums.pop("kl_global")
        means = {name: value / n_cells for name, value in sums.items()}
        means["representation_loss"] = means.pop("kl_local")
        loss = means["reconstruction_loss"] + means["representation_loss"]
        if mode == "train":
            loss = loss + prior / n_cells
            means["prior_loss"] = prior
        named = {f"{name}_{mode}": value for name, value in means.items()}
        return {f"{mode}_loss": loss, **named}

    def _log_epoch(self, mode: str) -> None:
        check_losses(self._terms.get(mode, {}), self.trainer.current_epoch, self._rates)
        self._logged = self._epoch_means(mode)
        for name, value in self._logged.items():
            self.log(name, value, prog_bar=name == "train_loss")
        self._terms.pop(mode, None)

    def on_train_epoch_end(self) -> None:
        """Log the means over the training cells, in nats per cell.

        Raises
        ------
        RuntimeError
            If a loss or a parameter is not finite.
        """
        self._log_epoch("train")
        check_parameters(self.module, self.trainer.current_epoch, self._rates)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the optimiser of the representations, and the history up to this epoch."""
        super().on_save_checkpoint(checkpoint)
        history = plain_history(self.trainer.logger)
        # Lightning passes the means of an epoch to the logger after it has saved checkpoints.
        for name, value in self._logged.items():
            index, index_name, values = history.get(name, ([], "epoch", []))
            if self.current_epoch not in index:
                history[name] = ([*index, self.current_epoch], index_name, [*values, value.item()])
        checkpoint["multiDGD"] = {
            "cells_id": self.cells_id,
            "is_epoch_end": not self._terms.get("train"),
            "history": history,
            "representations": self.row_optimizer.state_dict(),
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Continue from the state of a checkpoint."""
        super().on_load_checkpoint(checkpoint)
        self._resumed = checkpoint["multiDGD"]

    def on_validation_epoch_end(self) -> None:
        """Log the means over the validation cells, in nats per cell."""
        self._log_epoch("validation")
        if self.count_split is not None:
            self.log_dict(self.count_split(self.module))
