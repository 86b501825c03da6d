"""Saving, copying and pickling of a model."""

from __future__ import annotations

from typing import Any

from mudata import MuData
from scvi.model.base import BaseModelClass

from ._representation_cache import RepresentationCache


class SaveMixin(BaseModelClass):
    """Saving with scvi-tools, after a check that the files can be loaded again."""

    # Copies and pickles omit the cache of inferred representations and, as saved models do, the
    # trainer.
    def __getstate__(self) -> dict[str, Any]:
        omitted = ("_inferred_cache", "trainer")
        return {name: value for name, value in self.__dict__.items() if name not in omitted}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _inferred_cache=RepresentationCache())

    def save(
        self,
        dir_path: str,
        prefix: str | None = None,
        overwrite: bool = False,
        save_anndata: bool = False,
        save_kwargs: dict | None = None,
        **kwargs: Any,
    ) -> None:
        """Save the model to a folder, optionally with its data.

        Without the data, the folder still contains the names, fingerprints and representations of
        all training cells. For at most 5,000 of them, it also contains total counts, labels and
        covariates.

        Parameters
        ----------
        dir_path
            Path of the folder.
        prefix
            Prefix of the file names.
        overwrite
            Whether to replace existing files.
        save_anndata
            Whether to save the data too. :meth:`load` then needs no ``adata``.
        save_kwargs
            Arguments of :func:`torch.save`.
        **kwargs
            Further arguments of :meth:`scvi.model.base.BaseModelClass.save`, which passes them to
            the writer of the data.

        Raises
        ------
        ValueError
            If the folder exists and ``overwrite`` is `False`, or if ``save_anndata`` is `True` and
            the name of a modality contains a slash.

        Examples
        --------
        >>> model.save("results/")  # doctest: +SKIP
        """
        if save_anndata and isinstance(self.adata, MuData):
            nested = [name for name in self.adata.mod if "/" in name]
            if nested:
                # HDF5 interprets the name as a path, and the file cannot be read again.
                raise ValueError(
                    f"`save_anndata`: files cannot contain the modality {nested[0]!r}, because of "
                    "the slash in its name. Save without the data, or rename it before the setup."
                )
        super().save(dir_path, prefix, overwrite, save_anndata, save_kwargs, **kwargs)
