"""The split into training, validation and test cells."""

from __future__ import annotations

from typing import Any

import torch
from scvi.dataloaders import DataSplitter


class CellSplitter(DataSplitter):
    """scvi-tools' splitter that splits once.

    The start of a model looks at the training cells before the trainer asks for them, and must
    see the same ones even where no seed is set.
    """

    def setup(self, stage: str | None = None) -> None:
        """Split, unless that has happened."""
        if not hasattr(self, "train_idx"):
            super().setup(stage)

    def transfer_batch_to_device(
        self, batch: dict[str, Any], device: torch.device, dataloader_idx: int
    ) -> dict[str, Any]:
        """Walk through the minibatch only where there is somewhere to move it to."""
        if device.type == "cpu":
            return batch
        return super().transfer_batch_to_device(batch, device, dataloader_idx)
