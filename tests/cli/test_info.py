"""``multidgd info``."""

import h5py
import mudata as md
import numpy as np
from scipy.sparse import csr_matrix
from tests.toy import toy_adata, toy_mudata, write_10x

from multiDGD import MultiDGD


class TestModel:
    def test_numbers(self, run, fitted):
        code, out, err = run("info", fitted)
        assert (code, err) == (0, "")
        rows = dict(line.split("  ", 1) for line in out.splitlines())
        rows = {name: text.strip() for name, text in rows.items()}
        model = MultiDGD.load(str(fitted / "model"), adata=False)
        assert rows == {
            "model": f"MultiDGD, saved with scvi-tools {model.registry_['scvi_version']}",
            "cells": "60 (54 training, 6 validation)",
            "epochs": "2",
            "representation": "4 dimensions",
            "mixture": "3 components, supervised by labels",
            "modality rna": "30 features (gene_0, gene_1, gene_2, ...), likelihood nb, counts in X",
            "modality atac": rows["modality atac"],
            "labels cell_type": "3 categories (type_0, type_1, type_2)",
            "batch batch": "2 categories (batch_0, batch_1)",
        }
        assert rows["modality atac"].startswith("60 features (chr1:")

    def test_model_folder(self, run, fitted):
        assert run("info", fitted / "model") == run("info", fitted)

    def test_layer_and_no_labels(self, run, fitted_h5ad):
        _, out, _ = run("info", fitted_h5ad)
        assert "likelihood nb, counts in layer counts" in out
        assert "components, unsupervised" in out
        assert "labels" not in out

    def test_every_kind_of_covariate(self, run, tmp_path):
        data = toy_mudata()
        data.obs["lab"] = "here"
        MultiDGD.setup_mudata(
            data,
            batch_key="batch",
            categorical_covariate_keys=["site", "lab"],
            continuous_covariate_keys=["age"],
        )
        model = MultiDGD(data, n_latent=2, likelihoods={"atac": "bernoulli"})
        model.train(max_epochs=1, train_size=1.0, enable_progress_bar=False)
        model.save(str(tmp_path / "model"))
        _, out, _ = run("info", tmp_path)
        lines = [" ".join(line.split()) for line in out.splitlines()]
        assert "cells 40 (40 training)" in lines
        assert "epochs 1" in lines
        assert "batch batch 2 categories (b0, b1)" in lines
        assert "covariate site 3 categories (x, y, z)" in lines
        assert "covariate lab 1 category (here)" in lines
        assert "covariate age continuous" in lines
        assert "likelihood bernoulli" in next(x for x in lines if x.startswith("modality atac"))

    def test_without_a_history(self, run, fitted, tmp_path):
        # Models of the first implementation have no history.
        model = MultiDGD.load(str(fitted / "model"), adata=False)
        model.history_ = {}
        model.save(str(tmp_path / "model"))
        code, out, _ = run("info", tmp_path)
        assert code == 0
        assert "epochs            unknown" in out


class TestFile:
    def described(self, run, data, path):
        data.write(path)
        code, out, _ = run("info", path)
        assert code == 0
        return out.splitlines()

    def test_mosaic(self, run, tmp_path):
        data = toy_mudata()
        data = md.MuData({"rna": data["rna"], "atac": data["atac"][:30].copy()})
        share = 100 * (data["rna"].X.nnz / (40 * 12))
        lines = self.described(run, data, tmp_path / "cells.h5mu")
        assert lines[:2] == ["40 cells", "  rna: 12 features"]
        assert lines[2] == f"    X: whole numbers, possibly raw counts; {share:.1f} % non-zero"
        assert lines[3] == "  atac: 15 features, missing in 10 cells"
        assert lines[-1] == "columns of obs that could be a batch, a covariate or labels: none"

    def test_values(self, run, tmp_path):
        adata = toy_adata()
        counts = adata.X
        adata.layers["log"] = np.log1p(counts.toarray())
        adata.layers["scaled"] = counts.toarray() - 1.0
        adata.layers["gaps"] = np.where(counts.toarray() == 0, np.nan, 1.0)
        lines = self.described(run, adata, tmp_path / "cells.h5ad")
        found = dict(line.strip().split(": ", 1) for line in lines if line.startswith("    "))
        assert found["X"].startswith("whole numbers")
        assert found["layer log"].startswith("fractions, not raw counts; ")
        assert found["layer scaled"].startswith("negative values (minimum -1), not raw counts")
        assert found["layer gaps"].startswith("NaN or infinite values, not counts")

    def test_columns(self, run, tmp_path):
        adata = toy_adata()
        adata.obs["barcode"] = adata.obs_names
        adata.obs["only"] = "one"
        adata.obs["plate"] = np.arange(40) // 10
        adata.obs["_scvi_batch"] = adata.obs["plate"]
        adata.obs.loc[adata.obs_names[:4], "site"] = np.nan
        adata.var["kind"] = ["gene"] * 8 + ["peak"] * 4
        lines = self.described(run, adata, tmp_path / "cells.h5ad")
        heading = "columns of obs that could be a batch, a covariate or labels:"
        n_by_site = adata.obs["site"].value_counts()
        shown = ", ".join(f"{name} ({n})" for name, n in n_by_site.items())
        assert lines[lines.index(heading) + 1 :] == [
            "  batch: 2 categories, b0 (20), b1 (20)",
            "  label: 3 categories, A (14), B (13), C (13)",
            f"  site: 3 categories, {shown}; 4 missing",
            "  plate: 4 categories, 0 (10), 1 (10), 2 (10), ...",
            "columns of var that could identify modalities (--modality-key):",
            "  kind: 2 categories, gene (8), peak (4)",
        ]

    def test_10x(self, run, joint, tmp_path):
        path = write_10x(tmp_path / "matrix.h5", joint, csr_matrix(joint.layers["counts"]))
        code, out, _ = run("info", path)
        assert code == 0
        assert out.startswith("80 cells\n  Gene Expression: 30 features\n    X: whole numbers")
        assert "  Peaks: 60 features" in out
        assert "--modality-key" not in out


class TestErrors:
    def test_missing(self, fails, tmp_path):
        line = fails("info", tmp_path / "none")
        assert line.endswith(f"no such file or folder: {tmp_path / 'none'}")

    def test_neither_model_nor_data(self, fails, tmp_path):
        assert "no model in" in fails("info", tmp_path)
        (tmp_path / "notes.txt").write_text("text")
        assert "expected a file ending in" in fails("info", tmp_path / "notes.txt")
        with h5py.File(tmp_path / "cut.h5", "w") as file:
            file["matrix"] = 1
        assert "Cell Ranger" in fails("info", tmp_path / "cut.h5")
