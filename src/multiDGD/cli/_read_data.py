"""Reading of single-cell data files."""

from __future__ import annotations

import warnings
from pathlib import Path

import h5py
import mudata
import scanpy as sc
from anndata import AnnData, read_h5ad

from ._errors import UserError, as_user_error
from ._feature_names import TENX_MODALITY_KEY, unique_names


def read_data(path: Path, modality_key: str | None = None) -> AnnData | mudata.MuData:
    """Read a ``.h5mu``, ``.h5ad`` or 10x ``.h5`` file.

    Parameters
    ----------
    path
        The file. Its extension determines the format.
    modality_key
        Column of ``var`` with the modality of each feature; invalid for ``.h5mu``.

    Returns
    -------
    anndata.AnnData or mudata.MuData
        The data; feature names of a 10x file are made unique.

    Raises
    ------
    UserError
        If the file is missing, has another format or is broken, or ``modality_key`` is given for
        ``.h5mu``.

    Examples
    --------
    >>> read_data(Path("cells.h5ad"))  # doctest: +SKIP
    AnnData object with n_obs × n_vars = 1408 × 11533
    """
    if path.is_dir():
        raise UserError(f"{path} is a folder: expected a .h5mu, .h5ad or .h5 file")
    if not path.is_file():
        raise UserError(f"no such file: {path}")
    if path.suffix not in (".h5mu", ".h5ad", ".h5"):
        raise UserError(f"cannot read {path}: expected a file ending in .h5mu, .h5ad or .h5")
    if not h5py.is_hdf5(path):
        raise UserError(f"cannot read {path}: it is not an HDF5 file")
    if path.suffix == ".h5mu" and modality_key is not None:
        raise UserError(
            f"--modality-key: found {modality_key!r}, but the modalities of a .h5mu file are "
            "already separate; leave the option out"
        )
    read = {".h5mu": _read_h5mu, ".h5ad": read_h5ad, ".h5": _read_10x}[path.suffix]
    # Files that are truncated, broken or from a newer version raise many kinds of exception.
    with as_user_error(Exception, prefix=f"cannot read {path}: "):
        return read(path)


def find_modality_key(data: AnnData | mudata.MuData, path: Path, given: str | None) -> str | None:
    """Find the column of ``var`` with the modality of each feature.

    Parameters
    ----------
    data
        The data.
    path
        File of the data.
    given
        The column, if given by the user.

    Returns
    -------
    str or None
        ``given``; without it ``"feature_types"`` for a 10x file with several modalities.
    """
    if given is None and path.suffix == ".h5" and data.var[TENX_MODALITY_KEY].nunique() > 1:
        return TENX_MODALITY_KEY
    return given


def _read_h5mu(path: Path) -> mudata.MuData:
    with h5py.File(path) as file:
        # mudata reads other files without an error, as an empty MuData.
        if "mod" not in file:
            raise ValueError("it is not a .h5mu file (no modalities)")
    return mudata.read_h5mu(path)


def _read_10x(path: Path) -> AnnData:
    """Read all feature types of a Cell Ranger file."""
    with h5py.File(path) as file:
        matrix = file.get("matrix")
        if not isinstance(matrix, h5py.Group) or "features" not in matrix:
            raise ValueError("expected a .h5 file from Cell Ranger 3 or later")
    with warnings.catch_warnings():
        # Every such file has genes that share a symbol; `unique_names` distinguishes them.
        warnings.filterwarnings("ignore", message="Variable names are not unique")
        data = sc.read_10x_h5(path, gex_only=False)
    data.var_names = unique_names(
        data.var_names.to_numpy(), data.var["gene_ids"], data.var[TENX_MODALITY_KEY]
    )
    return data
