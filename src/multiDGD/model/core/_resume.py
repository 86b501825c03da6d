"""Continuation of an interrupted training from its checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from lightning.pytorch.plugins.io import CheckpointIO

from multiDGD.module import MultiDGDModule
from multiDGD.train import SafeCheckpointIO, find_checkpoint, read_checkpoint

History = dict[str, pd.DataFrame]


@dataclass(frozen=True)
class Resumed:
    """Checkpoint of a training.

    Attributes
    ----------
    path
        Path of the file.
    splitter
        State of the :class:`multiDGD.train.CellSplitter`.
    cells_id
        Identifier of the cells.
    shapes
        Shape of each parameter and buffer of the module.
    """

    path: Path
    splitter: dict[str, Any]
    cells_id: str
    shapes: Mapping[str, tuple[int, ...]]

    @classmethod
    def read(cls, resume_from: str | Path | None, ckpt_path: str | Path | None) -> Resumed | None:
        """Read the checkpoint given by either argument of `train`; `None` without any.

        Raises
        ------
        ValueError
            If both arguments are given, or the file is not the checkpoint of a training.
        """
        if resume_from is not None and ckpt_path is not None:
            raise ValueError("`resume_from` and `ckpt_path` are the same argument: pass only one.")
        given = ckpt_path if resume_from is None else resume_from
        if given is None:
            return None
        path = find_checkpoint(given)
        checkpoint = read_checkpoint(path)
        try:
            state, splitter = checkpoint["multiDGD"], checkpoint["CellSplitter"]
            is_epoch_end = state["is_epoch_end"]
        except KeyError as error:
            raise ValueError(
                f"`resume_from`: {path} was not written during the training of a MultiDGD model: "
                f"it has no entry {error}."
            ) from error
        if not is_epoch_end:
            raise ValueError(
                f"`resume_from`: {path} was written before the end of an epoch. Use "
                "`checkpoint_dir`, or `ModelCheckpoint(save_on_train_epoch_end=True)`."
            )
        shapes = {
            name.removeprefix("module."): tuple(value.shape)
            for name, value in checkpoint["state_dict"].items()
        }
        return cls(path, splitter, state["cells_id"], shapes)

    def check(self, module: MultiDGDModule, cells_id: str) -> None:
        """Check that the checkpoint belongs to the given module and cells.

        Parameters
        ----------
        module
            Module of the model.
        cells_id
            Identifier of the cells.

        Raises
        ------
        ValueError
            If it belongs to other cells or another model.
        """
        if cells_id != self.cells_id:
            raise ValueError(
                f"`resume_from`: {self.path} belongs to other cells or counts than `adata`. Set up "
                "the same object, with the same cells in the same order."
            )
        for name, value in module.state_dict().items():
            found = self.shapes.get(name)
            # The table has as many rows as there are cells.
            if found != tuple(value.shape) and not name.startswith("representations."):
                raise ValueError(
                    f"`resume_from`: {self.path} belongs to a model with other arguments: "
                    f"`{name}` has the shape {found}, and {tuple(value.shape)} in this model."
                )


def with_safe_checkpoints(trainer_kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Add :class:`multiDGD.train.SafeCheckpointIO` to the plugins of a trainer.

    Parameters
    ----------
    trainer_kwargs
        Arguments of :class:`scvi.train.Trainer`. A `CheckpointIO` among its plugins is kept.
    """
    plugins = trainer_kwargs.get("plugins") or []
    plugins = list(plugins) if isinstance(plugins, (list, tuple)) else [plugins]
    if not any(isinstance(plugin, CheckpointIO) for plugin in plugins):
        plugins.append(SafeCheckpointIO())
    return {**trainer_kwargs, "plugins": plugins}


def join_histories(before: History | None, after: History | None) -> History | None:
    """Join the histories of two trainings of a model, as scvi-tools does.

    Parameters
    ----------
    before, after
        Table of each quantity. Epochs of ``after`` are numbered from the last one of ``before``.
    """
    if not before or not after:
        return after
    joined = {}
    for name, new in after.items():
        old = before.get(name)
        if old is not None:
            index = pd.RangeIndex(len(old), len(old) + len(new), name=old.index.name)
            new = pd.concat([old, new.set_axis(index)])
            new.index.name = index.name
        joined[name] = new
    return joined
