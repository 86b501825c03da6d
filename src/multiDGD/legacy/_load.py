"""Build a model from the files of the first implementation."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pandas as pd
import torch
from anndata import AnnData
from mudata import MuData
from torch import Tensor

from multiDGD.data import logger
from multiDGD.train import initialise_at_zero

from ._checkpoint import SPLIT_KEY, LegacyCheckpoint, read_checkpoint, read_split
from ._data import category_codes, match_modalities, setup_arguments

M = TypeVar("M")


def load_legacy(model_class: type[M], folder: str | Path, name: str, adata: AnnData | MuData) -> M:
    """Build a trained model from the files of the first implementation.

    Parameters
    ----------
    model_class
        :class:`multiDGD.MultiDGD` or a subclass.
    folder, name, adata
        As for :meth:`multiDGD.MultiDGD.load_legacy`.
    """
    cls: Any = model_class
    if not isinstance(adata, AnnData | MuData):
        raise ValueError(
            f"`adata` must be the AnnData or MuData of training, found {type(adata).__name__}."
        )
    checkpoint = read_checkpoint(folder, name)
    manager = cls._get_most_recent_anndata_manager(adata)
    if manager is None:
        method, arguments = setup_arguments(checkpoint, adata)
        getattr(cls, method)(adata, **arguments)
        manager = cls._get_most_recent_anndata_manager(adata, required=True)
    summary = manager.summary
    modalities = match_modalities(summary.n_features, checkpoint.n_features)
    cells = cells_of_parts(checkpoint, adata, read_split(folder))
    codes = category_codes(checkpoint, summary, adata.obs, _present(cells["train"]))
    state = checkpoint.state_for(modalities, codes)
    model = cls(adata, **checkpoint.model_args)
    _install(model, checkpoint, state, cells)
    return model


def _install(
    model: Any,
    checkpoint: LegacyCheckpoint,
    state: Mapping[str, Tensor],
    cells: Mapping[str, np.ndarray],
) -> None:
    """Install parameters and representations, then learn the rest from the training cells."""
    model.train_indices_ = np.sort(_present(cells["train"]))
    model.validation_indices_ = np.sort(_present(cells["validation"]))
    model.test_indices_ = np.sort(_present(cells["test"]))
    initialise_at_zero(model.module)
    check_state(checkpoint.file, state, model.module.state_dict())
    model.module.load_state_dict(state, strict=False)
    model.module.eval()
    model._identify_cells()
    others = np.ones(model.adata.n_obs, dtype=bool)
    table = model.module.representations.z
    for part, w in checkpoint.representations.items():
        if len(w) != len(cells[part]):
            logger.info("The %s cells of %s are other ones.", part, checkpoint.file)
            continue
        positions = _present(cells[part])
        with torch.no_grad():
            table[torch.from_numpy(positions)] = w[torch.from_numpy(cells[part] >= 0)]
        others[positions] = False
    if others.any():
        logger.info("Placing %d cells that %s does not have.", others.sum(), checkpoint.file)
        model._store_inferred(np.flatnonzero(others))
    model.history_ = {}
    model.is_initialised_ = model.is_trained_ = True
    # The first implementation had weight decay, which is no prior.
    model._learn(weight_precision=0.0)


def _present(positions: np.ndarray) -> np.ndarray:
    return positions[positions >= 0]


def cells_of_parts(
    checkpoint: LegacyCheckpoint, adata: AnnData | MuData, split: pd.Series | None
) -> dict[str, np.ndarray]:
    """Positions in ``adata`` of the cells of each part, -1 where a cell is not there.

    Parameters
    ----------
    checkpoint
        With the representations, which are in the same order.
    adata
        The cells.
    split
        Part of each cell, by its name; `None` to take it from ``adata.obs``.

    Raises
    ------
    ValueError
        If the number of training or validation cells is not that of the checkpoint, or no
        training cell is in ``adata``. Test cells may be others: the first implementation keeps
        those it was last asked about.
    """
    if split is None:
        if SPLIT_KEY not in adata.obs:
            raise ValueError(
                f"Which cells were trained on is not known: there is no '_obs.csv' beside "
                f"{checkpoint.file} and no column {SPLIT_KEY!r} in `adata.obs`. Give one of them."
            )
        split = adata.obs[SPLIT_KEY]
    found = {}
    for part in ("train", "validation", "test"):
        names = split.index[split == part]
        w = checkpoint.representations.get(part)
        if w is not None and part != "test" and len(w) != len(names):
            raise ValueError(
                f"{checkpoint.file} has {len(w)} {part} cells, {SPLIT_KEY!r} names {len(names)}: "
                "'_obs.csv' (or, without it, `adata`) is not that of this model."
            )
        found[part] = adata.obs_names.get_indexer(names)
    if (found["train"] < 0).all():
        raise ValueError(
            f"`adata` has none of the {len(found['train'])} cells that {checkpoint.file} was "
            f"trained on: {list(split.index[:3])} are not among {list(adata.obs_names[:3])}. Load "
            "it with the training data, then map other cells with `MultiDGD.load_query_data`."
        )
    return found


def check_state(file: Path, found: Mapping[str, Any], needed: Mapping[str, Any]) -> None:
    """Raise if parameters do not fit a module.

    Parameters
    ----------
    file
        Where they were read.
    found
        The parameters.
    needed
        Those that the module has; what is not of a decoder, mixture or likelihood is its own.

    Raises
    ------
    ValueError
        Naming what is missing, too much or of another shape.
    """
    of_parts = ("decoder", "mixture", "likelihoods", "covariate_mixtures")
    needed = {k: v for k, v in needed.items() if k.split(".")[0] in of_parts}
    wrong = [f"{key} is missing" for key in needed if key not in found]
    wrong += [f"{key} has no place" for key in found if key not in needed]
    wrong += [
        f"{key} has shape {tuple(found[key].shape)} and not {tuple(value.shape)}"
        for key, value in needed.items()
        if key in found and found[key].shape != value.shape
    ]
    if wrong:
        raise ValueError(
            f"{file} does not hold the model that its hyperparameters describe: "
            f"{'; '.join(wrong[:3])}{', ...' if len(wrong) > 3 else ''}."
        )
