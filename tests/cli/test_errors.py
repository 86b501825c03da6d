"""Errors in the user's input: one line each, with exit code 1."""

import logging
import warnings
from pathlib import Path

import anndata as ad
import h5py
import mudata as md
import numpy as np
import pytest
import torch
from scipy.sparse import csr_matrix
from tests.toy import write_10x


def test_folder_instead_of_a_file(fails, tmp_path):
    assert f"{tmp_path} is a folder" in fails("fit", tmp_path, "--out", tmp_path / "out")


def test_warnings_and_messages_name_options(run, tmp_path, multiome):
    rna = multiome["rna"].copy()
    rna.X = rna.X * 1.5
    rna.obs["lab"] = ["NA" if i < 9 else "T" if i % 2 else "B" for i in range(rna.n_obs)]
    rna.write_h5ad(tmp_path / "normalised.h5ad")
    argv = ["--labels-key", "lab", "--max-epochs", 1, "--out", tmp_path / "out"]
    with warnings.catch_warnings():
        warnings.simplefilter("default", UserWarning)
        code, _, err = run("fit", tmp_path / "normalised.h5ad", *argv)
    assert code == 0
    (line,) = [x for x in err.splitlines() if "unnormalized" in x]
    assert line.startswith("Warning: `X` does not contain") and "as --layer" in line
    assert "check_counts" not in err and "_count_fields" not in err
    assert "unlabeled_category=" not in err and "--unlabeled-category 'NA'" in err


class TestFit:
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
            (["--covariate-keys", "batch", "batch"], "--covariate-keys contains duplicate"),
            (["--labels-key", "cell_type", "--n-components", "2"], "--n-components is 2, below"),
        ],
    )
    def test_messages_name_the_options(self, fails, tmp_path, h5mu, options, message):
        self.check(fails, tmp_path, f"error: {message}", h5mu, *options)

    def test_modality_key(self, fails, tmp_path, h5mu, joint):
        self.check(fails, tmp_path, "--modality-key", h5mu, "--modality-key", "feature_types")
        joint.write_h5ad(tmp_path / "joint.h5ad")
        self.check(
            fails, tmp_path, "'nonsense'", tmp_path / "joint.h5ad", "--modality-key", "nonsense"
        )

    def test_output_folder_is_a_file(self, fails, tmp_path, h5mu):
        (tmp_path / "taken").write_text("")
        assert "cannot write to the folder" in fails("fit", h5mu, "--out", tmp_path / "taken")

    @pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="needs a read-only file system")
    def test_output_folder_is_read_only(self, fails, h5mu):
        # The error must come before training.
        assert "cannot write to the folder /proc" in fails("fit", h5mu, "--out", "/proc")

    def test_logging_is_restored(self, run):
        logger = logging.getLogger("scvi.multiDGD")
        before = (list(logger.handlers), logger.level, logger.propagate)
        run("fit", "missing.h5ad")
        assert (list(logger.handlers), logger.level, logger.propagate) == before


class TestUnreadableModels:
    @pytest.mark.parametrize(
        "argv", [["embed"], ["impute", "--modality", "rna"], ["de", "--groupby", "cell_type"]]
    )
    def test_missing(self, fails, trained_cells, tmp_path, argv):
        command, *options = argv
        message = fails(command, tmp_path / "none", trained_cells, *options)
        assert message.endswith(f"no such folder: {tmp_path / 'none'}")

    def test_folder_without_a_model(self, fails, trained_cells, tmp_path):
        message = fails("embed", tmp_path, trained_cells)
        assert f"no model in {tmp_path}" in message
        assert "model.pt" in message

    def test_broken(self, fails, fitted, trained_cells, tmp_path):
        whole = (fitted / "model" / "model.pt").read_bytes()
        for content in (b"", b"text", whole[: len(whole) // 2]):
            (tmp_path / "model.pt").write_bytes(content)
            assert f"cannot read the model in {tmp_path}" in fails(
                "embed", tmp_path, trained_cells
            )
        for thing in ([1, 2], {"weights": torch.ones(2)}):
            torch.save(thing, tmp_path / "model.pt")
            assert f"cannot read the model in {tmp_path}" in fails(
                "embed", tmp_path, trained_cells
            )

    def test_untrained(self, fails, fitted, trained_cells, tmp_path):
        saved = torch.load(fitted / "model" / "model.pt", weights_only=False)
        saved["attr_dict"]["is_trained_"] = False
        torch.save(saved, tmp_path / "model.pt")
        assert "is not trained" in fails("embed", tmp_path, trained_cells)


class TestMismatchedFiles:
    def check(self, fails, fitted, data, tmp_path, *messages):
        path = tmp_path / ("query.h5mu" if isinstance(data, md.MuData) else "query.h5ad")
        data.write(path)
        line = fails("embed", fitted, path, "--out", tmp_path / "out")
        for message in messages:
            assert message in line
        assert not (tmp_path / "out" / "cells.tsv").exists()

    def test_missing(self, fails, fitted, tmp_path):
        assert "no such file" in fails("embed", fitted, tmp_path / "none.h5mu")

    def test_other_features(self, fails, fitted, new_cells, tmp_path):
        rna = new_cells["rna"].copy()
        rna.var_names = "mouse_" + rna.var_names
        self.check(fails, fitted, rna, tmp_path, "no feature of", "the model rna: 'gene_0'")
        query = md.MuData({"rna": rna})
        query.obs["batch"] = "batch_0"
        self.check(fails, fitted, query, tmp_path, "0 of the model's 30", "'mouse_gene_0'")

    def test_ambiguous_modality(self, fails, fitted, joint, tmp_path):
        self.check(fails, fitted, joint, tmp_path, "features of ['rna', 'atac']", ".h5mu")

    def test_h5mu_for_a_model_of_h5ad(self, fails, fitted_h5ad, new_cells, tmp_path):
        self.check(fails, fitted_h5ad, new_cells, tmp_path, "query.h5mu is a .h5mu file")

    def test_missing_column(self, fails, fitted, new_cells, tmp_path):
        del new_cells.obs["batch"]
        self.check(fails, fitted, new_cells, tmp_path, "'batch' is not a column of `obs`")

    def test_missing_layer(self, fails, fitted_h5ad, multiome, tmp_path):
        self.check(fails, fitted_h5ad, multiome["rna"].copy(), tmp_path, "counts")

    def test_cells_without_counts(self, fails, fitted, new_cells, tmp_path):
        for part in new_cells.mod.values():
            part.X = part.X * 0
        self.check(fails, fitted, new_cells, tmp_path, "no counts")
