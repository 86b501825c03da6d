"""Objects that are not cells with several modalities, or were changed without an update."""

import logging

import mudata as md
import pytest
from tests.toy import toy_adata, toy_mudata

from multiDGD import MultiDGD


def renamed_cells(adata, suffix):
    adata = adata.copy()
    adata.obs_names = [name + suffix for name in adata.obs_names]
    return adata


def test_other_axes_raise():
    samples = {"s1": toy_adata(), "s2": renamed_cells(toy_adata(), "-2")}
    subsets = {"all": toy_adata(), "variable": toy_adata()[:20, :5].copy()}
    for mdata in (md.MuData(samples, axis=1), md.MuData(subsets, axis=-1)):
        with pytest.raises(ValueError, match=f"`mdata` has `axis={mdata.axis}`"):
            MultiDGD.setup_mudata(mdata)


@pytest.mark.parametrize("both", [True, False])
def test_cells_removed_without_an_update_raise(both):
    mdata = toy_mudata()
    for name in ("rna", "atac")[: 1 + both]:
        mdata[name]._inplace_subset_obs(range(30))
    with pytest.raises(ValueError, match=r"Modality 'rna' has 30 cells.*mdata.update\(\)"):
        MultiDGD.setup_mudata(mdata)


def test_cells_renamed_without_an_update_raise():
    mdata = toy_mudata()
    mdata["atac"].obs_names = [name + "-1" for name in mdata["atac"].obs_names]
    with pytest.raises(ValueError, match=r"Modality 'atac'.*40 of its cells are not in `mdata`"):
        MultiDGD.setup_mudata(mdata)


def test_modalities_without_a_common_cell_warn(caplog):
    whole = toy_mudata()
    parts = {"rna": whole["rna"], "atac": renamed_cells(whole["atac"], "-atac")}
    with caplog.at_level(logging.WARNING, logger="scvi"):
        MultiDGD.setup_mudata(md.MuData(parts))
    (record,) = caplog.records
    text = record.getMessage()
    assert "['rna', 'atac'] share no cell" in text
    assert "'rna' with 'cell0'" in text and "'atac' with 'cell0-atac'" in text


def test_a_bridge_does_not_warn(caplog):
    """RNA and protein share no cell, but both share cells with ATAC."""
    rna, atac, prot = toy_adata(30), toy_adata(40, prefix="peak"), toy_adata(40, prefix="prot")
    parts = {"rna": rna[:20].copy(), "atac": atac, "prot": prot[20:].copy()}
    with caplog.at_level(logging.WARNING, logger="scvi"):
        MultiDGD.setup_mudata(md.MuData(parts))
    assert not caplog.records


def test_errors_name_the_modality():
    mdata = toy_mudata()
    mdata["atac"].X.data[3] = -1
    with pytest.raises(ValueError, match="Modality 'atac': `X` contains negative values"):
        MultiDGD.setup_mudata(mdata)
    with pytest.raises(ValueError, match=r"Modality 'rna': `layer`: 'raw' is not a layer"):
        MultiDGD.setup_mudata(toy_mudata(), layers={"rna": "raw"})
