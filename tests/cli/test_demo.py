"""``multidgd demo``."""

import re

import mudata as md
import pytest
from tests.cli.conftest import FILES


def test_files_and_scores(run, tmp_path):
    code, out, err = run("demo", "--n-cells", 60, "--max-epochs", 3, "--out", tmp_path)
    assert code == 0
    assert "60 cells" in out
    assert "trained 3 epochs" in out
    for line in (
        "kNN accuracy of cell_type",
        "ARI of k-means with cell_type",
        "mixing of batch within cell_type",
        "correlation with the true means, rna",
        "correlation with the true means across cells, atac",
    ):
        (found,) = [row for row in out.splitlines() if row.startswith(line + " ")]
        assert -1 <= float(found.removeprefix(line).split()[0]) <= 1
    (header,) = [row for row in out.splitlines() if row.split()[:2] == ["multiDGD", "PCA"]]
    (mixing,) = [row for row in out.splitlines() if row.startswith("mixing of batch")]
    n_methods = 3 if "PCA + Harmony" in header else 2
    assert len(mixing.split("cell_type")[1].split()) == n_methods
    assert "Simulating 60 cells" in err
    assert f"Open {tmp_path / 'report.html'} in a browser" in err
    assert f"report: {tmp_path / 'report.html'}" in out
    embedded = md.read_h5mu(tmp_path / "embedding.h5mu")
    assert {"X_true", "X_multidgd", "X_umap"} <= set(embedded.obsm)
    assert {"cell_type", "batch", "multidgd_component"} <= set(embedded.obs)
    assert len(embedded.uns["truth"]["links"]) == 300
    assert (tmp_path / "model").is_dir()
    for name in FILES:
        assert (tmp_path / name).stat().st_size > 5000


@pytest.mark.slow
def test_agrees_with_the_truth(run, tmp_path):
    code, out, _ = run("demo", "--out", tmp_path)
    assert code == 0
    rows = [re.split(r"\s{2,}", row) for row in out.splitlines()]
    figures = {row[0]: float(row[1]) for row in rows if len(row) > 2 and row[0]}
    pca = {row[0]: float(row[2]) for row in rows if len(row) > 2 and row[0] and row[2] != "-"}
    assert figures["mixing of batch within cell_type"] > pca["mixing of batch within cell_type"]
    assert figures["kNN accuracy of cell_type"] > 0.95
    assert figures["ARI of k-means with cell_type"] > 0.9
    assert figures["mixing of batch within cell_type"] > 0.8
    for name in ("rna", "atac"):
        assert figures[f"correlation with the true means, {name}"] > 0.95
        assert figures[f"correlation with the true means across cells, {name}"] > 0.8
