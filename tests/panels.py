"""CITE-seq cells of two batches, one of which has a smaller antibody panel."""

import anndata as ad
import mudata as md
import numpy as np
from scipy import sparse

#: Proteins that batch b0 lacks.
LACKING = (3, 5)


def part(x, prefix, names=None):
    """AnnData of counts; cells are c0, c1, ... by default."""
    found = ad.AnnData(sparse.csr_matrix(np.asarray(x, np.float32)))
    found.obs_names = [f"c{i}" for i in range(len(x))] if names is None else names
    found.var_names = [f"{prefix}{j}" for j in range(x.shape[1])]
    return found


def two_panels(seed=0, n_cells=300, n_genes=60, lacking=LACKING):
    """Cells of four types in two batches, and the protein counts before some were removed."""
    r = np.random.default_rng(seed)
    kind = r.integers(0, 4, n_cells)
    rna = r.poisson(2 * r.gamma(1, 1, (4, n_genes))[kind])
    truth = r.poisson(np.exp(r.normal(2.5, 1, (4, 10)))[kind])
    batch = np.arange(n_cells) % 2
    prot = truth.copy()
    prot[np.ix_(batch == 0, list(lacking))] = 0
    mdata = md.MuData({"rna": part(rna, "g"), "prot": part(prot, "p")})
    mdata.obs["batch"] = np.where(batch, "b1", "b0")
    return mdata, truth


def without_lacking(mdata):
    """The same cells in an object without the columns of the lacking proteins."""
    kept = [j for j in range(mdata["prot"].n_vars) if j not in LACKING]
    found = md.MuData({"rna": mdata["rna"].copy(), "prot": mdata["prot"][:, kept].copy()})
    found.obs["batch"] = mdata.obs["batch"].to_numpy()
    return found
