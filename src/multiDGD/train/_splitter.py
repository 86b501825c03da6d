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
from ._shards import Shards


class CellSplitter(DataSplitter):
    """Data splitter of scvi-tools that splits only once, and orders cells by seed and epoch.

    The initialisation of a model uses the training cells before the trainer sets up the splitter.
    Both must get the same cells, even if no seed is set. The order of the cells in an epoch
    depends on ``seed`` and the epoch only, so that a resumed training visits them in the same
    order. In a training with several processes, all get the seed and the split of the first one,
    and each loads its own :class:`Shards` of the cells.

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
        self._is_loaded: bool | None = None

    def setup(self, stage: str | None = None) -> None:
        """Split the cells, unless they are already split; each part is in ascending order."""
        if not hasattr(self, "train_idx"):
            super().setup(stage)
            for name in ("train_idx", "val_idx", "test_idx"):
                setattr(self, name, np.sort(np.asarray(getattr(self, name), dtype=np.int64)))
        if self._n_processes > 1:
            self.load_state_dict(self.trainer.strategy.broadcast(self.state_dict()))

    @property
    def _n_processes(self) -> int:
        return 1 if self.trainer is None else self.trainer.world_size

    @property
    def _rank(self) -> int:
        return 0 if self.trainer is None else self.trainer.global_rank

    def _shards(self, cells: np.ndarray) -> Shards:
        if self._is_loaded is None:
            self._is_loaded = self.adata_manager.create_torch_dataset(cells).is_loaded
        batch_size = self.data_loader_kwargs["batch_size"]
        return Shards(cells, self._n_processes, batch_size, self.drop_last, not self._is_loaded)

    @property
    def owned_cells(self) -> np.ndarray:
        """Positions of the cells whose representations this process updates, ascending."""
        if self._n_processes == 1:
            return np.arange(self.adata_manager.adata.n_obs)
        visited = (self.train_idx, self.val_idx)
        parts = [self._shards(cells).of(self._rank) for cells in visited]
        # Nothing updates the test cells, but the table of all processes contains each cell once.
        return np.sort(np.concatenate([*parts, self.test_idx[: None if self._rank == 0 else 0]]))

    def n_cells_of_step(self, step: int) -> int:
        """Number of cells in the minibatches of all processes.

        Parameters
        ----------
        step
            Number of the step in its epoch, from 0.
        """
        return self._shards(self.train_idx).n_cells_of_step(step)

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
        """Data loader of the training cells of this process."""
        shards = self._shards(self.train_idx)
        loader = self._loader(shards.of(self._rank), shuffle=True, drop_last=self.drop_last)
        # Processes with the same order would always combine the same neighbours.
        seed = _seed_of(self.seed, self._rank) if self._rank else self.seed
        known = len(loader.indices), seed, lambda: self.trainer.current_epoch
        n_draws = shards.n_draws(self._rank)
        if not (loader.dataset.is_loaded or self.keep_on_device):
            batches = loader.sampler
            blocks = BlockOrder(*known, self.block_size, self.n_blocks, n_draws)
            return BlockLoader(loader.dataset, blocks, batches.batch_size, batches.drop_last)
        # scvi-tools' loader accepts no order, and torch's draws from the global generator.
        loader.sampler.sampler = EpochOrder(*known, n_draws)
        return loader

    def val_dataloader(self) -> AnnDataLoader | None:
        """Data loader of the validation cells of this process, if there are any."""
        cells = self._shards(self.val_idx).of(self._rank)
        return self._loader(cells, shuffle=False, drop_last=False) if len(cells) else None

    def _loader(self, cells: np.ndarray, shuffle: bool, drop_last: bool) -> AnnDataLoader:
        loader = self.data_loader_cls(
            self.adata_manager,
            indices=cells,
            shuffle=shuffle,
            drop_last=drop_last,
            pin_memory=self.pin_memory,
            **self.data_loader_kwargs,
        )
        # Seeds of worker processes come from a generator other than torch's global one.
        loader.generator = torch.Generator().manual_seed(0)
        return loader

    def transfer_batch_to_device(
        self, batch: dict[str, Any], device: torch.device, dataloader_idx: int
    ) -> dict[str, Any]:
        """Move a minibatch to the device, and note whether it has unknown labels or covariates."""
        if self.keep_on_device:
            if self._resident is None:
                own = self.owned_cells
                self._resident = ResidentCells(self.adata_manager.batches(own), device, own)
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


def _seed_of(*key: int) -> int:
    """Seed whose draws are independent of those of other keys."""
    return int(np.random.SeedSequence(key).generate_state(1)[0])
