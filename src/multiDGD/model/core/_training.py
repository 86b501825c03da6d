"""Training of the model."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch.callbacks import Callback
from scvi.train import TrainRunner

from multiDGD._checks import positive_int
from multiDGD._quiet import hide_version, quiet_training
from multiDGD.data import logger
from multiDGD.inference import infer_representations
from multiDGD.module import FeaturePanels
from multiDGD.train import (
    CellSplitter,
    CountSplitValidation,
    EpochCheckpoint,
)

from ._choose_plan import check_plan_names, choose_plan
from ._devices import (
    check_sizes,
    choose_strategy,
    count_processes,
    fit_in_processes,
    is_started_here,
    share_result,
)
from ._history import LoggedTerms
from ._initialisation import Start, initialise
from ._interrupts import interruptible
from ._learned import Learned
from ._random import resolve_seed
from ._representations import RepresentationMixin
from ._resume import History, Resumed, join_histories, with_safe_checkpoints
from ._train_arguments import (
    check_precision,
    check_trainer_arguments,
    check_values,
    default_max_epochs,
    monitored,
    warn_of_increase,
)
from ._training_cells import TrainingCells
from ._transaction import transaction


class TrainingMixin(RepresentationMixin):
    """Initialisation, training, and inference of the remaining representations."""

    # Set by scvi-tools, without types.
    is_trained_: bool
    history_: History | None
    is_initialised_ = False
    #: Whether the model was saved before the end of its training.
    is_checkpoint_ = False
    #: Precision of the prior on the decoder's weights in the last training.
    weight_precision_ = 30.0

    @property
    def history(self) -> History | None:
        """Losses and other quantities by epoch, in nats per cell; a table for each name."""
        return None if self.history_ is None else LoggedTerms(self.history_)

    # The caller may have disabled gradients.
    @torch.inference_mode(False)
    @torch.enable_grad()
    def train(
        self,
        max_epochs: int | None = None,
        accelerator: str = "auto",
        devices: int | list[int] | str = "auto",
        train_size: float | None = None,
        validation_size: float | None = None,
        shuffle_set_split: bool = True,
        batch_size: int = 128,
        early_stopping: bool = True,
        start: Start | np.ndarray | None = None,
        keep_on_device: bool = False,
        checkpoint_dir: str | Path | None = None,
        resume_from: str | Path | None = None,
        datasplitter_kwargs: dict[str, Any] | None = None,
        plan_kwargs: dict[str, Any] | None = None,
        lr: float | None = None,
        **trainer_kwargs: Any,
    ) -> None:
        """Train the decoder, the mixtures and the representations of all cells together.

        Cells outside the training set do not affect decoder and mixtures. Their representations
        are inferred at the end, like those of query cells. Validation cells determine early
        stopping. All held-out cells calibrate :meth:`predict`, are the standard of
        :meth:`get_typicality`, and determine the corrections of :meth:`impute`.

        On a model from :meth:`load_query_data`, the parameters of the reference stay unchanged.
        Training learns a mixture component for each new category and then infers the
        representations of all cells. It uses ``batch_size`` and ``max_epochs`` only. The latter
        counts passes over a subset of the cells with new categories; the default makes 150 steps,
        in at least 20 passes.

        Parameters
        ----------
        max_epochs
            Passes over the training cells. By default, the number that makes 1,500 steps of 128
            cells, but between 15 and 60.
        accelerator, devices
            Devices, as for :class:`lightning.pytorch.Trainer`. There is one process for each device, and
            ``batch_size`` is the size of its minibatches.
        train_size
            Share of the cells in the training set, 0.9 by default.
        validation_size
            Share of the cells in the validation set, all others by default. Any remaining cells
            are the test set.
        shuffle_set_split
            Whether to split the cells at random, depending on ``scvi.settings.seed``.
        batch_size
            Number of cells in a minibatch.
        early_stopping
            Whether to stop if the loss of the validation cells has not improved for
            ``early_stopping_patience`` epochs (20 by default). Ignored without validation cells.
            With ``plan_kwargs={"split_validation_counts": True}``, training stops if half of the
            counts of the validation cells is no longer better predicted from the other half.
        start
            Initialisation of the representations: ``"spectral"`` (default), ``"zero"`` as
            published, or an array of shape ``(n_cells, n_latent)``. A trained model continues from
            its current state by default.
        keep_on_device
            Whether to copy all counts to the device before training, and not minibatch by
            minibatch. This requires 8 bytes for each non-zero count.
        checkpoint_dir
            Folder for a checkpoint, which is written after each epoch by
            :class:`multiDGD.train.EpochCheckpoint`.
        resume_from
            Checkpoint of an interrupted training, or its folder. Pass the same data and other
            arguments as before. On a CPU with one thread, the result is then equal to that of a
            training without interruption.
        datasplitter_kwargs
            Further arguments of :class:`scvi.dataloaders.DataSplitter`.
        plan_kwargs
            Arguments of :class:`multiDGD.train.MultiDGDTrainingPlan`, such as learning rates. With
            ``"capture": True`` and ``keep_on_device``, training steps are recorded as a CUDA graph
            (:class:`multiDGD.train.CapturedTrainingPlan`).
        lr
            Learning rate of the decoder, instead of that in ``plan_kwargs``.
        **trainer_kwargs
            Further arguments of :class:`scvi.train.Trainer`. With several devices, ``strategy`` is
            ``"spawn"`` (default), ``"fork"`` or a :class:`multiDGD.train.PinnedStrategy`.

        Raises
        ------
        ValueError
            If an argument is invalid. The error is raised before any training.
        RuntimeError
            If a loss or parameter is not finite.

        Notes
        -----
        A training takes effect at its end. After an error or an interruption, the model is the
        same as before, with its weights, representations and history.

        Examples
        --------
        >>> model.train()  # doctest: +SKIP
        >>> model.train(max_epochs=100, lr=1e-3)  # doctest: +SKIP

        Write a checkpoint after each epoch, and resume an interrupted training:

        >>> model.train(checkpoint_dir="run")  # doctest: +SKIP
        >>> model.train(checkpoint_dir="run", resume_from="run")  # doctest: +SKIP

        Train on two GPUs, in a script below ``if __name__ == "__main__":`` or in a notebook:

        >>> model.train(accelerator="gpu", devices=2)  # doctest: +SKIP
        """
        if self.adata is None:
            raise ValueError(
                "The model was loaded without data: load it with `adata` to train it."
            )
        positive_int("batch_size", batch_size)
        if max_epochs is not None:
            positive_int("max_epochs", max_epochs)
        check_values(
            early_stopping=early_stopping,
            plan_kwargs=plan_kwargs,
            lr=lr,
            early_stopping_patience=trainer_kwargs.get("early_stopping_patience"),
        )
        check_trainer_arguments(trainer_kwargs, inspect.signature(self.train).parameters)
        check_plan_names(plan_kwargs or {})
        strategy = choose_strategy(devices, trainer_kwargs)
        check_precision(str(trainer_kwargs.get("precision", "32-true")))
        if train_size is not None and not 0 < train_size <= 1:
            raise ValueError(f"`train_size` must be above 0 and at most 1, found {train_size}.")
        # Another model of the same object may have registered other codes in the meantime.
        self.adata_manager.validate()
        callbacks = list(trainer_kwargs.pop("callbacks", ()))
        if checkpoint_dir is not None:
            callbacks.append(EpochCheckpoint(checkpoint_dir))
        with transaction(self) as work:
            if work.new_categories_ is not None:
                work._train_query(max_epochs, batch_size)
                return
            arguments: dict[str, Any] = {
                "resumed": Resumed.read(resume_from, trainer_kwargs.pop("ckpt_path", None)),
                "start": start,
                "max_epochs": max_epochs,
                "early_stopping": early_stopping,
                "plan_kwargs": {**(plan_kwargs or {}), **({} if lr is None else {"lr": lr})},
                "splitter_kwargs": {
                    "train_size": train_size,
                    "validation_size": validation_size,
                    "shuffle_set_split": shuffle_set_split,
                    "batch_size": batch_size,
                    "keep_on_device": keep_on_device,
                    **(datasplitter_kwargs or {}),
                },
                "trainer_kwargs": {
                    "accelerator": accelerator,
                    "devices": devices,
                    **trainer_kwargs,
                    **strategy,
                },
                "callbacks": callbacks,
            }
            if is_started_here(strategy):
                fit_in_processes(work, arguments)
            else:
                work._fit(**arguments)
        self.adata_manager.accept()

    @quiet_training()
    def _fit(
        self,
        resumed: Resumed | None,
        start: Start | np.ndarray | None,
        *,
        max_epochs: int | None,
        early_stopping: bool,
        plan_kwargs: dict[str, Any],
        splitter_kwargs: dict[str, Any],
        trainer_kwargs: dict[str, Any],
        callbacks: Sequence[Callback],
    ) -> None:
        """Train this model, a copy that replaces the user's model if all steps succeed."""
        # All arguments are checked before the first long computation.
        splitter = CellSplitter(self.adata_manager, seed=resolve_seed(), **splitter_kwargs)
        cells = TrainingCells.of(self.adata_manager)
        if resumed is not None:
            resumed.check(self.module, cells.digest)
            splitter.load_state_dict(resumed.splitter)
        splitter.setup()
        n_train = len(splitter.train_idx)
        if not n_train:
            # By default, scvi-tools removes a last minibatch of one or two cells from training.
            raise ValueError(
                f"`adata` has {self.adata.n_obs} cell{'s' * (self.adata.n_obs != 1)}, and the "
                "training set is empty after the split; at least 3 are required."
            )
        n_processes = count_processes(trainer_kwargs)
        check_sizes(n_processes, n_train, len(splitter.val_idx))
        self.module.requires_grad_(True)
        observed, codes = self.adata_manager.panels
        panels = FeaturePanels(self.module, observed, codes, differentiable=True)
        plan_class, plan_kwargs = choose_plan(
            plan_kwargs, panels, splitter.keep_on_device, trainer_kwargs
        )
        plan = plan_class(self.module, **plan_kwargs)
        plan.cells_id = cells.digest
        if not panels.are_complete:
            plan.panels = panels
        defaults = {
            "early_stopping": early_stopping and len(splitter.val_idx) > 0,
            **monitored(plan, trainer_kwargs.get("early_stopping_monitor"), bool(callbacks)),
            "early_stopping_patience": 20,
            # In small data, an epoch has fewer minibatches than scvi-tools' interval of 10.
            "log_every_n_steps": min(
                10, -(-n_train // (splitter_kwargs["batch_size"] * n_processes))
            ),
            **({} if len(splitter.val_idx) else {"limit_val_batches": 0}),
            # Validation updates the representations of validation cells, so it needs gradients.
            "inference_mode": False,
        }
        runner = TrainRunner(
            self,
            training_plan=plan,
            data_splitter=splitter,
            max_epochs=default_max_epochs(n_train) if max_epochs is None else max_epochs,
            ckpt_path=None if resumed is None else resumed.path,
            callbacks=[c for c in callbacks if not isinstance(c, EpochCheckpoint)],
            **with_safe_checkpoints({**defaults, **trainer_kwargs}),
        )
        hide_version(runner.trainer)
        # Given to scvi-tools' trainer, they would require its own callback for checkpoints too.
        runner.trainer.callbacks += [c for c in callbacks if isinstance(c, EpochCheckpoint)]
        history = self.history_ if self.is_trained_ else None
        # Other processes get the parameters of the first one.
        is_first = runner.trainer.is_global_zero
        self._initialise("zero" if resumed or not is_first else start, splitter.train_idx)
        # A model that is saved during training contains no records of an earlier one.
        self._learned = Learned(cells=cells)
        self.is_trained_, self.is_checkpoint_ = False, True
        self.weight_precision_ = plan.weight_precision
        self.train_indices, self.validation_indices, self.test_indices = (
            splitter.train_idx,
            splitter.val_idx,
            splitter.test_idx,
        )
        if plan.split_validation_counts and len(splitter.val_idx) and is_first:
            plan.count_split = CountSplitValidation(
                self.adata_manager,
                splitter.train_idx,
                splitter.val_idx,
                infer_representations,
                splitter.seed,
            )
        self._inferred_cache.clear()
        self.module.train()
        self._is_replica = not is_first  # it does not save the model
        # scvi-tools would choose the first device in all processes.
        runner.device = runner.trainer.strategy.root_device
        with interruptible():
            runner()
        # The trainer keeps the plan, which need not keep the counts.
        plan.count_split = None
        self.module.workspace.clear()
        warn_of_increase(self.history_ or {})
        self.history_ = join_histories(history, self.history_)
        if is_first:
            self._complete()
        share_result(self, runner.trainer.strategy)

    def _complete(self) -> None:
        """Infer the remaining representations and learn all records, after the last epoch."""
        self.module.eval().requires_grad_(False)
        self._infer_remaining(self.train_indices)
        self._learn(self.weight_precision_)
        self.is_checkpoint_ = False

    def _complete_checkpoint(self) -> None:
        """Learn the records of a model that was saved before the end of its training."""
        if self.is_checkpoint_ and self.adata is not None:
            self._complete()
        elif self.is_checkpoint_:
            logger.warning(
                "The model is a checkpoint of a training: load it with `adata`, because some "
                "methods need records that are learned after the last epoch."
            )

    def _initialise(self, start: Start | np.ndarray | None, train_cells: np.ndarray) -> None:
        """Initialise the module, or resize its table if training continues."""
        if start is None and self.is_initialised_:
            self._resize_to_data()
            return
        self.module.resize(self.adata.n_obs)
        start = "spectral" if start is None else start
        initialise(self.module, self.adata_manager, start, train_cells)
        self.is_initialised_ = True

    def _infer_remaining(self, train_cells: np.ndarray) -> None:
        """Infer representations that training leaves far from their optimum.

        Representations of held-out cells have followed the decoder in small steps only. Those of
        cells with missing modalities were initialised from the counts of other cells. Such cells
        contain less information, so several components may explain them.
        """
        is_incomplete = (self.adata_manager.libraries == 0).any(1)
        is_train = np.zeros(len(is_incomplete), dtype=bool)
        is_train[train_cells] = True
        self._store_inferred(np.flatnonzero(~is_train & ~is_incomplete))
        self._store_inferred(np.flatnonzero(~is_train & is_incomplete), n_starts=3)
        incomplete_train = np.flatnonzero(is_train & is_incomplete)
        self._store_inferred(incomplete_train, n_starts=3, use_labels=True)

    def _resize_to_data(self) -> None:
        """Resize the table to one representation for each cell of the data, in their order."""
        _, w = self._representation(self.adata_manager, None, None)
        self.module.resize(len(w))
        with torch.no_grad():
            self.module.representations.z.copy_(w)

    def _learn(self, weight_precision: float) -> None:
        """Learn all records in addition to the module's parameters."""
        raise NotImplementedError

    def _train_query(self, max_epochs: int | None, batch_size: int) -> None:
        """Learn new categories and infer the representations of query cells."""
        raise NotImplementedError
