"""Overviews of measured modalities."""

import numpy as np
import pytest
from matplotlib.colors import to_hex
from tests.toy import toy_adata, toy_mudata

from multiDGD import pl


def tiles(ax):
    """Whether each tile is coloured, rows by modalities."""
    found = {}
    for p in ax.patches:
        x, y = (round(v) for v in p.get_center())
        found[y, x] = to_hex(p.get_facecolor()) != to_hex("0.93")
    rows, columns = (max(i) + 1 for i in zip(*found, strict=True))
    return [[found[i, j] for j in range(columns)] for i in range(rows)]


def n_cells(ax):
    return [t.get_text() for t in ax.texts]


def test_patterns_of_a_mosaic(pbmc_cite_mosaic):
    ax = pl.modalities(pbmc_cite_mosaic)
    assert n_cells(ax) == ["800 cells", "400 cells", "400 cells"]
    assert tiles(ax)[0] == [True, True]
    assert sorted(tiles(ax)[1:]) == [[False, True], [True, False]]
    assert ax.get_xlabel() == "grey: not measured"
    assert pl.modalities(toy_mudata()).get_xlabel() == ""
    names = [t.get_text() for t in ax.get_xticklabels()]
    assert names == ["rna\n500 features", "adt\n224 features"]


def test_counts_in_a_layer():
    mdata = toy_mudata()
    for part in mdata.mod.values():
        counts = part.X.toarray()
        counts[:10] = 0
        part.layers["counts"] = counts
        part.X = None
    ax = pl.modalities(mdata)
    assert n_cells(ax) == ["30 cells", "10 cells"]
    assert tiles(ax) == [[True, True], [False, False]]


def test_by_group(pbmc_cite_mosaic):
    mdata = pbmc_cite_mosaic
    ax = pl.modalities(mdata, "batch")
    groups = [t.get_text() for t in ax.get_yticklabels()]
    assert groups == ["p1_0", "p2_0", "p3_0", "p4_0"]
    assert n_cells(ax) == ["400 cells"] * 4
    for group, tile in zip(groups, tiles(ax), strict=True):
        names = mdata.obs_names[mdata.obs["batch"] == group]
        assert tile == [bool(names.isin(part.obs_names).all()) for part in mdata.mod.values()]
    assert ax.get_ylabel() == "batch"


def test_groups_with_several_patterns_are_labelled_once(pbmc_cite_mosaic):
    mdata = pbmc_cite_mosaic
    obs = mdata.obs.copy()
    obs["half"] = np.where(np.arange(1600) < 700, "a", None)
    mdata.obs = obs
    ax = pl.modalities(mdata, "half")
    labels = [t.get_text() for t in ax.get_yticklabels()]
    assert sorted(label for label in labels if label) == ["NA", "a"] and labels[0] == "a"
    numbers = [int(t.split()[0]) for t in n_cells(ax)]
    at = labels.index("NA")
    assert sum(numbers[:at]) == 700 and sum(numbers[at:]) == 900
    assert numbers[:at] == sorted(numbers[:at], reverse=True)


def test_modality_without_counts_is_not_measured():
    mdata = toy_mudata(n_cells=10)
    x = mdata["atac"].X.tolil()
    x[:4] = 0
    mdata["atac"].X = x.tocsr()
    ax = pl.modalities(mdata)
    assert n_cells(ax) == ["6 cells", "4 cells"]
    assert tiles(ax) == [[True, True], [True, False]]
    mdata["atac"].X = mdata["atac"].X.toarray()
    assert n_cells(pl.modalities(mdata)) == ["6 cells", "4 cells"]


def test_a_model_has_the_modalities_of_its_data(mosaic):
    assert n_cells(pl.modalities(mosaic)) == n_cells(pl.modalities(mosaic.adata))


def test_errors(pbmc_cite_mosaic):
    with pytest.raises(ValueError, match=r"`groupby`: 'batches' .*'batch'"):
        pl.modalities(pbmc_cite_mosaic, "batches")
    with pytest.raises(TypeError, match="`mdata` must be a MuData, found AnnData"):
        pl.modalities(toy_adata())
