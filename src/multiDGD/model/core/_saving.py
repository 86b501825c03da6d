"""Saving of a model."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from anndata import AnnData
from anndata.io import write_h5ad
from mudata import MuData, write_h5mu
from scvi.model.base import BaseModelClass

from multiDGD._quiet import quiet_mudata
from multiDGD.data import logger
from multiDGD.saving import Contents, Place, write_save


class SaveMixin(BaseModelClass):
    """Saving to files that contain no code, and copying."""

    #: Whether another process of the training saves the model.
    _is_replica = False

    def save(
        self,
        dir_path: str,
        prefix: str | None = None,
        overwrite: bool = False,
        save_anndata: bool = False,
        save_kwargs: dict | None = None,
        legacy_mudata_format: bool = False,
        datamodule: None = None,
        legacy_pt: bool = True,
        **anndata_write_kwargs: Any,
    ) -> None:
        """Save the model to a folder, optionally with its data.

        The folder contains ``model.json`` with the registry, the arguments and the checksums of
        all files; the parameters, the representations and the learned records as safetensors; and
        ``model.pt`` for the hub and the callbacks of scvi-tools. :meth:`load` runs no code from
        any of them.

        Without the data, the folder still contains the names, fingerprints and representations of
        all training cells. For at most 5,000 of them, it also contains total counts, labels and
        covariates.

        An older save is replaced all at once: if writing fails or is interrupted, it is unchanged.
        Other files in the folder stay. After a training that torchrun or SLURM started in several
        processes, only the first one writes. If the older save has data and the new one does not, the
        file of the data is renamed.

        Parameters
        ----------
        dir_path
            Path of the folder.
        prefix
            Prefix of the file names. Models with different prefixes can share a folder.
        overwrite
            Whether to save to an existing folder and replace a model there.
        save_anndata
            Whether to save the data too. :meth:`load` then needs no ``adata``.
        save_kwargs
            Arguments of :func:`torch.save` for ``model.pt``.
        legacy_mudata_format
            Whether ``model.pt`` contains the feature names of a MuData as one array.
        datamodule
            Must be `None`; only other models of scvi-tools support it.
        legacy_pt
            Whether to write ``model.pt``. Without it, scvi-tools itself cannot read the save.
        **anndata_write_kwargs
            Arguments of :func:`anndata.io.write_h5ad` or :func:`mudata.write_h5mu`.

        Raises
        ------
        ValueError
            If the folder exists and ``overwrite`` is `False`; if an attribute with a trailing
            underscore has a type that cannot be saved; or if ``save_anndata`` is `True` and the
            model has no data or the name of a modality contains a slash. Nothing has been
            written.
        TypeError
            If an argument is unknown.

        Examples
        --------
        >>> model.save("results/")  # doctest: +SKIP
        """
        if self._is_replica:
            logger.info("The first process of the training saves the model.")
            return
        place = Place.of(dir_path, prefix)
        if datamodule is not None:
            raise ValueError("`datamodule` must be None: a MultiDGD is trained on its `adata`.")
        if anndata_write_kwargs and not save_anndata:
            unknown = next(iter(anndata_write_kwargs))
            raise TypeError(
                f"save() got an unexpected keyword argument {unknown!r}. Arguments of the writer "
                "of the data require `save_anndata=True`."
            )
        if place.folder.exists() and not (overwrite and place.folder.is_dir()):
            raise ValueError(
                f"{dir_path} already exists. Pass another `dir_path`, or `overwrite=True` to "
                "replace a model in this folder."
            )
        if save_anndata:
            self._check_data_for_file()
        contents = Contents(
            attributes=self._attributes_to_save(),
            var_names=self.get_var_names(legacy_mudata_format=legacy_mudata_format),
            parameters=dict(self.module.state_dict()),
        )
        write_save(
            place,
            contents,
            write_data=partial(_write_data, self.adata, anndata_write_kwargs)
            if save_anndata
            else None,
            former=legacy_pt,
            save_kwargs=save_kwargs,
        )

    def _check_data_for_file(self) -> None:
        if self.adata is None:
            raise ValueError("`save_anndata`: the model was loaded without data.")
        if not isinstance(self.adata, MuData):
            return
        nested = [name for name in self.adata.mod if "/" in name]
        if nested:
            # HDF5 interprets the name as a path, and the file cannot be read again.
            raise ValueError(
                f"`save_anndata`: files cannot contain the modality {nested[0]!r}, because of the "
                "slash in its name. Save without the data, or rename it before the setup."
            )

    def _attributes_to_save(self) -> dict[str, Any]:
        """Attributes with a trailing underscore, as scvi-tools saves them."""
        names = [n for n in dir(self) if n.endswith("_") and not n.endswith("__")]
        values = {name: getattr(self, name) for name in names if not name.startswith("_abc_")}
        return {name: value for name, value in values.items() if not inspect.isroutine(value)}


def _write_data(data: AnnData | MuData, options: dict[str, Any], path: Path) -> None:
    # The methods of the objects would make the path their backing file, and it is moved.
    with _columns_restored(data), quiet_mudata():
        if isinstance(data, MuData):
            write_h5mu(path, data, **options)
        else:
            write_h5ad(path, data, **options)


@contextmanager
def _columns_restored(data: AnnData | MuData) -> Iterator[None]:
    """Restore the columns of text, which the writers make categorical in the object itself."""
    parts = [data, *data.mod.values()] if isinstance(data, MuData) else [data]
    tables = [table for part in parts for table in (part.obs, part.var)]
    tables += [part.raw.var for part in parts if getattr(part, "raw", None) is not None]
    tables = [table for table in tables if table.columns.is_unique]
    before = [dict(table.items()) for table in tables]
    try:
        yield
    finally:
        for table, columns in zip(tables, before, strict=True):
            for name, values in columns.items():
                if table[name].dtype != values.dtype:
                    table[name] = values
