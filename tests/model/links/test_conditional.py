"""Links among co-accessible peaks, simulated and real."""

import anndata as ad
import mudata as md
import numpy as np
import pandas as pd
import pytest
import scvi
from scipy import sparse
from sklearn.metrics import average_precision_score
from tests.seeds import SEEDS

from multiDGD import MultiDGD
from multiDGD.datasets import simulate_coaccessible

QUIET = {"enable_progress_bar": False, "accelerator": "cpu"}


def trained(mdata, seed=0, **train):
    scvi.settings.seed = seed
    MultiDGD.setup_mudata(mdata)
    model = MultiDGD(mdata)
    model.train(**QUIET, **train)
    return model


def all_links(model, genes, **kwargs):
    tables = {
        gene: model.gene2peak(gene, method="conditional", n_controls=2, **kwargs) for gene in genes
    }
    return pd.concat(tables, names=["gene", "peak"])


@pytest.fixture(scope="module")
def simulated():
    mdata = simulate_coaccessible(
        1000, 60, n_types=16, n_latent=16, mean_rna=3.0, mean_atac=2.0, seed=0
    )
    return mdata, trained(mdata, max_epochs=40)


def correlation_of_counts(mdata, pairs):
    """Correlation of log-normalised counts of each pair of a gene and a peak."""
    x = {}
    for name, part in mdata.mod.items():
        counts = part.X.toarray()
        log = np.log1p(counts / counts.sum(1, keepdims=True) * 1e4)
        x[name] = pd.DataFrame((log - log.mean(0)) / log.std(0), columns=part.var_names)
    return np.array([(x["rna"][g] * x["atac"][p]).mean() for g, p in pairs])


def test_linked_peaks_are_found_among_their_neighbours(simulated):
    mdata, model = simulated
    genes = mdata["rna"].var_names[:40]
    with_distance = all_links(model, genes, n_cells=150)
    found = all_links(model, genes, n_cells=150, use_distance=False).reindex(with_distance.index)
    is_linked = found.index.isin(
        pd.MultiIndex.from_frame(mdata.uns["truth"]["links"][["gene", "peak"]])
    )
    scores = {
        "with distance": with_distance["probability"],
        "conditional": found["probability"],
        "association": found["association"],
        "counts": correlation_of_counts(mdata, found.index),
    }
    ap = {name: average_precision_score(is_linked, score) for name, score in scores.items()}
    assert ap["conditional"] > ap["association"] + 0.1
    assert ap["conditional"] > ap["counts"] + 0.25
    assert ap["with distance"] > ap["conditional"] + 0.03
    # Probabilities are calibrated.
    p = with_distance["probability"].to_numpy()
    assert p.sum() == pytest.approx(is_linked.sum(), rel=0.5)
    assert is_linked[p > 0.7].mean() > 0.7
    assert is_linked[p < 0.1].mean() < 0.06


def test_table(simulated):
    mdata, model = simulated
    found = model.gene2peak("gene_3", method="conditional", n_controls=10)
    columns = ["probability", "effect", "association", "p_value"]
    assert list(found) == [*columns, "chrom", "start", "end", "distance"]
    assert found["probability"].is_monotonic_decreasing
    assert found["probability"].between(0, 1).all()
    assert not found.isna().any().any()
    assert (found["distance"].abs() <= 500_000).all()
    assert len(found) == 8
    again = model.gene2peak("gene_3", method="conditional", n_controls=10)
    pd.testing.assert_frame_equal(found, again)
    # The association is that of the other method.
    plain = model.gene2peak("gene_3", n_controls=10).reindex(found.index)
    np.testing.assert_allclose(found["association"], plain["association"], rtol=1e-5)
    pd.testing.assert_series_equal(found["p_value"], plain["p_value"])
    near = model.gene2peak("gene_3", method="conditional", n_controls=10, window=200_000)
    assert set(near.index) == set(found.index[found["distance"].abs() <= 200_000])


def test_peak2gene_agrees_with_gene2peak(simulated):
    _, model = simulated
    first = model.gene2peak("gene_3", method="conditional", n_controls=2)
    peak = first.index[0]
    found = model.peak2gene(peak, method="conditional", n_controls=2)
    assert found.index.tolist() == ["gene_3"]
    for column in ("probability", "effect"):
        assert found.loc["gene_3", column] == pytest.approx(first.loc[peak, column], abs=0.05)
    assert found.loc["gene_3", "distance"] == first.loc[peak, "distance"]


def test_half_of_the_cells_without_accessibility(simulated):
    """Cells of a query that lack a modality have no residuals."""
    mdata, model = simulated
    query = md.MuData({"rna": mdata["rna"][:100].copy(), "atac": mdata["atac"][:50].copy()})
    query["atac"].obs_names = mdata.obs_names[:50]
    found = model.gene2peak("gene_3", method="conditional", n_controls=2, adata=query)
    assert found["probability"].between(0, 1).all()
    only_rna = md.MuData({"rna": mdata["rna"][:60].copy()})
    positions = pd.concat([mdata[m].var for m in ("rna", "atac")])
    alone = model.gene2peak(
        "gene_3", method="conditional", n_controls=2, adata=only_rna, positions=positions
    )
    assert alone["probability"].between(0, 1).all()


@pytest.mark.parametrize("seed", SEEDS)
def test_the_other_half_of_the_molecules_of_real_genes_is_linked(bmmc_multiome, seed):
    """Half of the molecules of 30 real genes are added to the peaks, among real peaks.

    Each gene's other half lies in a window with 5 real peaks and with halves of two genes that
    correlate with it.
    """
    rng = np.random.default_rng(seed)
    rna, atac = bmmc_multiome["rna"], bmmc_multiome["atac"]
    x = rna.X.toarray().astype(int)
    chosen = np.argsort(-(x > 0).mean(0))[20:50]
    half = rng.binomial(x[:, chosen], 0.5)
    x[:, chosen] -= half
    log = np.log1p(x / x.sum(1, keepdims=True) * 1e4)
    order = np.argsort(-np.corrcoef(log[:, chosen].T), axis=1)[:, 1:3]
    decoys = [rng.binomial(half[:, pair], 0.9) for pair in order]
    others = atac.X.toarray()[:, rng.choice(atac.n_vars, 150, replace=False)]
    blocks = [
        np.column_stack([half[:, [i]], decoys[i], others[:, 5 * i : 5 * i + 5]]) for i in range(30)
    ]
    names = [f"chr{i + 1}:{20_000 * j}-{20_000 * j + 500}" for i in range(30) for j in range(8)]
    peaks = ad.AnnData(sparse.csr_matrix(np.hstack(blocks).astype(np.float32)), obs=atac.obs)
    peaks.var_names = names
    genes = ad.AnnData(sparse.csr_matrix(x.astype(np.float32)), obs=rna.obs, var=rna.var[[]])
    model = trained(md.MuData({"rna": genes, "atac": peaks}), seed)
    of_genes = {
        name: (f"chr{i + 1}", 70_000, 70_001) for i, name in enumerate(rna.var_names[chosen])
    }
    tables = [
        model.gene2peak(
            name, method="conditional", n_controls=1, positions=of_genes, use_distance=False
        ).sort_index()
        for name in of_genes
    ]
    is_linked = np.concatenate([t.index.str.contains(":0-") for t in tables])
    found = pd.concat(tables)
    ap = average_precision_score(is_linked, found["probability"])
    # 0.77; the correlations of decoded means alone reach 0.68.
    assert ap > 0.7
