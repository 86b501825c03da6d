"""The commands, from their arguments to the files they leave."""

import logging
import subprocess
import sys
from pathlib import Path

import anndata as ad
import h5py
import mudata as md
import numpy as np
import pytest
from scipy.sparse import csr_matrix

from multiDGD.cli import main
from multiDGD.datasets import simulate_multiome

FIGURES = ("history.png", "umap.png")


@pytest.fixture(scope="module")
def multiome() -> md.MuData:
    return simulate_multiome(n_cells=80, n_genes=30, n_peaks=60, n_types=3, seed=1)


@pytest.fixture
def h5mu(multiome, tmp_path) -> Path:
    multiome.write(tmp_path / "cells.h5mu")
    return tmp_path / "cells.h5mu"


@pytest.fixture
def joint(multiome) -> ad.AnnData:
    """Both modalities in one AnnData, the counts in a layer."""
    adata = ad.concat([multiome["rna"], multiome["atac"]], axis=1)
    adata.var["feature_types"] = ["Gene Expression"] * 30 + ["Peaks"] * 60
    adata.obs = multiome.obs[["cell_type", "batch"]].copy()
    adata.layers["counts"] = adata.X
    adata.X = adata.X / 3.5
    return adata


def write_10x(path: Path, adata: ad.AnnData, counts: csr_matrix) -> Path:
    """A file in the layout of Cell Ranger 3 and later (features x cells, by column)."""
    with h5py.File(path, "w") as file:
        matrix = file.create_group("matrix")
        matrix["barcodes"] = adata.obs_names.to_numpy().astype("S")
        matrix["data"] = counts.data.astype(np.int32)
        matrix["indices"] = counts.indices
        matrix["indptr"] = counts.indptr
        matrix["shape"] = np.array(counts.shape[::-1])
        names = adata.var_names.to_numpy().astype("S")
        features = matrix.create_group("features")
        features["id"] = names
        # Two genes share a symbol, as in every annotation.
        features["name"] = np.r_[names[:1], names[:1], names[2:]]
        features["feature_type"] = adata.var["feature_types"].to_numpy().astype("S")
        features["genome"] = np.full(len(names), b"GRCh38")
    return path


def run(capsys, *argv: object) -> tuple[int, str, str]:
    code = main([str(argument) for argument in argv])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


class TestArguments:
    @pytest.mark.parametrize("command", [[], ["demo"], ["fit"]])
    def test_help(self, capsys, command):
        code, out, err = run(capsys, *command, "--help")
        assert code == 0
        assert "usage: multidgd" in out
        assert "embedding.h5mu" in out if command else "examples:" in out
        assert err == ""

    @pytest.mark.parametrize(
        ("argv", "message"),
        [
            ([], "required"),
            (["fly"], "invalid choice"),
            (["fit"], "FILE"),
            (["demo", "--n-cells", "3"], "at least 20; got '3'"),
            (["fit", "x.h5ad", "--max-epochs", "0"], "at least 1; got '0'"),
            (["fit", "x.h5ad", "--seed", "one"], "whole number"),
        ],
    )
    def test_wrong_arguments(self, capsys, argv, message):
        code, out, err = run(capsys, *argv)
        assert (code, out) == (2, "")
        assert message in err

    def test_module_runs(self):
        done = subprocess.run(
            [sys.executable, "-m", "multiDGD", "fit", "none.h5ad"], capture_output=True, text=True
        )
        assert done.returncode == 2
        assert "no such file: none.h5ad" in done.stderr


class TestUserErrors:
    def check(self, capsys, tmp_path, message, *argv):
        code, out, err = run(capsys, "fit", *argv, "--out", tmp_path / "out")
        last = err.strip().splitlines()[-1]
        assert (code, out) == (2, "")
        assert last.startswith("multidgd: error: ")
        assert message in last
        assert "Traceback" not in err
        assert not (tmp_path / "out").exists()

    def test_files(self, capsys, tmp_path, multiome):
        self.check(capsys, tmp_path, "no such file", tmp_path / "missing.h5mu")
        for name, message in (
            ("cells.csv", "expected a file ending in"),
            ("cells.h5ad", "not an HDF5 file"),
        ):
            (tmp_path / name).write_text("gene,count")
            self.check(capsys, tmp_path, message, tmp_path / name)
        with h5py.File(tmp_path / "other.h5", "w") as file:
            file["matrix"] = np.zeros(3)
        self.check(capsys, tmp_path, "Cell Ranger", tmp_path / "other.h5")
        multiome["rna"].write_h5ad(tmp_path / "whole.h5ad")
        whole = (tmp_path / "whole.h5ad").read_bytes()
        (tmp_path / "cut.h5ad").write_bytes(whole[: len(whole) // 2])
        self.check(capsys, tmp_path, "cannot read", tmp_path / "cut.h5ad")
        with h5py.File(tmp_path / "other.h5mu", "w") as file:
            file["something"] = np.zeros(3)
        self.check(capsys, tmp_path, "not a .h5mu file", tmp_path / "other.h5mu")

    @pytest.mark.parametrize(
        "option", ["--batch-key", "--labels-key", "--covariate-keys", "--score-key", "--layer"]
    )
    def test_keys(self, capsys, tmp_path, h5mu, option):
        self.check(capsys, tmp_path, "'nonsense'", h5mu, option, "nonsense")

    def test_modality_key(self, capsys, tmp_path, h5mu, joint):
        self.check(capsys, tmp_path, "--modality-key", h5mu, "--modality-key", "feature_types")
        joint.write_h5ad(tmp_path / "joint.h5ad")
        self.check(
            capsys, tmp_path, "'nonsense'", tmp_path / "joint.h5ad", "--modality-key", "nonsense"
        )

    def test_folder_that_is_a_file(self, capsys, tmp_path, h5mu):
        (tmp_path / "taken").write_text("")
        code, _, err = run(capsys, "fit", h5mu, "--out", tmp_path / "taken")
        assert code == 2
        assert "cannot make the folder" in err

    def test_logging_is_left_as_it_was(self, capsys):
        logger = logging.getLogger("multiDGD")
        before = (list(logger.handlers), logger.level)
        run(capsys, "fit", "missing.h5ad")
        assert (list(logger.handlers), logger.level) == before


class TestFit:
    def test_h5mu(self, capsys, tmp_path, h5mu):
        out_dir = tmp_path / "out"
        code, out, err = run(
            capsys, "fit", h5mu, "--batch-key", "batch", "--score-key", "cell_type",
            "--max-epochs", 2, "--n-latent", 4, "--n-components", 3, "--out", out_dir,
        )  # fmt: skip
        assert code == 0
        assert "80 cells\n  rna: 30 features, " in out
        assert "  atac: 60 features, " in out
        assert "trained 2 epochs in " in out
        for line in ("kNN accuracy of cell_type", "ARI of", "NMI of", "mixing of batch within"):
            assert line in out
        assert "shown to the model" not in out
        assert "Epoch 2/2" in err
        assert "Epoch" not in out

        embedded = md.read_h5mu(out_dir / "embedding.h5mu")
        assert embedded.obsm["X_multidgd"].shape == (80, 4)
        assert embedded.obsm["X_umap"].shape == (80, 2)
        assert set(embedded.obs["component"].cat.categories) <= {"0", "1", "2"}
        for name in FIGURES:
            assert (out_dir / name).read_bytes().startswith(b"\x89PNG")
        assert str(out_dir / "umap.png") in out

    def test_model_can_be_loaded(self, capsys, tmp_path, h5mu):
        from multiDGD import MultiDGD

        run(capsys, "fit", h5mu, "--batch-key", "batch", "--max-epochs", 2, "--out", tmp_path)
        embedded = md.read_h5mu(tmp_path / "embedding.h5mu")
        model = MultiDGD.load(str(tmp_path / "model"), adata=embedded)
        np.testing.assert_allclose(
            model.get_latent_representation(), embedded.obsm["X_multidgd"], atol=1e-6
        )

    def test_seed(self, capsys, tmp_path, h5mu):
        found = []
        for seed in (0, 0, 1):
            run(capsys, "fit", h5mu, "--max-epochs", 2, "--seed", seed, "--out", tmp_path)
            found.append(md.read_h5mu(tmp_path / "embedding.h5mu").obsm["X_multidgd"])
        np.testing.assert_array_equal(found[0], found[1])
        assert not np.allclose(found[0], found[2])

    def test_h5ad_of_two_modalities_with_labels(self, capsys, tmp_path, joint):
        joint.obs["cell_type"] = joint.obs["cell_type"].astype(str)
        joint.obs.iloc[:10, 0] = "unknown"
        joint.write_h5ad(tmp_path / "joint.h5ad")
        code, out, _ = run(
            capsys, "fit", tmp_path / "joint.h5ad", "--modality-key", "feature_types", "--layer",
            "counts", "--labels-key", "cell_type", "--covariate-keys", "batch",
            "--max-epochs", 2, "--out", tmp_path,
        )  # fmt: skip
        assert code == 0
        assert "  Gene Expression: 30 features" in out
        assert "  Peaks: 60 features" in out
        assert "(cell_type was shown to the model" in out
        assert "X_multidgd" in ad.read_h5ad(tmp_path / "embedding.h5ad").obsm

    def test_h5ad_of_one_modality(self, capsys, tmp_path, multiome):
        multiome["rna"].write_h5ad(tmp_path / "rna.h5ad")
        code, out, _ = run(
            capsys, "fit", tmp_path / "rna.h5ad", "--max-epochs", 2, "--out", tmp_path
        )
        assert code == 0
        assert "  counts: 30 features" in out
        assert "kNN" not in out

    def test_10x(self, capsys, tmp_path, joint):
        path = write_10x(tmp_path / "matrix.h5", joint, csr_matrix(joint.layers["counts"]))
        code, out, _ = run(capsys, "fit", path, "--max-epochs", 2, "--out", tmp_path)
        assert code == 0
        assert "  Gene Expression: 30 features" in out
        assert "  Peaks: 60 features" in out
        embedded = ad.read_h5ad(tmp_path / "embedding.h5ad")
        assert embedded.var_names.is_unique
        assert (embedded.X != joint.layers["counts"]).nnz == 0

    def test_10x_of_one_modality(self, capsys, tmp_path, joint):
        genes = joint[:, :30]
        path = write_10x(tmp_path / "matrix.h5", genes, csr_matrix(genes.layers["counts"]))
        code, out, _ = run(capsys, "fit", path, "--max-epochs", 2, "--out", tmp_path)
        assert code == 0
        assert "  counts: 30 features" in out

    def test_types_that_cannot_be_scored(self, capsys, tmp_path, multiome):
        rna = multiome["rna"].copy()
        rna.obs["barcode"] = rna.obs_names
        rna.write_h5ad(tmp_path / "rna.h5ad")
        code, out, err = run(
            capsys, "fit", tmp_path / "rna.h5ad", "--score-key", "barcode", "--max-epochs", 2,
            "--out", tmp_path,
        )  # fmt: skip
        assert code == 0
        assert "No scores by barcode" in err
        assert "kNN" not in out


def test_demo(capsys, tmp_path):
    code, out, err = run(capsys, "demo", "--n-cells", 60, "--max-epochs", 3, "--out", tmp_path)
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
        assert -1 <= float(found.split()[-1]) <= 1
    assert "Simulating 60 cells" in err
    embedded = md.read_h5mu(tmp_path / "embedding.h5mu")
    assert {"X_true", "X_multidgd", "X_umap"} <= set(embedded.obsm)
    assert {"cell_type", "batch", "component"} <= set(embedded.obs)
    assert len(embedded.uns["truth"]["links"]) == 300
    assert (tmp_path / "model").is_dir()
    for name in FIGURES:
        assert (tmp_path / name).stat().st_size > 5000


@pytest.mark.slow
def test_demo_recovers_the_truth(capsys, tmp_path):
    code, out, _ = run(capsys, "demo", "--out", tmp_path)
    assert code == 0
    figures = {
        row.rsplit(maxsplit=1)[0]: float(row.split()[-1])
        for row in out.splitlines()
        if row.split()[-1].replace(".", "", 1).isdigit()
    }
    assert figures["kNN accuracy of cell_type"] > 0.95
    assert figures["ARI of k-means with cell_type"] > 0.9
    assert figures["mixing of batch within cell_type"] > 0.8
    for name in ("rna", "atac"):
        assert figures[f"correlation with the true means, {name}"] > 0.95
        assert figures[f"correlation with the true means across cells, {name}"] > 0.8
