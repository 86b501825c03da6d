"""Saving a model together with its data."""

from __future__ import annotations

from typing import Any
from weakref import WeakKeyDictionary

from mudata import MuData
from scvi.model.base import BaseModelClass


class SaveMixin(BaseModelClass):
    """What scvi-tools saves, where it can be loaded again."""

    # For copies and pickles, which can hold neither weak references, which key the cache of
    # inferred representations, nor the trainer, which no loaded model has.
    def __getstate__(self) -> dict[str, Any]:
        left_out = ("_inferred_cache", "trainer")
        return {name: value for name, value in self.__dict__.items() if name not in left_out}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _inferred_cache=WeakKeyDictionary())

    def save(
        self,
        dir_path: str,
        prefix: str | None = None,
        overwrite: bool = False,
        save_anndata: bool = False,
        save_kwargs: dict | None = None,
        **kwargs: Any,
    ) -> None:
        """Save the model, and its data if wanted.

        Parameters
        ----------
        dir_path
            Folder to write to.
        prefix
            What names of files begin with.
        overwrite
            Whether files that are there may be replaced.
        save_anndata
            Also save the data, which :meth:`load` then finds by itself.
        save_kwargs
            Arguments of :func:`torch.save`.
        **kwargs
            Further arguments of :meth:`scvi.model.base.BaseModelClass.save`, and those of writing
            the data.

        Raises
        ------
        ValueError
            If the folder is there and not to be overwritten, or the data have a modality that no
            file can hold under its name.

        Examples
        --------
        >>> model.save("results/")  # doctest: +SKIP
        """
        if save_anndata and isinstance(self.adata, MuData):
            nested = [name for name in self.adata.mod if "/" in name]
            if nested:
                # HDF5 takes the name for a path, and what is written cannot be read.
                raise ValueError(
                    f"`save_anndata`: a file cannot hold the modality {nested[0]!r}, for its slash. "
                    "Save without the data, or name it otherwise before the setup."
                )
        super().save(dir_path, prefix, overwrite, save_anndata, save_kwargs, **kwargs)
