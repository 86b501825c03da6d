"""Objects in zarr stores, with their counts left on disk."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from anndata import AnnData
from anndata.io import read_elem, sparse_dataset
from mudata import MuData

from multiDGD._mudata import without_pulling


def open_zarr(path: str | Path) -> AnnData | MuData:
    """Open a zarr store written by AnnData or MuData, and leave its counts on disk.

    Annotations of cells and features are read into memory; ``X`` and ``layers`` are not. Other
    elements are left out. For HDF5 files, :func:`anndata.read_h5ad` and :func:`mudata.read_h5mu` do
    the same with ``backed="r"``.

    Parameters
    ----------
    path
        Folder of the store.

    Raises
    ------
    ImportError
        If zarr is not installed.
    ValueError
        If there is no store at ``path``, or it contains neither an AnnData nor a MuData.

    Examples
    --------
    >>> mdata = open_zarr("atlas.zarr")  # doctest: +SKIP
    >>> MultiDGD.setup_mudata(mdata, batch_key="donor")  # doctest: +SKIP
    """
    try:
        import zarr
    except ImportError as error:
        raise ImportError("`open_zarr` requires zarr: `pip install zarr`.") from error
    if not Path(path).is_dir():
        raise ValueError(f"`path`: there is no folder {str(path)!r}.")
    try:
        group: Any = zarr.open_group(str(path), mode="r")
        kind = group.attrs.get("encoding-type")
    except (FileNotFoundError, KeyError, ValueError) as error:  # no store, or an array
        raise ValueError(f"`path` must be a zarr store, found {str(path)!r}.") from error
    if kind == "anndata":
        return _open_anndata(group)
    if kind != "MuData":
        raise ValueError(
            f"`path`: {str(path)!r} contains an object of type {kind!r}. Write it with "
            "`write_zarr` of AnnData or MuData."
        )
    names = group["mod"].attrs.get("mod-order", list(group["mod"]))
    with without_pulling():
        mdata = MuData({name: _open_anndata(group["mod"][name]) for name in names})
    obs = read_elem(group["obs"])
    mdata.obs = obs.loc[mdata.obs_names]
    return mdata


def _open_anndata(group: Any) -> AnnData:
    """AnnData of a group, with counts on disk."""
    layers: Mapping[str, Any] = group["layers"] if "layers" in group else {}
    return AnnData(
        _open_matrix(group["X"]) if "X" in group else None,
        obs=read_elem(group["obs"]),
        var=read_elem(group["var"]),
        layers={name: _open_matrix(layers[name]) for name in layers},
    )


def _open_matrix(stored: Any) -> Any:
    """Matrix on disk, sparse if it is a group and dense if it is an array."""
    return stored if hasattr(stored, "dtype") else sparse_dataset(stored)
