"""Results where scanpy and muon look for them."""

from __future__ import annotations

import pandas as pd
from anndata import AnnData
from mudata import MuData

from multiDGD.latent import GaussianMixtureSupervised
from multiDGD.model.labels._predict import LabelMixin

from ._latent import LatentMixin


class AnnotationMixin(LatentMixin, LabelMixin):
    """Writing what the model says of cells into their object."""

    def annotate(self, adata: AnnData | MuData | None = None, *, prefix: str = "multidgd") -> None:
        """Write representations, components and labels of all cells into their object.

        ========================================  ===================================================
        key                                       what it holds
        ========================================  ===================================================
        ``obsm["X_multidgd"]``                    :meth:`get_latent_representation`
        ``obsm["X_multidgd_<covariate>"]``        :meth:`get_covariate_representation`, for every
                                                  covariate that is modelled
        ``obs["multidgd_component"]``             :meth:`get_cluster_assignments`, as categories
        ``obs["multidgd_label"]``                 :meth:`predict`, where labels supervise the mixture
        ========================================  ===================================================

        What is there under these keys is replaced.

        Parameters
        ----------
        adata
            Cells; those of the model by default. An AnnData or MuData, changed in place.
        prefix
            Used in the keys in place of ``multidgd``, to keep the results of several models.

        Raises
        ------
        ValueError
            If ``adata`` is a view, which cannot hold results, or is not given to a model that was
            loaded without data.

        Examples
        --------
        >>> model.annotate()  # doctest: +SKIP
        >>> sc.pp.neighbors(mdata, use_rep="X_multidgd")  # doctest: +SKIP
        """
        # The manager is asked because it says what is wrong with a model that has no cells.
        data = self._manager_of(None).adata if adata is None else adata
        if data.is_view:
            raise ValueError("`adata` is a view: what is written into it is lost. Copy it first.")
        data.obsm[f"X_{prefix}"] = self.get_latent_representation(adata)
        for key in self.module.covariates:
            data.obsm[f"X_{prefix}_{key}"] = self.get_covariate_representation(key, adata)
        component = pd.Series(self.get_cluster_assignments(adata))
        names = [str(k) for k in sorted(component.unique())]
        data.obs[f"{prefix}_component"] = pd.Categorical(component.astype(str), names)
        if isinstance(self.module.mixture, GaussianMixtureSupervised):
            labels = [str(label) for label in self.summary.labels]
            found = self.predict(adata).astype(str)
            data.obs[f"{prefix}_label"] = pd.Categorical(found, labels)
