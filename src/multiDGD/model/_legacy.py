"""Models of the first implementation."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
import torch
from anndata import AnnData
from mudata import MuData
from torch import Tensor

from multiDGD.data import logger

from ._legacy_checkpoint import SPLIT_KEY, LegacyCheckpoint, read_checkpoint, read_split
from ._legacy_data import category_codes, match_modalities, setup_arguments
from ._training import TrainingMixin


class LegacyMixin(TrainingMixin):
    """Opening what the first implementation saved."""

    @classmethod
    def load_legacy(
        cls, folder: str | Path, name: str = "dgd", *, adata: AnnData | MuData
    ) -> Self:
        """Open a model that was saved by the first implementation of multiDGD.

        Decoder, mixtures and the representations of all cells are those of the file. Cells of
        ``adata`` that it has none for are placed as any new cells. The result is like any other
        model: new cells can be mapped to it, and :meth:`save` writes it in the format of this
        package. Its mixture knows no labels, so :meth:`predict` is not for it;
        :meth:`get_component_summary` says which labels its components hold.

        Parameters
        ----------
        folder
            Folder with ``<name>.pt``, ``<name>_hyperparameters.json`` and ``_obs.csv``, which says
            what cells the model was trained on; without the last one ``adata.obs`` needs the
            column ``train_val_test``.
        name
            The model's name.
        adata
            The cells that the model was trained on, in any order; others may be among them. The
            files do not hold names of features, so these must come in the order of training. An
            object that is set up (:meth:`setup_anndata`, :meth:`setup_mudata`) is used as it is.
            Any other one is set up as the first implementation would: counts in ``X``, modalities
            by their names (``GEX`` and ``rna`` are the same, and so are ``ATAC`` and ``Peaks``;
            in an AnnData by the column ``modality`` or ``feature_types`` of ``var``), and the
            covariate in its column of ``obs``, with or without the prefix ``covariate_``.

        Returns
        -------
        The model, trained.

        Raises
        ------
        FileNotFoundError
            If a file is missing.
        ValueError
            If a file is not of the first implementation, or the model does not fit the data,
            saying how.

        Examples
        --------
        >>> model = MultiDGD.load_legacy("models/", "dgd", adata=mdata)  # doctest: +SKIP
        >>> mdata.obsm["X_multidgd"] = model.get_latent_representation()  # doctest: +SKIP
        """
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
        model._take_legacy(checkpoint, state, cells)
        return model

    def _take_legacy(
        self,
        checkpoint: LegacyCheckpoint,
        state: Mapping[str, Tensor],
        cells: Mapping[str, np.ndarray],
    ) -> None:
        """Take parameters and representations, then learn what else training would have."""
        self.train_indices_ = np.sort(_present(cells["train"]))
        self.validation_indices_ = np.sort(_present(cells["validation"]))
        self.test_indices_ = np.sort(_present(cells["test"]))
        # Sizes of libraries are noted there; its parameters are then replaced.
        self._start("zero", self.train_indices_)
        check_state(checkpoint.file, state, self.module.state_dict())
        self.module.load_state_dict(state, strict=False)
        self.module.eval()
        self._note_cells()
        others = np.ones(self.adata.n_obs, dtype=bool)
        table = self.module.representations.z
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
            self._infer_rows(np.flatnonzero(others))
        self.history_: dict[str, pd.DataFrame] = {}
        self.weight_precision_ = 0.0  # it had weight decay, which is no prior
        self.is_trained_ = True
        self._on_trained()


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
