"""What the latent space says of cells: representations, clusters, labels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from anndata import AnnData
from mudata import MuData
from torch import Tensor

from multiDGD.latent import GaussianMixtureSupervised

from ._cells import CellsMixin


class LatentMixin(CellsMixin):
    """Representations, components and labels of cells."""

    def _rows(
        self,
        adata: AnnData | MuData | None,
        indices: Sequence[int] | None,
        batch_size: int | None = None,
    ) -> tuple[pd.Index, Tensor]:
        if adata is None and self.adata is None and self.is_trained_:
            table = self.module.representations.z.detach().cpu()
            at = slice(None) if indices is None else np.asarray(indices)
            return pd.Index(self.cell_names_[at]), table[at]
        manager = self._manager_of(adata)
        cells, w = self._representation(manager, indices, batch_size)
        return manager.adata.obs_names[cells], w

    def get_latent_representation(
        self,
        adata: AnnData | MuData | None = None,
        indices: Sequence[int] | None = None,
        batch_size: int | None = None,
    ) -> np.ndarray:
        """Basal representation z of each cell.

        Training cells are recognised by name and counts, in whatever subset, order, view or copy
        they come. The representation of any other cell is found by maximum a posteriori with the
        model frozen.

        Parameters
        ----------
        adata
            Cells; those of the model by default. A model loaded without data then returns the
            training cells'.
        indices
            Positions (or a mask) of the cells to return, all by default.
        batch_size
            Cells handled at a time. Defaults to ``scvi.settings.batch_size``.

        Returns
        -------
        Shape ``(n_cells, n_latent)``.

        Raises
        ------
        RuntimeError
            If the model is not trained.

        Examples
        --------
        >>> adata.obsm["X_multidgd"] = model.get_latent_representation()  # doctest: +SKIP
        """
        _, w = self._rows(adata, indices, batch_size)
        return w[:, : self.module.n_latent].numpy()

    def get_covariate_representation(
        self,
        key: str | None = None,
        adata: AnnData | MuData | None = None,
        indices: Sequence[int] | None = None,
    ) -> np.ndarray:
        """Representation of each cell in one covariate.

        Parameters
        ----------
        key
            Column that was registered as ``batch_key`` or in ``categorical_covariate_keys``; may
            be left out if there is one.
        adata, indices
            As for :meth:`get_latent_representation`.

        Returns
        -------
        Shape ``(n_cells, n_covariate_latent)``.

        Raises
        ------
        ValueError
            If there is no such covariate, or several and ``key`` does not say which.
        """
        names = self.module.covariates
        if key is None and len(names) == 1:
            key = names[0]
        if key not in names:
            raise ValueError(
                f"`key` must be one of the modelled covariates {names}, found {key!r}."
            )
        _, w = self._rows(adata, indices)
        return self.module.split(w)[1][names.index(key)].numpy()

    @torch.inference_mode()
    def get_cluster_assignments(
        self,
        adata: AnnData | MuData | None = None,
        indices: Sequence[int] | None = None,
        soft: bool = False,
    ) -> np.ndarray:
        """Component of the mixture that each cell belongs to.

        Parameters
        ----------
        adata, indices
            As for :meth:`get_latent_representation`.
        soft
            Return the posterior over all components instead of the most probable one.

        Returns
        -------
        Shape ``(n_cells,)``, whole numbers; or ``(n_cells, n_components)``, rows that sum to 1.
        """
        _, w = self._rows(adata, indices)
        z_nl = w[:, : self.module.n_latent].to(self.module.device)
        if not soft:
            return self.module.mixture.clustering(z_nl).cpu().numpy()
        return self.module.mixture.component_log_prob(z_nl).softmax(1).cpu().numpy()

    @torch.inference_mode()
    def predict(
        self,
        adata: AnnData | MuData | None = None,
        indices: Sequence[int] | None = None,
        soft: bool = False,
    ) -> np.ndarray | pd.DataFrame:
        """Label of each cell by the supervised mixture.

        Parameters
        ----------
        adata, indices
            As for :meth:`get_latent_representation`.
        soft
            Return the probability of every label.

        Returns
        -------
        Labels, shape ``(n_cells,)``; or a table of cells by labels whose rows sum to 1.

        Raises
        ------
        ValueError
            If the mixture is not supervised.
        """
        mixture = self.module.mixture
        if not isinstance(mixture, GaussianMixtureSupervised):
            raise ValueError(
                "`predict` needs a supervised mixture: register `labels_key` and leave "
                "`supervised=True`."
            )
        names, w = self._rows(adata, indices)
        z_nl = w[:, : self.module.n_latent].to(self.module.device)
        log_prob = mixture.class_log_prob(z_nl).cpu()
        labels = self.summary.labels
        if soft:
            return pd.DataFrame(log_prob.exp().numpy(), index=names, columns=labels)
        return labels[log_prob.argmax(1).numpy()]
