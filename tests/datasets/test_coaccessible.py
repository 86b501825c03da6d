"""Simulation of co-accessible peaks."""

import numpy as np
import pandas as pd
import pytest

from multiDGD.datasets import simulate_coaccessible


@pytest.fixture(scope="module")
def sim():
    return simulate_coaccessible(n_cells=3000, n_genes=40, mean_rna=20.0, mean_atac=20.0)


def test_tables(sim):
    links = sim.uns["truth"]["links"]
    counts = links.groupby("gene").size().reindex(sim["rna"].var_names, fill_value=0)
    assert set(counts) == {0, 1, 2}
    assert not links.duplicated().any()
    peaks = sim["atac"].var.loc[links["peak"]]
    genes = sim["rna"].var.loc[links["gene"]]
    assert (peaks["chrom"].to_numpy() == genes["chrom"].to_numpy()).all()
    middle = (peaks["start"] + peaks["end"]).to_numpy() / 2
    np.testing.assert_array_equal(links["distance"], middle - genes["start"].to_numpy())
    assert links["distance"].abs().max() <= 450_000
    assert links["distance"].abs().median() < 150_000


def test_neighbours_and_links_correlate(sim):
    x, y = (
        np.log(sim[m].X.toarray() / sim[m].X.toarray().sum(1, keepdims=True) + 1e-4)
        for m in ("atac", "rna")
    )
    peaks = np.corrcoef(x.T)
    locus = np.repeat(np.arange(40), 8)
    same = (locus[:, None] == locus) & ~np.eye(len(locus), dtype=bool)
    assert 0.35 < peaks[same].mean() < 0.65
    assert abs(peaks[~same & ~np.eye(len(locus), dtype=bool)].mean()) < 0.05
    links = sim.uns["truth"]["links"]
    at = sim["atac"].var_names.get_indexer(links["peak"])
    of = sim["rna"].var_names.get_indexer(links["gene"])
    both = np.corrcoef(y.T, x.T)[:40, 40:]
    assert both[of, at].mean() > both[locus, np.arange(320)].mean() + 0.2


def test_seed_determines_the_data():
    one, same, other = (simulate_coaccessible(60, 5, seed=s) for s in (1, 1, 2))
    assert (one["rna"].X != same["rna"].X).nnz == 0
    pd.testing.assert_frame_equal(one.uns["truth"]["links"], same.uns["truth"]["links"])
    assert (one["rna"].X != other["rna"].X).nnz > 0


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"n_cells": 0}, "`n_cells`"),
        ({"n_peaks_per_gene": 1}, "`n_peaks_per_gene`"),
        ({"coaccessibility": 1.0}, "`coaccessibility`"),
        ({"own_share": 0.0}, "`own_share`"),
        ({"fluctuation_sd": -1.0}, "`fluctuation_sd`"),
        ({"mean_rna": 0.0}, "`mean_rna`"),
    ],
)
def test_bad_values(arguments, match):
    with pytest.raises(ValueError, match=match):
        simulate_coaccessible(**arguments)
