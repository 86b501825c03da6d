"""The commands, from their arguments to the files they leave."""

import logging
import shlex
import subprocess
import sys
from pathlib import Path

import anndata as ad
import h5py
import mudata as md
import numpy as np
import pytest
from scipy.sparse import csr_matrix
from tests.toy import write_10x

import multiDGD
from multiDGD.cli._parser import build_parser

COMMANDS = [[], ["demo"], ["fit"], ["embed"], ["impute"], ["de"], ["info"]]
FIGURES = ("history.png", "umap.png")


@pytest.fixture
def h5mu(multiome, tmp_path) -> Path:
    multiome.write(tmp_path / "cells.h5mu")
    return tmp_path / "cells.h5mu"


class TestArguments:
    @pytest.mark.parametrize("command", COMMANDS)
    def test_help(self, run, command):
        code, out, err = run(*command, "--help")
        assert (code, err) == (0, "")
        assert out.startswith(" ".join(["usage: multidgd", *command]))
        examples = [x for x in out.splitlines() if x.startswith("  multidgd ")]
        assert examples
        for line in examples:
            args = build_parser().parse_args(shlex.split(line)[1:])
            assert not command or [args.command] == command

    def test_version(self, run):
        assert run("--version") == (0, f"multidgd {multiDGD.__version__}\n", "")

    @pytest.mark.parametrize(
        ("argv", "message"),
        [
            ([], "required"),
            (["fly"], "invalid choice"),
            (["fit"], "FILE"),
            (["demo", "--n-cells", "3"], "at least 20; got '3'"),
            (["fit", "x.h5ad", "--max-epochs", "0"], "at least 1; got '0'"),
            (["fit", "x.h5ad", "--seed", "one"], "whole number"),
            (["embed", "results"], "FILE"),
            (["impute", "results", "x.h5ad"], "--modality"),
            (["de", "results", "x.h5ad"], "--groupby"),
            (["de", "results", "x.h5ad", "--groupby", "x", "--mode", "up"], "invalid choice"),
            (["info"], "MODEL_DIR_OR_FILE"),
        ],
    )
    def test_wrong_arguments(self, run, argv, message):
        code, out, err = run(*argv)
        assert (code, out) == (2, "")
        assert message in err

    def test_module_runs(self):
        done = subprocess.run(
            [sys.executable, "-m", "multiDGD", "fit", "none.h5ad"], capture_output=True, text=True
        )
        assert done.returncode == 1
        assert "no such file: none.h5ad" in done.stderr


class TestUserErrors:
    def check(self, fails, tmp_path, message, *argv):
        assert message in fails("fit", *argv, "--out", tmp_path / "out")
        assert not (tmp_path / "out").exists()

    def test_files(self, fails, tmp_path, multiome, joint, h5mu):
        tenx = write_10x(tmp_path / "whole.h5", joint, csr_matrix(joint.layers["counts"]))
        self.check(fails, tmp_path, "no such file", tmp_path / "missing.h5mu")
        for name, message in (
            ("cells.csv", "expected a file ending in"),
            ("cells.h5ad", "not an HDF5 file"),
        ):
            (tmp_path / name).write_text("gene,count")
            self.check(fails, tmp_path, message, tmp_path / name)
        with h5py.File(tmp_path / "other.h5", "w") as file:
            file["matrix"] = np.zeros(3)
        self.check(fails, tmp_path, "Cell Ranger", tmp_path / "other.h5")
        multiome["rna"].write_h5ad(tmp_path / "whole.h5ad")
        whole = (tmp_path / "whole.h5ad").read_bytes()
        (tmp_path / "cut.h5ad").write_bytes(whole[: len(whole) // 2])
        self.check(fails, tmp_path, "cannot read", tmp_path / "cut.h5ad")
        for name, whole in (("cut.h5mu", h5mu), ("cut.h5", tenx)):
            (tmp_path / name).write_bytes(whole.read_bytes()[:5000])
            self.check(fails, tmp_path, "cannot read", tmp_path / name)
        with h5py.File(tmp_path / "newer.h5ad", "w") as file:
            ad.io.write_elem(file, "/", multiome["rna"])
            file["obs"].attrs["encoding-version"] = "9.9.9"
        self.check(fails, tmp_path, "cannot read", tmp_path / "newer.h5ad")
        with h5py.File(tmp_path / "other.h5mu", "w") as file:
            file["something"] = np.zeros(3)
        self.check(fails, tmp_path, "not a .h5mu file", tmp_path / "other.h5mu")

    @pytest.mark.parametrize(
        "option", ["--batch-key", "--labels-key", "--covariate-keys", "--score-key", "--layer"]
    )
    def test_keys(self, fails, tmp_path, h5mu, option):
        self.check(fails, tmp_path, f"{option}: 'nonsense'", h5mu, option, "nonsense")

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            (["--covariate-keys", "batch", "batch"], "--covariate-keys has an entry more"),
            (["--labels-key", "cell_type", "--n-components", "2"], "--n-components is 2, below"),
        ],
    )
    def test_arguments_are_called_as_options(self, fails, tmp_path, h5mu, options, message):
        self.check(fails, tmp_path, f"error: {message}", h5mu, *options)

    def test_modality_key(self, fails, tmp_path, h5mu, joint):
        self.check(fails, tmp_path, "--modality-key", h5mu, "--modality-key", "feature_types")
        joint.write_h5ad(tmp_path / "joint.h5ad")
        self.check(
            fails, tmp_path, "'nonsense'", tmp_path / "joint.h5ad", "--modality-key", "nonsense"
        )

    def test_folder_that_is_a_file(self, fails, tmp_path, h5mu):
        (tmp_path / "taken").write_text("")
        assert "cannot write to the folder" in fails("fit", h5mu, "--out", tmp_path / "taken")

    @pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="needs a read-only file system")
    def test_folder_that_cannot_be_written_to(self, fails, h5mu):
        # Told before the training, not after it.
        assert "cannot write to the folder /proc" in fails("fit", h5mu, "--out", "/proc")

    @pytest.mark.parametrize("name", ["multiDGD", "scvi.multiDGD"])
    def test_logging_is_left_as_it_was(self, run, name):
        logger = logging.getLogger(name)
        before = (list(logger.handlers), logger.level, logger.propagate)
        run("fit", "missing.h5ad")
        assert (list(logger.handlers), logger.level, logger.propagate) == before


class TestFit:
    def test_h5mu(self, run, tmp_path, h5mu):
        out_dir = tmp_path / "out"
        code, out, err = run(
            "fit", h5mu, "--batch-key", "batch", "--score-key", "cell_type",
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
        assert embedded.obsm["X_multidgd_batch"].shape == (80, 2)
        assert embedded.obsm["X_umap"].shape == (80, 2)
        assert set(embedded.obs["multidgd_component"].cat.categories) <= {"0", "1", "2"}
        for name in FIGURES:
            assert (out_dir / name).read_bytes().startswith(b"\x89PNG")
        assert str(out_dir / "umap.png") in out

    def test_model_can_be_loaded(self, run, tmp_path, h5mu):
        from multiDGD import MultiDGD

        run("fit", h5mu, "--batch-key", "batch", "--max-epochs", 2, "--out", tmp_path)
        embedded = md.read_h5mu(tmp_path / "embedding.h5mu")
        model = MultiDGD.load(str(tmp_path / "model"), adata=embedded)
        np.testing.assert_allclose(
            model.get_latent_representation(), embedded.obsm["X_multidgd"], atol=1e-6
        )

    def test_seed(self, run, tmp_path, h5mu):
        found = []
        for seed in (0, 0, 1):
            run("fit", h5mu, "--max-epochs", 2, "--seed", seed, "--out", tmp_path)
            found.append(md.read_h5mu(tmp_path / "embedding.h5mu").obsm["X_multidgd"])
        np.testing.assert_array_equal(found[0], found[1])
        assert not np.allclose(found[0], found[2])

    def test_h5ad_of_two_modalities_with_labels(self, run, tmp_path, joint):
        joint.obs["cell_type"] = joint.obs["cell_type"].astype(str)
        joint.obs.iloc[:10, 0] = "unknown"
        joint.write_h5ad(tmp_path / "joint.h5ad")
        code, out, _ = run(
            "fit", tmp_path / "joint.h5ad", "--modality-key", "feature_types", "--layer",
            "counts", "--labels-key", "cell_type", "--covariate-keys", "batch",
            "--max-epochs", 2, "--out", tmp_path,
        )  # fmt: skip
        assert code == 0
        assert "  Gene Expression: 30 features" in out
        assert "  Peaks: 60 features" in out
        assert "(cell_type was shown to the model" in out
        assert "X_multidgd" in ad.read_h5ad(tmp_path / "embedding.h5ad").obsm

    def test_h5ad_of_one_modality(self, run, tmp_path, multiome):
        multiome["rna"].write_h5ad(tmp_path / "rna.h5ad")
        code, out, _ = run("fit", tmp_path / "rna.h5ad", "--max-epochs", 2, "--out", tmp_path)
        assert code == 0
        assert "  counts: 30 features" in out
        assert "kNN" not in out

    def test_10x(self, run, tmp_path, joint):
        path = write_10x(tmp_path / "matrix.h5", joint, csr_matrix(joint.layers["counts"]))
        code, out, _ = run("fit", path, "--max-epochs", 2, "--out", tmp_path)
        assert code == 0
        assert "  Gene Expression: 30 features" in out
        assert "  Peaks: 60 features" in out
        embedded = ad.read_h5ad(tmp_path / "embedding.h5ad")
        assert embedded.var_names.is_unique
        assert (embedded.X != joint.layers["counts"]).nnz == 0

    def test_10x_of_one_modality(self, run, tmp_path, joint):
        genes = joint[:, :30]
        path = write_10x(tmp_path / "matrix.h5", genes, csr_matrix(genes.layers["counts"]))
        code, out, _ = run("fit", path, "--max-epochs", 2, "--out", tmp_path)
        assert code == 0
        assert "  counts: 30 features" in out

    @pytest.mark.parametrize("n_cells", [2, 3, 4])
    def test_few_cells(self, run, tmp_path, multiome, n_cells):
        multiome[:n_cells].copy().write(tmp_path / "few.h5mu")
        code, out, err = run(
            "fit", tmp_path / "few.h5mu", "--batch-key", "batch", "--score-key", "cell_type",
            "--max-epochs", 1, "--out", tmp_path,
        )  # fmt: skip
        assert code == (n_cells < 3)
        assert ("error: FILE has 2 cells, " in err) == (n_cells == 2)
        assert ("No UMAP: it takes 4 cells, found 3" in err) == (n_cells == 3)
        assert (tmp_path / "embedding.h5mu").exists() == (n_cells >= 3)
        assert (tmp_path / "umap.png").exists() == ("UMAP: " in out) == (n_cells == 4)

    def test_dollars_are_no_formulas(self, run, tmp_path, multiome):
        rna = multiome["rna"].copy()
        rna.obs["$_$"] = ["$^$", "b"] * 40
        rna.write_h5ad(tmp_path / "rna.h5ad")
        argv = ["fit", tmp_path / "rna.h5ad", "--batch-key", "$_$", "--max-epochs", 1]
        assert run(*argv, "--out", tmp_path)[0] == 0

    def test_types_that_cannot_be_scored(self, run, tmp_path, multiome):
        rna = multiome["rna"].copy()
        rna.obs["barcode"] = rna.obs_names
        rna.write_h5ad(tmp_path / "rna.h5ad")
        code, out, err = run(
            "fit", tmp_path / "rna.h5ad", "--score-key", "barcode", "--max-epochs", 2,
            "--out", tmp_path,
        )  # fmt: skip
        assert code == 0
        assert "No scores by barcode" in err
        assert "kNN" not in out


@pytest.mark.parametrize("stop", [KeyboardInterrupt, SystemExit(1)])
def test_interrupted(run, tmp_path, h5mu, monkeypatch, stop):
    def interrupted(*_, **__):
        raise stop

    monkeypatch.setattr("scanpy.tl.umap", interrupted)
    code, _, err = run("fit", h5mu, "--max-epochs", 1, "--out", tmp_path)
    assert code == 130
    assert err.strip().splitlines()[-1] == "multidgd: interrupted"
    # What was trained until then is there.
    code, out, _ = run("info", tmp_path)
    assert code == 0 and "80 (72 training, 8 validation)" in out


def test_demo(run, tmp_path):
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
        assert -1 <= float(found.split()[-1]) <= 1
    assert "Simulating 60 cells" in err
    embedded = md.read_h5mu(tmp_path / "embedding.h5mu")
    assert {"X_true", "X_multidgd", "X_umap"} <= set(embedded.obsm)
    assert {"cell_type", "batch", "multidgd_component"} <= set(embedded.obs)
    assert len(embedded.uns["truth"]["links"]) == 300
    assert (tmp_path / "model").is_dir()
    for name in FIGURES:
        assert (tmp_path / name).stat().st_size > 5000


@pytest.mark.slow
def test_demo_recovers_the_truth(run, tmp_path):
    code, out, _ = run("demo", "--out", tmp_path)
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
