"""Genomic positions from files, tables, columns and names."""

import gzip
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scvi
from tests.toy import toy_mudata

from multiDGD import MultiDGD
from multiDGD.model.links._gtf import read_gtf

QUIET = {"enable_progress_bar": False, "accelerator": "cpu"}
GTF = """#!genome-build GRCh38
1\ttest\tgene\t10001\t12000\t.\t+\t.\tgene_id "ENSG01.3"; gene_name "rna0";
1\ttest\texon\t10001\t10100\t.\t+\t.\tgene_id "ENSG01.3"; gene_name "rna0";
1\ttest\tgene\t50001\t80000\t.\t-\t.\tgene_id "ENSG02"; gene_name "rna1";
2\ttest\tgene\t501\t900\t.\t+\t.\tgene_id "ENSG03"; gene_name "rna2";
X\ttest\tgene\t501\t900\t.\t+\t.\tgene_id "ENSG04";
"""
NAMES = {
    "colon": "chr1:{}-{}",
    "dashes": "chr1-{}-{}",
    "underscores": "chr1_{}_{}",
    "scaffold": "chrUn_KI270742v1-{}-{}",
    "dot": "GL000194.1:{}-{}",
}


def make_model(names=None, n_peaks=15):
    mdata = toy_mudata(n_features=(12, n_peaks))
    if names is not None:
        mdata["atac"].var_names = [
            names.format(20_000 * j, 20_000 * j + 500) for j in range(n_peaks)
        ]
        mdata.update()
    scvi.settings.seed = 0
    MultiDGD.setup_mudata(mdata)
    model = MultiDGD(mdata, n_latent=3)
    model.train(max_epochs=1, **QUIET)
    return model


@pytest.fixture(scope="module")
def model():
    return make_model(NAMES["dashes"])


@pytest.fixture
def gtf(tmp_path) -> Path:
    path = tmp_path / "genes.gtf.gz"
    with gzip.open(path, "wt") as file:
        file.write(GTF)
    return path


def test_gtf(gtf, tmp_path):
    found = read_gtf(gtf)
    assert found.loc["rna0"].tolist() == ["1", 10_000, 12_000, "+"]
    for name in ("ENSG01.3", "ENSG01", "rna0"):
        assert found.loc[name, "start"] == 10_000
    assert found.loc["ENSG04", "chrom"] == "X"
    plain = tmp_path / "exons.gtf"
    exons = GTF.replace("\tgene\t", "\texon\t")
    plain.write_text(exons)
    assert read_gtf(plain).loc["rna0"].tolist() == ["1", 10_000, 12_000, "+"]


def test_distance_from_a_gtf_file(model, gtf):
    options = {"n_controls": 2, "positions": gtf, "window": 40_000}
    found = model.gene2peak("rna0", **options)
    assert sorted(found["distance"]) == [-9_750, 10_250, 30_250]
    # The start of a gene on the reverse strand is the end of its interval.
    found = model.gene2peak("rna1", **options)
    assert sorted(found["distance"]) == [-39_750, -19_750, 250, 20_250]
    assert not found.isna().any().any()


@pytest.mark.parametrize("form", NAMES)
def test_forms_of_names(form):
    model = make_model(NAMES[form])
    chrom = NAMES[form].split("{")[0][:-1]
    positions = {"rna3": (chrom, 40_000, 60_000)}
    found = model.gene2peak("rna3", n_controls=2, positions=positions, window=30_000)
    assert sorted(found["distance"]) == [-19_750, 250, 20_250]
    assert (found["chrom"] == chrom).all()


def test_columns_of_var_and_intervals():
    mdata = toy_mudata()
    mdata["rna"].var["interval"] = [f"chr1:{1000 * j}-{1000 * j + 100}" for j in range(12)]
    atac = mdata["atac"].var
    atac["chrom"] = pd.Categorical(["chr1"] * 10 + ["chr2"] * 5)
    atac["start"], atac["end"] = np.arange(15) * 500, np.arange(15) * 500 + 200
    MultiDGD.setup_mudata(mdata)
    model = MultiDGD(mdata, n_latent=3)
    model.train(max_epochs=1, **QUIET)
    found = model.gene2peak("rna2", n_controls=2)
    assert found.loc["atac4", "distance"] == 100
    assert found["distance"].isna().sum() == 5
    found = model.gene2peak("rna2", method="conditional", n_controls=2)
    assert sorted(found.index) == sorted(f"atac{j}" for j in range(10))
    found = model.peak2gene("atac4", method="conditional", n_controls=2, window=1500)
    assert sorted(found.index) == ["rna1", "rna2", "rna3"]
    assert found.loc["rna2", "distance"] == 100
    own = model.gene2peak("rna2", method="conditional", n_controls=2, window=1500)
    assert own.loc["atac4", "probability"] == pytest.approx(
        found.loc["rna2", "probability"], abs=0.2
    )
    with pytest.raises(ValueError, match="`window` contains no"):
        model.gene2peak("rna11", method="conditional", window=10)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"method": "conditional"}, "`method='conditional'` needs .*gene 'rna0' is unknown"),
        ({"window": 1000}, "`window=1000` needs .*gene 'rna0'"),
        ({"positions": {"rna5": ("chr1", 1, 2)}}, "`positions` needs .*gene 'rna0'"),
        ({"positions": {"rna0": ("chr1", 1)}}, r"'rna0' must have \(chrom, start, end\)"),
        ({"positions": {"rna0": ("chr1", "a", 2)}}, "'start' must contain numbers"),
        ({"window": -1, "positions": {"rna0": ("chr1", 1, 2)}}, "`window`"),
    ],
)
def test_unknown_positions_are_reported_before_the_work(model, monkeypatch, options, match):
    monkeypatch.setattr(model, "_represented_batches", None)
    with pytest.raises(ValueError, match=match):
        model.gene2peak("rna0", **options)


def test_bad_positions(model, tmp_path):
    with pytest.raises(FileNotFoundError, match="`positions`.*no.gtf"):
        model.gene2peak("rna0", positions=tmp_path / "no.gtf")
    with pytest.raises(TypeError, match="`positions`.*int"):
        model.gene2peak("rna0", positions=3)
    bad = tmp_path / "bad.gtf"
    bad.write_text("a,b\n1,2\n")
    with pytest.raises(ValueError, match="`positions`.*bad.gtf"):
        model.gene2peak("rna0", positions=bad)


def test_unknown_peaks():
    model = make_model()
    with pytest.raises(ValueError, match="positions of all peaks are unknown"):
        model.gene2peak("rna0", positions={"rna0": ("chr1", 1, 2)})
    # Nothing suggests that positions are expected: no distances, no warning.
    assert list(model.gene2peak("rna0", n_controls=2)) == ["association", "p_value"]
    some = {"rna0": ("chr1", 100, 200), "atac3": ("chr1", 400, 500)}
    with pytest.warns(UserWarning, match="positions of 14 of 15 peaks are unknown"):
        found = model.gene2peak("rna0", method="conditional", n_controls=2, positions=some)
    assert found["distance"].to_dict() == {"atac3": 350.0}


def test_only_genes_are_known():
    mdata = toy_mudata()
    mdata["rna"].var[["chrom", "start", "end"]] = ["chr1", 10, 20]
    MultiDGD.setup_mudata(mdata)
    model = MultiDGD(mdata, n_latent=3)
    model.train(max_epochs=1, **QUIET)
    with pytest.warns(UserWarning, match="no distances, because the positions of all peaks"):
        found = model.gene2peak("rna0", n_controls=2)
    assert list(found) == ["association", "p_value"]
