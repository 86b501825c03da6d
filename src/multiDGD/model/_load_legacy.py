"""Loading of models from the first implementation."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from anndata import AnnData
from mudata import MuData

from multiDGD.legacy import load_legacy
from multiDGD.model.core._representations import RepresentationMixin


class LegacyMixin(RepresentationMixin):
    """Models from the first implementation."""

    @classmethod
    def load_legacy(
        cls, folder: str | Path, name: str = "dgd", *, adata: AnnData | MuData
    ) -> Self:
        """Load a model that was saved by the first implementation of multiDGD.

        Decoder, mixtures and representations are read from the file. Cells of ``adata`` without a
        representation in the file are embedded like query cells. Queries can be mapped to the
        result, and :meth:`save` writes it in the format of this package. Its mixture is
        unsupervised, so :meth:`predict` is not available; :meth:`get_component_summary` returns
        the labels in each component.

        Parameters
        ----------
        folder
            Folder with ``<name>.pt``, ``<name>_hyperparameters.json`` and ``_obs.csv``. The last
            file contains the column ``train_val_test``, which assigns cells to training,
            validation and test. Without this file, the column is required in ``adata.obs``.
        name
            Name of the model.
        adata
            Training cells of the model, in any order; other cells are allowed. The files contain
            no feature names, so features must be in the order of training. If the object has been
            set up (:meth:`setup_anndata`, :meth:`setup_mudata`), this setup is used. Otherwise it
            is set up as in the first implementation:

            - Counts are in ``X``.
            - Modalities are matched by name; ``GEX`` is equivalent to ``rna``, and ``Peaks`` to
              ``ATAC``. In an AnnData, the column ``modality`` or ``feature_types`` of ``var``
              contains the names.
            - The covariate is a column of ``obs``, with or without the prefix ``covariate_``.

        Returns
        -------
        The trained model.

        Raises
        ------
        FileNotFoundError
            If a file is missing.
        ValueError
            If a file was not written by the first implementation, or the model does not fit the
            data. The message contains the reason.

        Examples
        --------
        >>> model = MultiDGD.load_legacy("models/", "dgd", adata=mdata)  # doctest: +SKIP
        >>> mdata.obsm["X_multidgd"] = model.get_latent_representation()  # doctest: +SKIP
        """
        return load_legacy(cls, folder, name, adata)
