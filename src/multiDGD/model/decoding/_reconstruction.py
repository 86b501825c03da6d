"""Reconstruction error of cells."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, overload

import numpy as np
import torch
from anndata import AnnData
from mudata import MuData

from multiDGD.model.core._representations import RepresentationMixin, as_positions


class ReconstructionMixin(RepresentationMixin):
    """Reconstruction error of cells."""

    @overload
    def get_reconstruction_error(
        self,
        adata: AnnData | MuData | None = None,
        indices: Sequence[int] | None = None,
        batch_size: int | None = None,
        return_mean: Literal[True] = True,
        silent: bool = True,
    ) -> dict[str, float]: ...

    @overload
    def get_reconstruction_error(
        self,
        adata: AnnData | MuData | None = None,
        indices: Sequence[int] | None = None,
        batch_size: int | None = None,
        *,
        return_mean: Literal[False],
        silent: bool = True,
    ) -> dict[str, np.ndarray]: ...

    @torch.inference_mode()
    def get_reconstruction_error(
        self,
        adata: AnnData | MuData | None = None,
        indices: Sequence[int] | None = None,
        batch_size: int | None = None,
        return_mean: bool = True,
        silent: bool = True,
    ) -> dict[str, float] | dict[str, np.ndarray]:
        """Compute the negative log-likelihood of the counts of each cell (nats).

        Parameters
        ----------
        adata
            Cells; those of the model by default.
        indices
            Positions or a mask of the selected cells; all by default.
        batch_size
            Number of cells in a minibatch; ``scvi.settings.batch_size`` by default.
        return_mean
            Whether to return means over cells instead of the values of each cell.
        silent
            Whether to hide the progress bars.

        Returns
        -------
        Dictionary with ``"reconstruction_loss"``, the sum over modalities, and
        ``"reconstruction_loss_<modality>"``. The former is the mean over all cells, the latter
        over the cells with counts in the modality. Without ``return_mean``, the entries are
        arrays of shape ``(n_cells,)``, with missing values (NaN) for cells without counts in the
        modality.

        Raises
        ------
        ValueError
            If no cell is selected.

        Examples
        --------
        >>> error = model.get_reconstruction_error()  # doctest: +SKIP
        >>> error["reconstruction_loss_rna"]  # doctest: +SKIP
        """
        manager = self._manager_of(adata)
        n_cells = len(as_positions(indices, manager.adata.n_obs))
        if not n_cells:
            raise ValueError("`indices` must contain at least one cell, found none.")
        panels = self._panels(manager)
        # Modalities that no panel measured have no entry.
        losses: dict[str, np.ndarray] = {}
        first = 0
        for batch, w in self._represented_batches(manager, indices, batch_size, silent):
            for here, subset, part, (w_part,) in panels.parts(batch, w):
                rows = first + here.cpu().numpy()
                logits = subset.module.generative(w_part, part["continuous"])["logits"]
                for m, loss in subset.module.reconstruction_loss(logits, part["counts"]).items():
                    is_measured = (part["counts"][m].library > 0).cpu().numpy()
                    column = losses.setdefault(m, np.full(n_cells, np.nan))
                    column[rows] = np.where(is_measured, loss.cpu().numpy(), np.nan)
            first += len(w)
        total = np.nansum([*losses.values(), np.zeros(n_cells)], axis=0)
        error = {"reconstruction_loss": total}
        error |= {
            f"reconstruction_loss_{m}": losses[m] for m in self.module.modalities if m in losses
        }
        if not return_mean:
            return error
        return {
            key: float(np.nan_to_num(value).sum() / max((~np.isnan(value)).sum(), 1))
            for key, value in error.items()
        }
