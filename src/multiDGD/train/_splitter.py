"""The split into training, validation and test cells."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from scvi.dataloaders import AnnDataLoader, DataSplitter

from multiDGD._checks import positive_int
from multiDGD.module import find_unknown

from ._block_loader import BlockLoader
from ._epoch_order import BlockOrder, EpochOrder
from ._resident_cells import ResidentCells


class CellSplitter(DataSplitter):
    """Data splitter of scvi-tools that splits only once, and orders cells by seed and epoch.

    The initialisation of a model uses the training cells before the trainer sets up the splitter.
    Both must get the same cells, even if no seed is set. The order of the cells in an epoch
    depends on ``seed`` and the epoch only, so that a resumed training visits them in the same
    order.

    Parameters
    ----------
    *args
        As for :class:`scvi.dataloaders.DataSplitter`.
    seed
        Seed of the order of the training cells.
    keep_on_device
        Move all counts to the device once. Data loaders then yield only the indices of cells, and
        :meth:`assemble` adds their counts.
    block_size, n_blocks
        Counts on disk are read in blocks of ``block_size`` neighbouring cells, and the cells of
        ``n_blocks`` blocks are mixed (:class:`multiDGD.train.BlockOrder`). Ignored for counts in
        memory.
    **kwargs
        As for :class:`scvi.dataloaders.DataSplitter`.
    """

    train_idx: np.ndarray
    val_idx: np.ndarray
    test_idx: np.ndarray

    def __init__(
        self,
        *args: Any,
        seed: int = 0,
        keep_on_device: bool = False,
        block_size: int = 128,
        n_blocks: int = 32,
        **kwargs: Any,
    ) -> None:
        if keep_on_device:
            kwargs["data_and_attributes"] = ["cells"]
        super().__init__(*args, **kwargs)
        self.seed = seed
        self.keep_on_device = keep_on_device
        self.block_size = positive_int("block_size", block_size)
        self.n_blocks = positive_int("n_blocks", n_blocks)
        self._resident: ResidentCells | None = None

    def setup(self, stage: str | None = None) -> None:
        """Split the cells, unless they are already split; each part is in ascending order."""
        if not hasattr(self, "train_idx"):
            super().setup(stage)
            for name in ("train_idx", "val_idx", "test_idx"):
                setattr(self, name, np.sort(np.asarray(getattr(self, name), dtype=np.int64)))

    def state_dict(self) -> dict[str, Any]:
        """Seed and split, which a checkpoint of a training contains."""
        split = (self.train_idx, self.val_idx, self.test_idx)
        return {"seed": self.seed, "split": [torch.from_numpy(np.asarray(x)) for x in split]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue with the order and the split of a former training.

        Parameters
        ----------
        state_dict
            Result of :meth:`state_dict`.
        """
        self.seed = state_dict["seed"]
        split = (cells.cpu().numpy() for cells in state_dict["split"])
        self.train_idx, self.val_idx, self.test_idx = split
        self.n_train, self.n_val = len(self.train_idx), len(self.val_idx)

    def train_dataloader(self) -> AnnDataLoader | BlockLoader:
        """Data loader of the training cells."""
        loader = super().train_dataloader()
        known = len(self.train_idx), self.seed, lambda: self.trainer.current_epoch
        if not (loader.dataset.is_loaded or self.keep_on_device):
            batches = loader.sampler
            blocks = BlockOrder(*known, self.block_size, self.n_blocks)
            return BlockLoader(loader.dataset, blocks, batches.batch_size, batches.drop_last)
        order = EpochOrder(*known)
        # scvi-tools' loader accepts no order, and torch's draws from the global generator.
        loader.sampler.sampler = order
        return _with_own_generator(loader)

    def val_dataloader(self) -> AnnDataLoader | None:
        """Data loader of the validation cells, if there are any."""
        loader = super().val_dataloader()
        return None if loader is None else _with_own_generator(loader)

    def transfer_batch_to_device(
        self, batch: dict[str, Any], device: torch.device, dataloader_idx: int
    ) -> dict[str, Any]:
        """Move a minibatch to the device, and note whether it has unknown labels or covariates."""
        if self.keep_on_device:
            if self._resident is None:
                self._resident = ResidentCells(self.adata_manager.batches(), device)
            return {"cells": batch["cells"].to(device, non_blocking=True)}
        batch = {**batch, "has_unknown": find_unknown(batch)}
        if device.type == "cpu":  # nothing to transfer
            return batch
        return super().transfer_batch_to_device(batch, device, dataloader_idx)

    def assemble(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Complete a minibatch of indices from the data on the device.

        Parameters
        ----------
        batch
            Minibatch of a data loader, on the device; returned as it is if it is complete.
        """
        return batch if self._resident is None else self._resident.take(batch["cells"])


def _with_own_generator(loader: AnnDataLoader) -> AnnDataLoader:
    """Draw the seeds of worker processes from a generator other than torch's global one."""
    loader.generator = torch.Generator().manual_seed(0)
    return loader
