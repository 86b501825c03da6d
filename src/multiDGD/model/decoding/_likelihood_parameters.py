"""Parameters of the likelihoods of cells, and their library sizes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import torch
from anndata import AnnData
from mudata import MuData

from ._decoding import DecodingMixin, decoded_mean

Parameters: TypeAlias = dict[str, np.ndarray]
# Cells whose parameters are computed at a time.
_BLOCK_CELLS = 1024


class LikelihoodParameterMixin(DecodingMixin):
    """Parameters of the likelihoods of cells, and their library sizes."""

    @torch.inference_mode()
    def get_likelihood_parameters(
        self,
        adata: AnnData | MuData | None = None,
        indices: Sequence[int] | None = None,
        n_samples: int | None = None,
        give_mean: bool = False,
        batch_size: int | None = None,
        modality: str | None = None,
        silent: bool = True,
    ) -> Parameters | dict[str, Parameters]:
        """Return the parameters of the likelihood of each count, at the cell's library size.

        Parameters
        ----------
        adata, indices
            As for :meth:`get_latent_representation`.
        n_samples
            Number of draws from the posterior of representations and decoder, with
            ``scvi.settings.seed``. By default, the MAP estimate is decoded.
        give_mean
            Whether to average the parameters over the draws.
        batch_size
            Number of cells in a minibatch; ``scvi.settings.batch_size`` by default.
        modality
            Name of the modality; all by default.
        silent
            Whether to hide the progress bars.

        Returns
        -------
        Arrays of shape ``(n_cells, n_features)``, or ``(n_samples, n_cells, n_features)`` for
        several draws without ``give_mean``:

        - ``"mean"``: mean counts;
        - ``"dispersions"``, for ``"nb"``: r, with the variance ``mean + mean**2 / r``;
        - for ``"protein"``: ``"mixing"``, the probability of the background, and
          ``"mean_background"``, ``"mean_foreground"``, ``"dispersions_background"`` and
          ``"dispersions_foreground"`` of both components.

        If there are several modalities and none is named, a dictionary of these by modality.

        Raises
        ------
        ValueError
            If the modality does not exist or ``n_samples`` is below 1.

        Examples
        --------
        >>> model.get_likelihood_parameters(modality="rna")["dispersions"]  # doctest: +SKIP
        """
        modalities = self.module.modalities if modality is None else [self._modality(modality)]
        found = {
            m: self._parameters_of(m, adata, indices, n_samples, give_mean, batch_size, silent)
            for m in modalities
        }
        return found if len(found) > 1 else next(iter(found.values()))

    def _parameters_of(
        self,
        modality: str,
        adata: AnnData | MuData | None,
        indices: Sequence[int] | None,
        n_samples: int | None,
        give_mean: bool,
        batch_size: int | None,
        silent: bool,
    ) -> Parameters:
        """Parameters of one modality."""
        n_features = self.summary.n_features[modality]
        mean = self._decoded_table(
            decoded_mean,
            modality,
            np.arange(n_features),
            adata=adata,
            indices=indices,
            library_size="latent",
            transform_batch=None,
            n_samples=n_samples,
            return_mean=False,
            batch_size=batch_size,
            return_numpy=True,
            out=None,
            silent=silent,
        )
        likelihood = self.module.likelihood(modality)
        mean_nf = torch.from_numpy(np.asarray(mean)).view(-1, n_features)
        parts: dict[str, list[np.ndarray]] = {}
        for part in mean_nf.split(_BLOCK_CELLS):
            found = likelihood.distribution_parameters(part.to(self.module.device))
            for name, value in found.items():
                parts.setdefault(name, []).append(value.cpu().numpy())
        n_draws = n_samples or 1
        arrays = {
            name: np.concatenate(rows).reshape(n_draws, -1, n_features)
            for name, rows in parts.items()
        }
        if n_draws == 1:
            return {name: array[0] for name, array in arrays.items()}
        return {name: x.mean(0) for name, x in arrays.items()} if give_mean else arrays

    def get_latent_library_size(
        self,
        adata: AnnData | MuData | None = None,
        indices: Sequence[int] | None = None,
        give_mean: bool = True,
        batch_size: int | None = None,
        modality: str | None = None,
    ) -> np.ndarray | dict[str, np.ndarray]:
        """Return the library size of each cell in one modality.

        It is the total count of the cell, extrapolated to features that its panel lacks. Where
        the modality was not measured, it is the median of the training cells.

        Parameters
        ----------
        adata, indices
            As for :meth:`get_latent_representation`.
        give_mean
            Accepted as in scvi-tools; it has no effect, since library sizes are observed.
        batch_size
            Number of cells in a minibatch; ``scvi.settings.batch_size`` by default.
        modality
            Name of the modality; all by default.

        Returns
        -------
        Array of shape ``(n_cells, 1)``. If there are several modalities and none is named, a
        dictionary of these by modality.

        Raises
        ------
        ValueError
            If the modality does not exist.

        Examples
        --------
        >>> model.get_latent_library_size(modality="prot")  # doctest: +SKIP
        """
        modalities = self.module.modalities if modality is None else [self._modality(modality)]
        manager = self._manager_of(adata)
        library_nm = self._complete_libraries(manager, indices, batch_size)
        found = {m: self._library_or_median(library_nm, m).numpy()[:, None] for m in modalities}
        return found if len(found) > 1 else next(iter(found.values()))
