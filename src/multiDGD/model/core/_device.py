"""Device of a loaded model."""

from __future__ import annotations

import torch

try:
    from scvi.model._utils import parse_device_args
except ImportError:  # a private name of scvi-tools
    parse_device_args = None


def find_device(accelerator: str, device: int | str) -> torch.device:
    """Find the device that two arguments of scvi-tools stand for.

    Parameters
    ----------
    accelerator, device
        As for :class:`lightning.pytorch.Trainer`; ``"auto"`` chooses a GPU if there is one.
    """
    if parse_device_args is not None:
        *_, found = parse_device_args(
            accelerator=accelerator,
            devices=device,
            return_device="torch",
            validate_single_device=True,
        )
        return torch.device(found)
    if accelerator == "auto":
        accelerator = "cuda" if torch.cuda.is_available() else "cpu"
    kind = "cuda" if accelerator == "gpu" else accelerator
    return torch.device(kind if device == "auto" or kind == "cpu" else f"{kind}:{device}")
