"""Results in the slots of AnnData and MuData that scanpy and muon use."""

from __future__ import annotations

import pandas as pd
from anndata import AnnData
from mudata import MuData

from multiDGD.latent import GaussianMixtureSupervised
from multiDGD.model.labels._predict import LabelMixin

from ._latent import LatentMixin


class AnnotationMixin(LatentMixin, LabelMixin):
    """Annotation of an object with results for its cells."""

    def annotate(self, adata: AnnData | MuData | None = None, *, prefix: str = "multidgd") -> None:
        """Write representations, components and labels of all cells to their object.

        ========================================  =================================================
        key                                       result
        ========================================  =================================================
        ``obsm["X_multidgd"]``                    :meth:`get_latent_representation`
        ``obsm["X_multidgd_<covariate>"]``        :meth:`get_covariate_representation`, for each
                                                  modelled covariate
        ``obs["multidgd_component"]``             :meth:`get_cluster_assignments`, as categories
        ``obs["multidgd_label"]``                 :meth:`predict`, if labels supervise the mixture
        ========================================  =================================================

        Existing entries under these keys are replaced.

        Parameters
        ----------
        adata
            AnnData or MuData with the cells, changed in place; the data of the model by default.
        prefix
            Replacement for ``multidgd`` in the keys, for the results of several models.

        Raises
        ------
        ValueError
            If ``adata`` is a view, or is missing in a model that was loaded without data.

        Examples
        --------
        >>> model.annotate()  # doctest: +SKIP
        >>> sc.pp.neighbors(mdata, use_rep="X_multidgd")  # doctest: +SKIP
        """
        # Unlike `self.adata`, this raises a helpful error if the model was loaded without data.
        data = self._manager_of(None).adata if adata is None else adata
        if data.is_view:
            raise ValueError(
                "`adata` is a view, and results written to a view are lost. Copy it first."
            )
        data.obsm[f"X_{prefix}"] = self.get_latent_representation(adata)
        for key in self.module.covariates:
            data.obsm[f"X_{prefix}_{key}"] = self.get_covariate_representation(key, adata)
        component = pd.Series(self.get_cluster_assignments(adata))
        names = [str(k) for k in sorted(component.unique())]
        data.obs[f"{prefix}_component"] = pd.Categorical(component.astype(str), names)
        if isinstance(self.module.mixture, GaussianMixtureSupervised):
            labels = [str(label) for label in self.summary.labels]
            predicted = self.predict(adata).astype(str)
            data.obs[f"{prefix}_label"] = pd.Categorical(predicted, labels)
