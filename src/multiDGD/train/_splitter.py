"""The split into training, validation and test cells."""

from __future__ import annotations

from typing import Any

import torch
from lightning.fabric.utilities import move_data_to_device
from scvi.dataloaders import DataSplitter

from multiDGD.module import join, take_cells


class CellSplitter(DataSplitter):
    """Data splitter of scvi-tools that splits only once.

    The initialisation of a model uses the training cells before the trainer sets up the splitter.
    Both must get the same cells, even if no seed is set.

    Parameters
    ----------
    *args
        As for :class:`scvi.dataloaders.DataSplitter`.
    keep_on_device
        Move all counts to the device once and assemble minibatches there. Data loaders then yield
        only the indices of cells.
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
        """Split the cells, unless they are already split."""
        if not hasattr(self, "train_idx"):
            super().setup(stage)

    def transfer_batch_to_device(
        self, batch: dict[str, Any], device: torch.device, dataloader_idx: int
    ) -> dict[str, Any]:
        """Move a minibatch to the device, or select its cells from the data on the device."""
        if self.keep_on_device:
            if self._resident is None:
                all_cells = join(list(self.adata_manager.batches()))
                self._resident = move_data_to_device(all_cells, device)
            return take_cells(self._resident, batch["cells"].to(device))
        if device.type == "cpu":  # nothing to transfer
            return batch
        return super().transfer_batch_to_device(batch, device, dataloader_idx)
