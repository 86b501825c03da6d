"""Results in the slots of AnnData and MuData that scanpy and muon use."""

from __future__ import annotations

import warnings
from pathlib import Path

import pandas as pd
from anndata import AnnData
from anndata.io import write_elem
from mudata import MuData

from multiDGD.latent import GaussianMixtureSupervised
from multiDGD.model.core._output_array import check_out, new_folder
from multiDGD.model.labels._predict import LabelMixin

from ._latent import LatentMixin


class AnnotationMixin(LatentMixin, LabelMixin):
    """Annotation of an object with results for its cells."""

    def annotate(
        self,
        adata: AnnData | MuData | None = None,
        *,
        prefix: str = "multidgd",
        out: str | Path | None = None,
        silent: bool = False,
    ) -> None:
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
        out
            New zarr store (``.zarr``) for the results, an AnnData with the names of the cells and
            without counts. ``adata`` then stays unchanged.
        silent
            Whether to hide the progress bars.

        Raises
        ------
        ValueError
            If ``adata`` is a view, or is missing in a model that was loaded without data, or
            ``out`` exists.

        Examples
        --------
        >>> model.annotate()  # doctest: +SKIP
        >>> sc.pp.neighbors(mdata, use_rep="X_multidgd")  # doctest: +SKIP
        """
        check_out(out, [".zarr"])
        # Unlike `self.adata`, this raises a helpful error if the model was loaded without data.
        data = self._manager_of(None).adata if adata is None else adata
        if out is not None:
            target = AnnData(obs=pd.DataFrame(index=data.obs_names))
            self._write_results(adata, target, prefix, silent)
            _write_zarr(target, out)
            return
        if data.is_view:
            raise ValueError(
                "`adata` is a view, and results written to a view are lost. Copy it first."
            )
        self._write_results(adata, data, prefix, silent)

    def _write_results(
        self,
        adata: AnnData | MuData | None,
        target: AnnData | MuData,
        prefix: str,
        silent: bool,
    ) -> None:
        """Write the results for ``adata`` to an object with the same cells."""
        target.obsm[f"X_{prefix}"] = self.get_latent_representation(adata, silent=silent)
        for key in self.module.covariates:
            target.obsm[f"X_{prefix}_{key}"] = self.get_covariate_representation(key, adata)
        component = pd.Series(self.get_cluster_assignments(adata))
        names = [str(k) for k in sorted(component.unique())]
        target.obs[f"{prefix}_component"] = pd.Categorical(component.astype(str), names)
        if isinstance(self.module.mixture, GaussianMixtureSupervised):
            labels = [str(label) for label in self.summary.labels]
            predicted = self.predict(adata, silent=silent).astype(str)
            target.obs[f"{prefix}_label"] = pd.Categorical(predicted, labels)


def _write_zarr(adata: AnnData, path: str | Path) -> None:
    """Write an AnnData in zarr's present format."""
    import zarr

    with new_folder(path), warnings.catch_warnings():
        # AnnData announces its later default for both formats; the user cannot choose here.
        warnings.filterwarnings("ignore", "zarr v3 autosharding")
        write_elem(zarr.open_group(str(path), mode="w-"), "/", adata)
