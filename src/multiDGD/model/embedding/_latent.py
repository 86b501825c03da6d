"""Representations and mixture components of cells."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, overload

import numpy as np
import pandas as pd
import torch
from anndata import AnnData
from mudata import MuData
from torch import Tensor

from multiDGD.model.core._output_array import check_out, new_array, write_rows
from multiDGD.model.core._posterior import PosteriorMixin
from multiDGD.model.core._random import resolve_seed
from multiDGD.model.core._representations import as_positions


class LatentMixin(PosteriorMixin):
    """Representations and mixture components of cells."""

    def _named_representation(
        self,
        adata: AnnData | MuData | None,
        indices: Sequence[int] | None,
        batch_size: int | None = None,
        silent: bool = True,
    ) -> tuple[pd.Index, Tensor]:
        """Names and representations of cells; of training cells in a model without data."""
        if adata is None and self.adata is None and self.is_trained_:
            table = self.module.representations.z.detach().cpu()
            cells = as_positions(indices, len(table))
            return pd.Index(self.cell_names_[cells]), table[cells]
        manager = self._manager_of(adata)
        cells, w = self._representation(manager, indices, batch_size, silent)
        return manager.adata.obs_names[cells], w

    @overload
    def get_latent_representation(
        self,
        adata: AnnData | MuData | None = None,
        indices: Sequence[int] | None = None,
        batch_size: int | None = None,
        return_dist: Literal[False] = False,
        give_mean: bool = True,
        silent: bool = False,
        out: str | Path | None = None,
    ) -> np.ndarray: ...

    @overload
    def get_latent_representation(
        self,
        adata: AnnData | MuData | None = None,
        indices: Sequence[int] | None = None,
        batch_size: int | None = None,
        *,
        return_dist: Literal[True],
        give_mean: bool = True,
        silent: bool = False,
        out: str | Path | None = None,
    ) -> tuple[np.ndarray, np.ndarray]: ...

    def get_latent_representation(
        self,
        adata: AnnData | MuData | None = None,
        indices: Sequence[int] | None = None,
        batch_size: int | None = None,
        return_dist: bool = False,
        give_mean: bool = True,
        silent: bool = False,
        out: str | Path | None = None,
    ) -> np.ndarray | tuple[np.ndarray, np.ndarray]:
        """Return the basal representation z of each cell.

        Training cells are recognised by name and counts in any subset, order, view or copy, and
        keep their trained representations. The representation of any other cell is its MAP
        estimate, with all other parameters frozen.

        Parameters
        ----------
        adata
            AnnData or MuData with the cells; the data of the model by default. If the model was
            loaded without data, the default cells are the training cells.
        indices
            Positions or a mask of the cells to return; all by default.
        batch_size
            Number of cells in a minibatch; ``scvi.settings.batch_size`` by default.
        return_dist
            Whether to return the mean and variance of the posterior, in a Laplace approximation
            around the MAP estimate. The variance is larger for cells with fewer counts. The
            approximation is local: it ignores other mixture components that could explain the cell
            as well.
        give_mean
            Whether to return the MAP estimate, the mean of this posterior. Otherwise, one draw
            from it is returned, with ``scvi.settings.seed``.
        silent
            Whether to hide the progress bars.
        out
            File or folder for the array, as for :meth:`get_normalized_expression`. Not with
            ``return_dist``.

        Returns
        -------
        Array of shape ``(n_cells, n_latent)``; two such arrays with ``return_dist``.

        Raises
        ------
        RuntimeError
            If the model is not trained.
        ValueError
            If ``out`` exists, has another suffix, or is combined with ``return_dist``.
        TypeError
            If an argument of scvi-tools has another form here.

        Examples
        --------
        >>> adata.obsm["X_multidgd"] = model.get_latent_representation()  # doctest: +SKIP
        """
        n_latent = self.module.n_latent
        if return_dist and out is not None:
            raise ValueError("`out` is for one array: leave out `return_dist`.")
        check_out(out)
        if return_dist:
            empty = torch.zeros(2, 0, n_latent, dtype=torch.float32)
            found = self._posteriors(self._manager_of(adata), indices, batch_size, silent)
            moments = [torch.stack([p.mean, p.variance])[..., :n_latent].cpu() for _, p in found]
            mean, variance = torch.cat([empty, *moments], dim=1).numpy()
            return mean, variance
        if not give_mean:
            manager = self._manager_of(adata)
            (w,) = self._posterior_samples(manager, indices, 1, batch_size, resolve_seed(), silent)
        else:
            _, w = self._named_representation(adata, indices, batch_size, silent)
        z_nl = w[:, :n_latent].numpy()
        if out is None:
            return z_nl
        with new_array(z_nl.shape, out) as array:
            write_rows(array, [z_nl])
        return array

    def get_covariate_representation(
        self,
        key: str | None = None,
        adata: AnnData | MuData | None = None,
        indices: Sequence[int] | None = None,
    ) -> np.ndarray:
        """Return the representation of each cell for one categorical covariate.

        Parameters
        ----------
        key
            Column registered as ``batch_key`` or in ``categorical_covariate_keys``. Optional if
            there is only one.
        adata, indices
            As for :meth:`get_latent_representation`.

        Returns
        -------
        Array of shape ``(n_cells, n_covariate_latent)``.

        Raises
        ------
        ValueError
            If ``key`` is not a modelled covariate, or is missing although there are several.

        Examples
        --------
        >>> u = model.get_covariate_representation("donor")  # doctest: +SKIP
        """
        names = self.module.covariates
        if key is None and len(names) == 1:
            key = names[0]
        if key not in names:
            raise ValueError(
                f"`key` must be one of the modelled covariates {names}, found {key!r}."
            )
        _, w = self._named_representation(adata, indices)
        return self.module.split(w)[1][names.index(key)].numpy()

    @torch.inference_mode()
    def get_cluster_assignments(
        self,
        adata: AnnData | MuData | None = None,
        indices: Sequence[int] | None = None,
        soft: bool = False,
    ) -> np.ndarray | pd.DataFrame:
        """Return the mixture component of each cell.

        Parameters
        ----------
        adata, indices
            As for :meth:`get_latent_representation`.
        soft
            Whether to return the posterior probabilities of all components at the MAP estimate,
            instead of the most probable component.

        Returns
        -------
        Integers of shape ``(n_cells,)``; with ``soft``, a table of probabilities with a row for
        each cell and a column for each component.

        Examples
        --------
        >>> component = model.get_cluster_assignments()  # doctest: +SKIP
        """
        names, w = self._named_representation(adata, indices)
        z_nl = w[:, : self.module.n_latent].to(self.module.device)
        if not soft:
            return self.module.mixture.clustering(z_nl).cpu().numpy()
        probability_nk = self.module.mixture.component_log_prob(z_nl).softmax(1)
        components = pd.RangeIndex(probability_nk.shape[1], name="component")
        return pd.DataFrame(probability_nk.cpu().numpy(), index=names, columns=components)
