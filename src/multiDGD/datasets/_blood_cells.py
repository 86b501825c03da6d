"""Blood cells that scanpy contains, with their counts."""

from __future__ import annotations

import numpy as np
import pandas as pd
import scanpy as sc
from anndata import AnnData
from scipy.sparse import csr_matrix


def blood_cells() -> AnnData:
    """Human blood: 700 cells and 765 genes that scanpy contains, for examples without a download.

    Peripheral blood mononuclear cells of one donor (10x Genomics, Fresh 68k PBMCs, Donor A;
    `Zheng et al., 2017 <https://doi.org/10.1038/ncomms14049>`_), subsampled in
    :func:`scanpy.datasets.pbmc68k_reduced`. scanpy contains log-normalised values. The smallest
    positive value of a cell is that of a count of 1, so that all counts are recovered. They are
    only those of the 765 genes, about a fifth of the counts of a cell.

    Cell types are those of the sorted populations that the expression of a cell resembles most.
    ``"CD14+ Monocyte"`` is thus also the label of monocytes that express CD16 (*FCGR3A*).

    Returns
    -------
    anndata.AnnData
        Counts (CSR, float32), ``obs["cell_type"]`` with ten types, and ``obs["phase"]``, the phase
        of the cell cycle (G1, S or G2M).

    Examples
    --------
    >>> adata = blood_cells()
    >>> adata.shape
    (700, 765)
    >>> nk_cells = adata[adata.obs["cell_type"] == "CD56+ NK"]
    >>> bool(nk_cells[:, "NKG7"].X.mean() > 10)
    True
    """
    found = sc.datasets.pbmc68k_reduced()
    obs = found.obs[["bulk_labels", "phase"]].rename(columns={"bulk_labels": "cell_type"})
    return AnnData(
        _counts(found.raw.X.tocsr()),
        obs=obs.rename_axis(None),
        var=pd.DataFrame(index=found.raw.var_names.rename(None)),
    )


def _counts(log_normalised: csr_matrix) -> csr_matrix:
    """Counts from log1p of counts that were scaled cell by cell."""
    scaled = csr_matrix(log_normalised, dtype=np.float64)
    scaled.data = np.expm1(scaled.data)
    scaled.eliminate_zeros()
    of_one_n = np.minimum.reduceat(scaled.data, scaled.indptr[:-1])
    scaled.data = np.round(scaled.data / np.repeat(of_one_n, np.diff(scaled.indptr)))
    return scaled.astype(np.float32)
