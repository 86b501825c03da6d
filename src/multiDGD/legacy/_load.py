"""Construction of a model from the files of the first implementation."""

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
            "`adata` must be the AnnData or MuData with the training cells, found "
            f"{type(adata).__name__}."
        )
    checkpoint = read_checkpoint(folder, name)
    manager = cls._get_most_recent_anndata_manager(adata)
    if manager is None:
        method, arguments = setup_arguments(checkpoint, adata)
        getattr(cls, method)(adata, **arguments)
        manager = cls._get_most_recent_anndata_manager(adata, required=True)
    summary = manager.summary
    modalities = match_modalities(summary.n_features, checkpoint.n_features)
    cells = split_positions(checkpoint, adata, read_split(folder))
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
    """Set parameters and representations, then compute statistics of the training cells."""
    model.train_indices_ = np.sort(_present(cells["train"]))
    model.validation_indices_ = np.sort(_present(cells["validation"]))
    model.test_indices_ = np.sort(_present(cells["test"]))
    initialise_at_zero(model.module)
    check_state(checkpoint.file, state, model.module.state_dict())
    model.module.load_state_dict(state, strict=False)
    model.module.eval()
    model._identify_cells()
    is_missing = np.ones(model.adata.n_obs, dtype=bool)
    table = model.module.representations.z
    for part, w in checkpoint.representations.items():
        if len(w) != len(cells[part]):
            logger.info(
                "The number of %s cells differs in %s; their representations are ignored.",
                part,
                checkpoint.file,
            )
            continue
        positions = _present(cells[part])
        with torch.no_grad():
            table[torch.from_numpy(positions)] = w[torch.from_numpy(cells[part] >= 0)]
        is_missing[positions] = False
    if is_missing.any():
        logger.info(
            "Embedding %d cells without a representation in %s.",
            is_missing.sum(),
            checkpoint.file,
        )
        model._store_inferred(np.flatnonzero(is_missing))
    model.history_ = {}
    model.is_initialised_ = model.is_trained_ = True
    # The weight decay of the first implementation does not correspond to a prior.
    model._learn(weight_precision=0.0)


def _present(positions: np.ndarray) -> np.ndarray:
    """Positions of the cells that exist in the data."""
    return positions[positions >= 0]


def split_positions(
    checkpoint: LegacyCheckpoint, adata: AnnData | MuData, split: pd.Series | None
) -> dict[str, np.ndarray]:
    """Return the positions in ``adata`` of the cells of each part, -1 for cells not in it.

    Parameters
    ----------
    checkpoint
        Checkpoint with the representations, which have the same order.
    adata
        Training cells and possibly others.
    split
        Part of each cell by its name; `None` to use the column of ``adata.obs``.

    Raises
    ------
    ValueError
        If the number of training or validation cells differs from the checkpoint, or no training
        cell is in ``adata``. Test cells may differ, because the first implementation stores the
        cells of its last prediction.
    """
    if split is None:
        if SPLIT_KEY not in adata.obs:
            raise ValueError(
                f"The training cells are unknown: found no '_obs.csv' next to {checkpoint.file} "
                f"and no column {SPLIT_KEY!r} in `adata.obs`. Provide one of them."
            )
        split = adata.obs[SPLIT_KEY]
    found = {}
    for part in ("train", "validation", "test"):
        names = split.index[split == part]
        w = checkpoint.representations.get(part)
        if w is not None and part != "test" and len(w) != len(names):
            raise ValueError(
                f"{checkpoint.file} has {len(w)} {part} cells, but {SPLIT_KEY!r} has "
                f"{len(names)}: '_obs.csv' (or, without it, `adata`) does not belong to this "
                "model."
            )
        found[part] = adata.obs_names.get_indexer(names)
    if (found["train"] < 0).all():
        raise ValueError(
            f"`adata` contains none of the {len(found['train'])} training cells of "
            f"{checkpoint.file}: expected names such as {list(split.index[:3])}, found "
            f"{list(adata.obs_names[:3])}. Load the model with its training data, then map other "
            "cells with `MultiDGD.load_query_data`."
        )
    return found


def check_state(file: Path, found: Mapping[str, Any], expected: Mapping[str, Any]) -> None:
    """Raise if parameters do not fit a module.

    Parameters
    ----------
    file
        File of the parameters, for the message.
    found
        Parameters of the file.
    expected
        Parameters of the module. Only those of decoder, mixtures and likelihoods are compared.

    Raises
    ------
    ValueError
        If parameters are missing, unexpected or of another shape.
    """
    prefixes = ("decoder", "mixture", "likelihoods", "covariate_mixtures")
    expected = {k: v for k, v in expected.items() if k.split(".")[0] in prefixes}
    wrong = [f"{key} is missing" for key in expected if key not in found]
    wrong += [f"{key} is unexpected" for key in found if key not in expected]
    wrong += [
        f"{key} has shape {tuple(found[key].shape)}, expected {tuple(value.shape)}"
        for key, value in expected.items()
        if key in found and found[key].shape != value.shape
    ]
    if wrong:
        raise ValueError(
            f"{file} does not match its hyperparameters: "
            f"{'; '.join(wrong[:3])}{', ...' if len(wrong) > 3 else ''}."
        )
