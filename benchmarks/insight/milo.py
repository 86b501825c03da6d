"""Milo of pertpy, in its own environment: ``OTHER/bin/python milo.py FOLDER``.

``input.npz`` of the folder has ``representation`` (cells x dimensions) and ``samples`` (runs x
cells, the first half of the samples in the first group). ``output.npz`` gets, for all
neighbourhoods of all runs, the ``run``, the ``cell`` at the centre, ``log_ratio``, ``p_value`` and
``fdr``; ``members`` are the cells of the neighbourhoods of the first run, which all runs share.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import logging
import warnings
from importlib.metadata import version
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pertpy
import scanpy as sc

#: As Milo recommends, five cells for each of six samples; share of cells that are centres.
N_NEIGHBORS, SHARE = 30, 0.1


def main() -> None:
    """Read, run Milo, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    args = parser.parse_args()
    warnings.filterwarnings("ignore")
    logging.disable(logging.CRITICAL)
    with np.load(args.folder / "input.npz") as stored:
        representation, samples = stored["representation"], stored["samples"]
    milo = pertpy.tl.Milo()
    cells = ad.AnnData(np.zeros((len(representation), 1), np.float32))
    cells.obsm["X_pca"] = representation.astype(np.float32)
    mdata = milo.load(cells)
    sc.pp.neighbors(mdata["rna"], n_neighbors=N_NEIGHBORS, use_rep="X_pca", random_state=0)
    milo.make_nhoods(mdata["rna"], prop=SHARE, seed=0)
    centres = np.flatnonzero(mdata["rna"].obs["nhood_ixs_refined"] == 1)
    parts = []
    for run, sample_n in enumerate(samples):
        mdata["rna"].obs["sample"] = pd.Categorical([f"sample_{s}" for s in sample_n])
        is_first = sample_n < (samples.max() + 1) // 2
        mdata["rna"].obs["group"] = pd.Categorical(np.where(is_first, "b", "a"))
        counted = milo.count_nhoods(mdata, sample_col="sample")
        quiet = io.StringIO()
        with contextlib.redirect_stdout(quiet), contextlib.redirect_stderr(quiet):
            milo.da_nhoods(counted, design="~group", solver="pydeseq2")
        table = counted["milo"].var
        parts.append(
            {
                "run": np.full(len(centres), run),
                "cell": centres,
                "log_ratio": table["logFC"].to_numpy() * np.log(2),
                "p_value": table["PValue"].to_numpy(float),
                "fdr": table["SpatialFDR"].to_numpy(float),
            }
        )
    arrays = {key: np.concatenate([p[key] for p in parts]) for key in parts[0]}
    arrays["members"] = mdata["rna"].obsm["nhoods"].toarray().astype(bool)
    np.savez(args.folder / "output.npz", version=version("pertpy"), **arrays)


if __name__ == "__main__":
    main()
