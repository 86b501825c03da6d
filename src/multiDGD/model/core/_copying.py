"""Copies and pickles of a model."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Any, Self

import pandas as pd
from anndata import AnnData
from mudata import MuData
from scvi.model.base import BaseModelClass

from multiDGD._mudata import without_pulling

from ._representation_cache import RepresentationCache

# Copies have a cache of their own, and saved models contain no trainer either.
_OMITTED = ("_inferred_cache", "trainer")


class CopyMixin(BaseModelClass):
    """Copying, deep copying and pickling, also of models with MuData.

    Neither a MuData nor its manager of scvi-tools can be pickled. A pickle or deep copy therefore
    contains the parts of the data, which are joined and registered again.
    """

    def __copy__(self) -> Self:
        copied = object.__new__(type(self))
        state = {name: value for name, value in self.__dict__.items() if name not in _OMITTED}
        copied.__dict__.update(state, _inferred_cache=RepresentationCache())
        return copied

    def __getstate__(self) -> dict[str, Any]:
        omitted = (*_OMITTED, "_adata_manager")
        state = {name: value for name, value in self.__dict__.items() if name not in omitted}
        if isinstance(self.adata, MuData):
            state["_adata"] = MuDataParts.of(self.adata)
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        # scvi-tools looks up managers by the identifiers of the model and of its data.
        self.__dict__.update(state, _inferred_cache=RepresentationCache(), id=str(uuid.uuid4()))
        self._adata_manager = None
        adata = self.__dict__.get("_adata")
        if adata is None:
            return
        if isinstance(adata, MuDataParts):
            adata = self._adata = adata.join()
        adata.uns.pop("_scvi_uuid", None)
        setup = getattr(type(self), self.registry_["setup_method_name"])
        setup(adata, source_registry=self.registry_, **self.registry_["setup_args"])
        self._adata_manager = self._get_most_recent_anndata_manager(adata, required=True)
        self._register_manager_for_instance(self._adata_manager)


@dataclass(frozen=True)
class MuDataParts:
    """Parts of a MuData, each of which can be pickled."""

    mod: dict[str, AnnData]
    obs: pd.DataFrame
    obsm: dict[str, Any]
    uns: dict[str, Any]

    @classmethod
    def of(cls, mdata: MuData) -> MuDataParts:
        """Split a MuData.

        Parameters
        ----------
        mdata
            The MuData. Its entries of ``obsm`` without the masks of its modalities are kept.
        """
        obsm = {key: x for key, x in mdata.obsm.items() if key not in mdata.mod}
        return cls(dict(mdata.mod), mdata.obs, obsm, dict(mdata.uns))

    def join(self) -> MuData:
        """Join the parts, with the cells in their former order."""
        with without_pulling():
            mdata = MuData(self.mod)
            if not mdata.obs_names.equals(self.obs.index):
                mdata = mdata[self.obs.index].copy()
        mdata.obs = self.obs
        mdata.uns.update(self.uns)
        for key, x in self.obsm.items():
            mdata.obsm[key] = x
        return mdata
