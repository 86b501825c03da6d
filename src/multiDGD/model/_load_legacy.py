"""Models of the first implementation."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from anndata import AnnData
from mudata import MuData

from multiDGD.legacy import load_legacy
from multiDGD.model.core._representations import RepresentationMixin


class LegacyMixin(RepresentationMixin):
    """Models that the first implementation saved."""

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
        return load_legacy(cls, folder, name, adata)
