"""The split into training, validation and test cells."""

from __future__ import annotations

from typing import Any

import torch
from lightning.fabric.utilities import move_data_to_device
from scvi.dataloaders import DataSplitter

from multiDGD.module import join, take_cells


class CellSplitter(DataSplitter):
    """scvi-tools' splitter that splits once.

    The start of a model looks at the training cells before the trainer asks for them, and must
    see the same ones even where no seed is set.

    Parameters
    ----------
    *args
        As for :class:`scvi.dataloaders.DataSplitter`.
    keep_on_device
        Move all counts to the device at once and take minibatches there. Loaders then serve
        positions of cells and nothing else.
    **kwargs
        As for :class:`scvi.dataloaders.DataSplitter`.
    """

    def __init__(self, *args: Any, keep_on_device: bool = False, **kwargs: Any) -> None:
        if keep_on_device:
            kwargs["data_and_attributes"] = ["cells"]
        super().__init__(*args, **kwargs)
        self.keep_on_device = keep_on_device
        self._resident: dict[str, Any] | None = None

    def setup(self, stage: str | None = None) -> None:
        """Split, unless that has happened."""
        if not hasattr(self, "train_idx"):
            super().setup(stage)

    def transfer_batch_to_device(
        self, batch: dict[str, Any], device: torch.device, dataloader_idx: int
    ) -> dict[str, Any]:
        """Move a minibatch, or take its cells from what is on the device already."""
        if self.keep_on_device:
            if self._resident is None:
                everything = join(list(self.adata_manager.batches()))
                self._resident = move_data_to_device(everything, device)
            return take_cells(self._resident, batch["cells"].to(device))
        if device.type == "cpu":  # walking through it would only take time
            return batch
        return super().transfer_batch_to_device(batch, device, dataloader_idx)
