"""Probabilities that regions are open."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from anndata import AnnData
from mudata import MuData
from scipy.sparse import csr_matrix, vstack

from multiDGD._checks import finite
from multiDGD.model.core._representations import as_positions

from ._decoding import DecodingMixin, LibrarySize

# Cells whose dense values are in memory at once.
_BLOCK_CELLS = 1024


class AccessibilityMixin(DecodingMixin):
    """Probabilities that regions are open."""

    @torch.inference_mode()
    def get_accessibility_estimates(
        self,
        adata: AnnData | MuData | None = None,
        indices: Sequence[int] | None = None,
        modality: str | None = None,
        region_list: Sequence[str] | None = None,
        library_size: LibrarySize | None = None,
        transform_batch: str | int | Sequence[str | int] | None = None,
        n_samples: int | None = None,
        return_mean: bool = True,
        batch_size: int | None = None,
        return_numpy: bool = False,
        out: str | Path | None = None,
        silent: bool = True,
    ) -> pd.DataFrame | np.ndarray:
        """Estimate the probability that each region is detected as open, ``p(count > 0)``.

        Parameters
        ----------
        adata
            Cells; those of the model by default.
        indices
            Positions or a mask of the selected cells; all by default.
        modality
            Name of the modality; by default the last one that consists of peaks, by its name
            (such as ``atac``) or those of its features (such as ``chr1:100-200``).
        region_list
            Names of the regions to return; all by default.
        library_size
            Total count at which the cells are compared; the median of the training cells by
            default. ``"latent"`` uses the cell's own library size where the modality was
            measured.
        transform_batch, n_samples, return_mean
            As for :meth:`get_normalized_expression`.
        batch_size
            Number of cells in a minibatch; ``scvi.settings.batch_size`` by default.
        return_numpy, out, silent
            As for :meth:`get_normalized_expression`.

        Returns
        -------
        Probabilities, shape ``(n_cells, n_regions)``. All draws have shape
        ``(n_samples, n_cells, n_regions)``.

        Raises
        ------
        ValueError
            If no modality consists of peaks, or as for :meth:`get_normalized_expression`.

        Examples
        --------
        >>> is_open = model.get_accessibility_estimates(modality="atac")  # doctest: +SKIP
        """
        modality = self._modality_of_peaks(modality)
        return self._decoded_table(
            lambda likelihood, mean_nf, library_n, cells: (
                -torch.expm1(likelihood.log_prob_zero(mean_nf))
            ),
            modality,
            self._features(modality, "region_list", region_list),
            adata=adata,
            indices=indices,
            library_size="median" if library_size is None else library_size,
            transform_batch=transform_batch,
            n_samples=n_samples,
            return_mean=return_mean,
            batch_size=batch_size,
            return_numpy=return_numpy,
            out=out,
            silent=silent,
        )

    def get_normalized_accessibility(
        self,
        adata: AnnData | MuData | None = None,
        indices: Sequence[int] | None = None,
        n_samples_overall: int | None = None,
        region_list: Sequence[str] | None = None,
        transform_batch: str | int | Sequence[str | int] | None = None,
        use_z_mean: bool = True,
        threshold: float | None = None,
        normalize_cells: bool = False,
        normalize_regions: bool = False,
        batch_size: int | None = None,
        return_numpy: bool = False,
        modality: str | None = None,
        silent: bool = True,
    ) -> pd.DataFrame | np.ndarray | csr_matrix:
        """Estimate the probability that each region is open, with the arguments of PEAKVI.

        The probabilities are those of :meth:`get_accessibility_estimates`.

        Parameters
        ----------
        adata, indices
            As for :meth:`get_latent_representation`.
        n_samples_overall
            Number of cells to draw, with replacement and ``scvi.settings.seed``, from the
            selected ones. By default, each selected cell is decoded once.
        region_list
            Names of the regions to return; all by default.
        transform_batch
            As for :meth:`get_normalized_expression`.
        use_z_mean
            Whether to decode the MAP estimate. Otherwise, one draw from the posterior is decoded.
        threshold
            Probabilities below it are replaced by 0 and the result is sparse, which saves memory.
            Between 0 and 1.
        normalize_cells
            Whether to return probabilities at the cell's own total count instead of the median of
            the training cells.
        normalize_regions
            Accepted as in PEAKVI; it has no effect, since the probabilities always include the
            level of each region.
        batch_size
            Number of cells in a minibatch; ``scvi.settings.batch_size`` by default.
        return_numpy
            Return an array, or a sparse matrix with ``threshold``, instead of a table.
        modality
            As for :meth:`get_accessibility_estimates`.
        silent
            Whether to hide the progress bars.

        Returns
        -------
        Probabilities, shape ``(n_cells, n_regions)``. With ``threshold``, a table of sparse
        columns or, with ``return_numpy``, a :class:`scipy.sparse.csr_matrix`.

        Raises
        ------
        ValueError
            If no modality consists of peaks, ``threshold`` is not between 0 and 1, or as for
            :meth:`get_normalized_expression`.

        Examples
        --------
        >>> is_open = model.get_normalized_accessibility(threshold=0.1)  # doctest: +SKIP
        """
        if threshold is not None and not 0 <= finite("threshold", threshold) <= 1:
            raise ValueError(f"`threshold` must be between 0 and 1, found {threshold}.")
        modality = self._modality_of_peaks(modality)
        features = self._features(modality, "region_list", region_list)
        manager = self._manager_of(adata)
        cells = as_positions(indices, manager.adata.n_obs)
        if n_samples_overall is not None:
            cells = self._drawn_cells(adata, indices, n_samples_overall)

        def estimates(part: np.ndarray) -> np.ndarray:
            return self.get_accessibility_estimates(
                adata,
                part.tolist(),
                modality,
                region_list,
                "latent" if normalize_cells else None,
                transform_batch,
                None if use_z_mean else 1,
                batch_size=batch_size,
                return_numpy=True,
                silent=silent,
            )

        if threshold is None:
            dense = estimates(cells)
            return (
                dense
                if return_numpy
                else self._table(dense, manager, cells.tolist(), modality, features)
            )
        parts = [csr_matrix((0, len(features)), dtype=np.float32)]
        for first in range(0, len(cells), _BLOCK_CELLS):
            part = estimates(cells[first : first + _BLOCK_CELLS])
            part[part < threshold] = 0
            parts.append(csr_matrix(part))
        sparse = vstack(parts, format="csr")
        if return_numpy:
            return sparse
        return pd.DataFrame.sparse.from_spmatrix(
            sparse,
            index=manager.adata.obs_names[cells],
            columns=self.summary.features[modality][features],
        )
