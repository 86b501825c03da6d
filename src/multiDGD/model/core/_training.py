"""Training of the model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import torch
from scvi.train import TrainRunner

from multiDGD._checks import positive_int
from multiDGD.train import CellSplitter, MultiDGDTrainingPlan

from ._initialisation import initialise
from ._representations import RepresentationMixin


class TrainingMixin(RepresentationMixin):
    """Start, training and what is left to do after it."""

    is_initialised_ = False

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
        start: Literal["spectral", "zero"] | np.ndarray | None = None,
        keep_on_device: bool = False,
        datasplitter_kwargs: dict[str, Any] | None = None,
        plan_kwargs: dict[str, Any] | None = None,
        **trainer_kwargs: Any,
    ) -> None:
        """Fit decoder, mixtures and the cells' representations together.

        Decoder and mixtures learn nothing from cells outside the training set, which are placed
        afterwards as any new cell is. They say when to stop, calibrate :meth:`predict`, are the
        standard of :meth:`get_typicality` and say how far :meth:`impute` departs from the decoder.

        On a model from :meth:`load_query_data` nothing of the reference is changed: categories
        that it does not know are learned, then all cells are placed. Of the arguments only
        ``max_epochs`` (passes over some cells in which the categories are learned; by default enough
        for 150 steps, and at least 20) and ``batch_size`` count then.

        Parameters
        ----------
        max_epochs
            Passes over the training cells. By default as many as make 1,500 steps with the
            default batch size, between 15 and 60.
        accelerator, devices
            As :class:`lightning.pytorch.Trainer` takes them; one device.
        train_size
            Share of cells to train on, 0.9 by default.
        validation_size
            Share of cells for validation; the rest by default.
        shuffle_set_split
            Whether to draw the split at random (with ``scvi.settings.seed``).
        batch_size
            Cells in a minibatch.
        early_stopping
            Stop when the loss of validation cells has not improved for
            ``early_stopping_patience`` epochs (20 by default). Not used without validation cells.
        start
            Where representations start at the first training: ``"spectral"`` (default),
            ``"zero"`` as published, or an array ``(n_cells, n_latent)``. A model that has been
            trained goes on from where it is unless a start is given.
        keep_on_device
            Move all counts to the device at the start instead of minibatch by minibatch. They
            take 20 bytes for each that is not zero.
        datasplitter_kwargs
            Further arguments of :class:`scvi.dataloaders.DataSplitter`.
        plan_kwargs
            Arguments of :class:`multiDGD.train.MultiDGDTrainingPlan`.
        **trainer_kwargs
            Further arguments of :class:`scvi.train.Trainer`.

        Raises
        ------
        ValueError
            If an argument cannot be used, before any training.

        Examples
        --------
        >>> model.train()  # doctest: +SKIP
        >>> model.train(max_epochs=100, plan_kwargs={"lr": 1e-3})  # doctest: +SKIP
        """
        if self.adata is None:
            raise ValueError("The model was loaded without data: load it with `adata` to train.")
        positive_int("batch_size", batch_size)
        if max_epochs is not None:
            positive_int("max_epochs", max_epochs)
        if _n_devices(devices) > 1:
            raise ValueError(
                f"`devices` must be one, found {devices!r}: every process would learn places of its "
                "own. Pass `devices=1`."
            )
        precision = str(trainer_kwargs.get("precision", "32-true"))
        if precision.startswith("16") or precision == "bf16-true":
            raise ValueError(
                f"`precision` must be '32-true' or 'bf16-mixed', found {precision!r}, which has no "
                "room for the derivatives of large counts."
            )
        # A model of another setup that was asked in between has left its codes in the object.
        self.adata_manager.validate()
        if self.new_categories_ is not None:
            self._train_query(max_epochs, batch_size)
            return
        if train_size is not None and not 0 < train_size <= 1:
            raise ValueError(f"`train_size` must be above 0 and at most 1, found {train_size}.")
        splitter = CellSplitter(
            self.adata_manager,
            train_size=train_size,
            validation_size=validation_size,
            shuffle_set_split=shuffle_set_split,
            batch_size=batch_size,
            keep_on_device=keep_on_device,
            **(datasplitter_kwargs or {}),
        )
        splitter.setup()
        if not len(splitter.train_idx):
            # By default scvi-tools moves a last minibatch of one or two out of the training set.
            raise ValueError(
                f"`adata` has {self.adata.n_obs} cells, of which the split leaves none to train "
                "on; at least 3 are needed."
            )
        if start is not None or not self.is_initialised_:
            self.module.resize(self.adata.n_obs)
            start = "spectral" if start is None else start
            initialise(self.module, self.adata_manager, start, splitter.train_idx)
            self.is_initialised_ = True
        else:
            self._resize_to_data()
        self._identify_cells()

        plan = MultiDGDTrainingPlan(self.module, **(plan_kwargs or {}))
        if max_epochs is None:
            max_epochs = default_max_epochs(len(splitter.train_idx))
        stopping = {
            "early_stopping": early_stopping and len(splitter.val_idx) > 0,
            "early_stopping_monitor": "validation_loss",
            "early_stopping_patience": 20,
            # Of small data an epoch has fewer minibatches than scvi-tools' interval of 10.
            "log_every_n_steps": min(10, -(-len(splitter.train_idx) // batch_size)),
            # Validation cells learn their representations, which inference mode would forbid.
            "inference_mode": False,
        }
        runner = TrainRunner(
            self,
            training_plan=plan,
            data_splitter=splitter,
            max_epochs=max_epochs,
            accelerator=accelerator,
            devices=devices,
            **{**stopping, **trainer_kwargs},
        )
        self._inferred_cache.clear()
        self.module.train()
        try:
            runner()
        except BaseException:
            # What was learned beside the weights of before does not go with these.
            self.is_trained_ = False
            raise
        finally:
            self.module.workspace.clear()
            self.module.eval()
        self._infer_remaining(splitter.train_idx)
        self._learn(plan.weight_precision)

    def _infer_remaining(self, train_cells: np.ndarray) -> None:
        """Give cells a new place that training leaves far from where their counts fit best.

        Held-out cells followed the decoder in small steps; now they get what any new cell gets.
        Cells that lack a modality started where other cells' modalities suggest. Less is known of
        them than of others, so several components may explain them.
        """
        lacks = (self.adata_manager.libraries == 0).any(1)
        is_train = np.zeros(len(lacks), dtype=bool)
        is_train[train_cells] = True
        self._store_inferred(np.flatnonzero(~is_train & ~lacks))
        self._store_inferred(np.flatnonzero(~is_train & lacks), n_starts=3)
        self._store_inferred(np.flatnonzero(is_train & lacks), n_starts=3, use_labels=True)

    def _resize_to_data(self) -> None:
        """Give the table one representation for each cell at hand, in their order."""
        _, w = self._representation(self.adata_manager, None, None)
        self.module.resize(len(w))
        with torch.no_grad():
            self.module.representations.z.copy_(w)

    def _learn(self, weight_precision: float) -> None:
        """Learn everything beside the module's parameters from the training cells."""
        raise NotImplementedError

    def _train_query(self, max_epochs: int | None, batch_size: int) -> None:
        """Train a model of query cells."""
        raise NotImplementedError


def _n_devices(devices: int | Sequence[int] | str) -> int:
    """How many are asked for, in any of the ways in which Lightning is; 1 where it decides."""
    if isinstance(devices, str) and "," in devices:
        return sum(bool(name.strip()) for name in devices.split(","))
    if isinstance(devices, str):
        devices = int(devices) if devices.lstrip("-").isdigit() else 1
    n = devices if isinstance(devices, int) else len(devices)
    return torch.cuda.device_count() if n == -1 else n


def default_max_epochs(n_cells: int) -> int:
    """Epochs that make about 1,500 steps of 128 cells, between 15 and 60.

    Parameters
    ----------
    n_cells
        Number of training cells.
    """
    return int(np.clip(round(1500 * 128 / n_cells), 15, 60))
