"""Checkpoints of a training at the end of its epochs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint

from multiDGD._checks import positive_int


class EpochCheckpoint(Checkpoint):
    """Write a checkpoint, from which a training can be resumed, at the end of epochs.

    Each checkpoint replaces the one before, ``last.ckpt`` in the folder.

    Parameters
    ----------
    folder
        Folder of the checkpoint.
    every_n_epochs
        Number of epochs between checkpoints.

    Examples
    --------
    >>> from multiDGD.train import EpochCheckpoint
    >>> callback = EpochCheckpoint("run", every_n_epochs=5)
    >>> model.train(callbacks=[callback])  # doctest: +SKIP
    >>> model.train(callbacks=[callback], resume_from="run")  # doctest: +SKIP
    """

    def __init__(self, folder: str | Path, every_n_epochs: int = 1) -> None:
        self.path = Path(folder) / "last.ckpt"
        self.every_n_epochs = positive_int("every_n_epochs", every_n_epochs)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the checkpoint."""
        n_epochs = trainer.current_epoch + 1
        if n_epochs % self.every_n_epochs == 0 or n_epochs == trainer.max_epochs:
            trainer.save_checkpoint(self.path)

    def state_dict(self) -> dict[str, Any]:
        """Empty: the callback has no state."""
        return {}
