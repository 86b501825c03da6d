"""Reading single-cell data from the files that people have."""

from __future__ import annotations

import warnings
from pathlib import Path

import h5py
import mudata
import numpy as np
import scanpy as sc
from anndata import AnnData, read_h5ad
from scipy.sparse import issparse

from ._errors import UserError, blame_user

_10X_MODALITY_KEY = "feature_types"


def read_data(path: Path, modality_key: str | None = None) -> AnnData | mudata.MuData:
    """Read a ``.h5mu``, ``.h5ad`` or 10x ``.h5`` file.

    Parameters
    ----------
    path
        The file. Its ending says what it is.
    modality_key
        Column of ``var`` that the caller is going to use; a MuData has no such column.

    Returns
    -------
    anndata.AnnData or mudata.MuData
        The data; the features of a 10x file have unique names.

    Raises
    ------
    UserError
        If the file is missing, of another kind or broken, or ``modality_key`` is given for
        ``.h5mu``.

    Examples
    --------
    >>> read_data(Path("cells.h5ad"))  # doctest: +SKIP
    AnnData object with n_obs × n_vars = 1408 × 11533
    """
    if not path.is_file():
        raise UserError(f"no such file: {path}")
    if path.suffix not in (".h5mu", ".h5ad", ".h5"):
        raise UserError(f"cannot read {path}: expected a file ending in .h5mu, .h5ad or .h5")
    if not h5py.is_hdf5(path):
        raise UserError(f"cannot read {path}: it is not an HDF5 file")
    if path.suffix == ".h5mu" and modality_key is not None:
        raise UserError("--modality-key is for .h5ad and .h5; .h5mu has modalities of its own")
    read = {".h5mu": _read_h5mu, ".h5ad": read_h5ad, ".h5": _read_10x}[path.suffix]
    # Readers raise all kinds for files that are cut off, broken or of a version to come.
    with blame_user(Exception, doing=f"cannot read {path}: "):
        return read(path)


def modality_key_of(data: AnnData | mudata.MuData, path: Path, given: str | None) -> str | None:
    """Column of ``var`` that tells modalities apart: the given one, or that of a 10x file."""
    if given is None and path.suffix == ".h5" and data.var[_10X_MODALITY_KEY].nunique() > 1:
        return _10X_MODALITY_KEY
    return given


def summarize(data: AnnData | mudata.MuData, modality_key: str | None, layer: str | None) -> str:
    """Describe the counts: cells, and for each modality features and the share of non-zeros.

    Parameters
    ----------
    data
        The data.
    modality_key
        Column of ``var`` with the modality of each feature, for AnnData.
    layer
        Layer with the counts, ``X`` by default.

    Returns
    -------
    str
        One line for the cells and one for each modality.

    Examples
    --------
    >>> import numpy as np
    >>> print(summarize(AnnData(np.eye(4, dtype="f4")), None, None))
    4 cells
      counts: 4 features, 25.0 % of counts not zero
    """
    if isinstance(data, AnnData):
        if modality_key is None:
            parts = {"counts": data}
        else:
            column = data.var[modality_key]
            parts = {str(name): data[:, column == name] for name in column.unique()}
    else:
        parts = dict(data.mod)
    lines = [f"{data.n_obs:,} cells"]
    for name, part in parts.items():
        counts = part.X if layer is None else part.layers[layer]
        n_values = counts.nnz if issparse(counts) else np.count_nonzero(counts)
        missing = data.n_obs - part.n_obs
        lines.append(
            f"  {name}: {part.n_vars:,} features, "
            f"{100 * n_values / max(1, part.n_obs * part.n_vars):.1f} % of counts not zero"
            + (f", missing in {missing:,} cells" if missing else "")
        )
    return "\n".join(lines)


def _read_h5mu(path: Path) -> mudata.MuData:
    with h5py.File(path) as file:
        # mudata reads any other file without complaint, as a MuData of nothing.
        if "mod" not in file:
            raise ValueError("it is not a .h5mu file (no modalities)")
    return mudata.read_h5mu(path)


def _read_10x(path: Path) -> AnnData:
    """All feature types of a Cell Ranger file."""
    with h5py.File(path) as file:
        matrix = file.get("matrix")
        if not isinstance(matrix, h5py.Group) or "features" not in matrix:
            raise ValueError("a .h5 file must be Cell Ranger's (version 3 on)")
    with warnings.catch_warnings():
        # Genes sharing a symbol are in every such file; they are made unique right here.
        warnings.filterwarnings("ignore", message="Variable names are not unique")
        data = sc.read_10x_h5(path, gex_only=False)
    data.var_names_make_unique()
    return data
