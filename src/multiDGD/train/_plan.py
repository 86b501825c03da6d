"""The training plan, with separate learning rates for decoder, mixtures and representations."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable
from typing import Any, Literal, TypeAlias, get_args

import torch
from scvi.module.base import LossOutput
from scvi.train import TrainingPlan
from torch import Tensor

from multiDGD._checks import choice
from multiDGD.module import FeaturePanels, MultiDGDModule, frozen_gradient

from ._collectives import check_together, compute_once, gather_rows, sum_by_name
from ._count_split import CountSplitValidation
from ._covariate_removal import remove_from_table
from ._divergence import check_losses, check_parameters
from ._history import plain_history, restore_history
from ._loss_terms import PRIOR, mean_terms, terms_of
from ._pinned_strategy import PinnedStrategy
from ._row_adam import RowAdam

Schedule: TypeAlias = Literal["cosine", "constant"]
# Maximum number of steps of validation cells per validation, however many epochs apart.
_MAX_VALIDATION_STEPS = 100


class MultiDGDTrainingPlan(TrainingPlan):
    """Fit all parameters jointly by maximum a posteriori.

    After every minibatch, Adam updates the decoder and mixtures, and :class:`RowAdam` the
    representations of its cells. The representations of validation cells are learned in the
    validation loop, with the decoder and mixtures frozen. In several processes
    (:class:`PinnedStrategy`), each updates the representations of its own cells.

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
    #: Number of cells in the minibatches of all processes; `None` if there is one process.
    _n_cells_of_step: int | None = None
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
        schedule: Schedule = "cosine",
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
        choice("schedule", schedule, get_args(Schedule))
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
        if self.trainer.strategy.broadcast(self.cells_id) != self.cells_id:
            raise ValueError(
                "`adata`: the cells or counts of two processes differ. Set up the same object in all "
                "processes, with the same cells in the same order."
            )
        if self._resumed is not None:
            self.row_optimizer.load_state_dict(self._resumed["representations"])
            restore_history(self.trainer.logger, self._resumed["history"])
            # It contains the moments once more.
            self._resumed = None

    @torch.no_grad()
    def on_train_epoch_start(self) -> None:
        """Remove covariates from the representations at the given share of the epochs."""
        if self.remove_covariates_at is None:
            return
        share = max(self.hold, self.remove_covariates_at)
        # Not before the first epoch, because the initialisation removes covariates itself.
        if self.trainer.current_epoch != max(1, int(share * (self.trainer.max_epochs or 0))):
            return
        z_nl = self.row_optimizer.table[:, : self.module.n_latent]
        remove_from_table(z_nl, self.trainer.datamodule, self.trainer.strategy)

    @property
    def _objective(self) -> Callable[..., LossOutput]:
        """Objective of a minibatch, given representations."""
        return self.module.objective if self.panels is None else self.panels.objective

    def training_step(self, batch: dict[str, Any], batch_idx: int) -> Tensor:
        """Compute the loss of a minibatch."""
        output = self._forward(batch)
        if isinstance(self.trainer.strategy, PinnedStrategy):
            self._n_cells_of_step = self.trainer.datamodule.n_cells_of_step(batch_idx)
        self._collect(terms_of(output), "train")
        return output.loss

    def _forward(self, batch: dict[str, Any]) -> LossOutput:
        batch = self.trainer.datamodule.assemble(batch)
        cells = batch["cells"]
        leaf = self.row_optimizer.table[cells].requires_grad_()
        self._visited = (cells, leaf)
        return self._objective(batch, leaf, self.n_obs_training or len(cells))

    def on_after_backward(self) -> None:
        """Update the minibatch's representations and apply penalties to the decoder's weights."""
        if self._visited is not None:
            self._update_visited(self.lr_factor_now)

    @torch.no_grad()
    def _update_visited(self, lr_factor: float | Tensor) -> None:
        assert self._visited is not None
        cells, leaf = self._visited
        self._visited = None
        assert leaf.grad is not None
        if not self.is_holding:
            self.row_optimizer.step(cells, leaf.grad, lr_factor)
        n_cells = self._n_cells_of_step or len(cells)
        share = n_cells / (self.n_obs_training or n_cells)
        for group in self.optimizers().param_groups:
            if group.get("penalised"):
                # As Adam's weight decay, the prior requires no separate pass over the weights.
                group["weight_decay"] = self.weight_decay + self.weight_precision * share
                if self.l1:
                    for weight in group["params"]:
                        weight.grad.add_(weight.sign(), alpha=self.l1 * len(cells))

    def validation_step(self, batch: dict[str, Any], batch_idx: int) -> None:
        """Update validation cells by one step for each epoch since the last validation."""
        batch = self.trainer.datamodule.assemble(batch)
        cells = batch["cells"]
        # Without labels, so that labels predicted for validation cells do not depend on them.
        labels, has_unknown = torch.full_like(batch["labels"], -1), (True, batch["has_unknown"][1])
        batch = {**batch, "labels": labels, "has_unknown": has_unknown}
        n_epochs = self.trainer.check_val_every_n_epoch or 1
        for step in range(min(n_epochs, _MAX_VALIDATION_STEPS)):
            output, gradient = frozen_gradient(
                self.module, batch, self.row_optimizer.table[cells], self._objective
            )
            if step == 0:
                self._collect(terms_of(output), "validation")
            if not self.is_holding:
                self.row_optimizer.step(cells, gradient, self.lr_factor_now)

    def _collect(self, found: dict[str, Tensor], mode: str) -> None:
        # Summed at the end of the epoch, because each addition launches a kernel on a GPU.
        terms = self._terms.setdefault(mode, defaultdict(list))
        for name, values in found.items():
            terms[name].append(values)
        terms[PRIOR] = [found[PRIOR]]  # that of the last step

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
        sums = {name: torch.cat(values).sum() for name, values in terms.items()}
        prior = sums.pop(PRIOR)
        sums["n_cells"] = torch.tensor(sum(map(len, terms["mixture_loss"])))
        sums = sum_by_name(self.trainer.strategy, sums)
        return mean_terms(sums, prior, mode)

    def _log_epoch(self, mode: str) -> None:
        known = self.trainer.current_epoch, self._rates
        terms = self._terms.get(mode, {})
        check_together(self.trainer.strategy, lambda: check_losses(terms, *known))
        self._logged = self._epoch_means(mode)
        for name, value in self._logged.items():
            # All processes have the same value; without `sync_dist`, Lightning would warn.
            self.log(name, value, prog_bar=name == "train_loss", sync_dist=True)
        if self._logged:
            # Callbacks of scvi-tools monitor the loss under this name. The history omits it.
            self.log(f"elbo_{mode}", self._logged[f"{mode}_loss"], logger=False, sync_dist=True)
        self._terms.pop(mode, None)
        gather_rows(self.trainer, self.row_optimizer.table)

    def on_train_epoch_end(self) -> None:
        """Log the means over the training cells, in nats per cell.

        Raises
        ------
        RuntimeError
            If a loss or a parameter is not finite.
        """
        self._log_epoch("train")
        known = self.trainer.current_epoch, self._rates
        check_together(self.trainer.strategy, lambda: check_parameters(self.module, *known))

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the optimiser of the representations, and the history up to this epoch."""
        super().on_save_checkpoint(checkpoint)
        history = plain_history(self.trainer.logger)
        # Lightning passes the means of an epoch to the logger after it has saved checkpoints.
        for name, value in self._logged.items():
            index, index_name, values = history.get(name, ([], "epoch", []))
            if self.current_epoch not in index:
                history[name] = ([*index, self.current_epoch], index_name, [*values, value.item()])
        moments = self.row_optimizer.state_dict()
        gather_rows(self.trainer, *moments.values())
        checkpoint["multiDGD"] = {
            "cells_id": self.cells_id,
            "is_epoch_end": not self._terms.get("train"),
            "history": history,
            "representations": moments,
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Continue from the state of a checkpoint."""
        super().on_load_checkpoint(checkpoint)
        self._resumed = checkpoint["multiDGD"]

    def on_validation_epoch_end(self) -> None:
        """Log the means over the validation cells, in nats per cell."""
        self._log_epoch("validation")
        if self.split_validation_counts:
            scores = compute_once(self.trainer.strategy, self._count_split_scores)
            self.log_dict(scores, sync_dist=True)

    def _count_split_scores(self) -> dict[str, float]:
        return {} if self.count_split is None else self.count_split(self.module)
