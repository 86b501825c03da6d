"""Reading and writing of the checkpoints of a training."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.plugins.io import TorchCheckpointIO


class SafeCheckpointIO(TorchCheckpointIO):
    """Checkpoints of tensors and plain values, whose files are complete or absent.

    A file is written beside its path and then renamed. Reading a file never executes code of it.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None
    ) -> None:
        """Write a checkpoint.

        Parameters
        ----------
        checkpoint
            Tensors and plain values.
        path
            Path of the file.
        storage_options
            Not supported.
        """
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            with temporary.open("wb") as file:
                torch.save(checkpoint, file)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)

    def load_checkpoint(
        self, path: str | Path, map_location: Any = "cpu", weights_only: bool | None = True
    ) -> dict[str, Any]:
        """Read a checkpoint.

        Parameters
        ----------
        path
            Path of the file.
        map_location
            As for :func:`torch.load`.
        weights_only
            Ignored: other objects than tensors and plain values are always refused.
        """
        return read_checkpoint(path, map_location)


def read_checkpoint(path: str | Path, map_location: Any = "cpu") -> dict[str, Any]:
    """Read the checkpoint of a training.

    Parameters
    ----------
    path
        A file, or a folder, of which the latest file is read.
    map_location
        As for :func:`torch.load`.

    Raises
    ------
    ValueError
        If there is no such file, it cannot be read, or it contains other objects than tensors and
        plain values.
    """
    path = find_checkpoint(path)
    try:
        checkpoint = torch.load(path, map_location=map_location, weights_only=True)
    except Exception as error:
        raise ValueError(
            f"`resume_from`: {path} is not a readable checkpoint of a training "
            f"({type(error).__name__}). It is truncated, or was not written by "
            "`checkpoint_dir` of `train`. Choose another file."
        ) from error
    if not isinstance(checkpoint, dict) or "state_dict" not in checkpoint:
        raise ValueError(f"`resume_from`: {path} contains no checkpoint of a training.")
    return checkpoint


def find_checkpoint(path: str | Path) -> Path:
    """Path of a checkpoint, which is the latest one if a folder is given.

    Parameters
    ----------
    path
        A file or folder.

    Raises
    ------
    ValueError
        If there is no checkpoint.
    """
    path = Path(path)
    if path.is_dir():
        found = sorted(path.glob("*.ckpt"), key=lambda file: (file.stat().st_mtime_ns, file.name))
        if not found:
            raise ValueError(f"`resume_from`: the folder {path} contains no file `*.ckpt`.")
        return found[-1]
    if not path.is_file():
        raise ValueError(f"`resume_from`: there is no file {path}.")
    return path
