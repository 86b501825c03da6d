"""``multidgd fit``, from its arguments to the files it writes."""

import anndata as ad
import mudata as md
import numpy as np
import pytest
from scipy.sparse import csr_matrix
from tests.cli.conftest import FIGURES
from tests.toy import write_10x

from multiDGD import MultiDGD


def test_h5mu(run, tmp_path, h5mu):
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
    assert "used for training" not in out
    assert "Epoch 2/2" in err
    assert "Epoch" not in out and "it/s" not in out
    assert "1 as by chance" in out

    embedded = md.read_h5mu(out_dir / "embedding.h5mu")
    assert not any(column.startswith("_scvi") for column in embedded.obs)
    assert embedded.obsm["X_multidgd"].shape == (80, 4)
    assert embedded.obsm["X_multidgd_batch"].shape == (80, 2)
    assert embedded.obsm["X_umap"].shape == (80, 2)
    assert set(embedded.obs["multidgd_component"].cat.categories) <= {"0", "1", "2"}
    for name in FIGURES:
        assert (out_dir / name).read_bytes().startswith(b"\x89PNG")
    assert str(out_dir / "umap.png") in out


def test_model_can_be_loaded(run, tmp_path, h5mu):
    run("fit", h5mu, "--batch-key", "batch", "--max-epochs", 2, "--out", tmp_path)
    embedded = md.read_h5mu(tmp_path / "embedding.h5mu")
    model = MultiDGD.load(str(tmp_path / "model"), adata=embedded)
    np.testing.assert_allclose(
        model.get_latent_representation(), embedded.obsm["X_multidgd"], atol=1e-6
    )


def test_seed(run, tmp_path, h5mu):
    found = []
    for seed in (0, 0, 1):
        run("fit", h5mu, "--max-epochs", 2, "--seed", seed, "--out", tmp_path, "--overwrite")
        found.append(md.read_h5mu(tmp_path / "embedding.h5mu").obsm["X_multidgd"])
    np.testing.assert_array_equal(found[0], found[1])
    assert not np.allclose(found[0], found[2])


def test_h5ad_with_two_modalities_and_labels(run, tmp_path, joint):
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
    assert "(cell_type was used for training" in out
    assert "X_multidgd" in ad.read_h5ad(tmp_path / "embedding.h5ad").obsm


def test_h5ad_with_one_modality(run, tmp_path, multiome):
    multiome["rna"].write_h5ad(tmp_path / "rna.h5ad")
    code, out, _ = run("fit", tmp_path / "rna.h5ad", "--max-epochs", 2, "--out", tmp_path)
    assert code == 0
    assert "  counts: 30 features" in out
    assert "kNN" not in out


def test_10x(run, tmp_path, joint):
    path = write_10x(tmp_path / "matrix.h5", joint, csr_matrix(joint.layers["counts"]))
    code, out, _ = run("fit", path, "--max-epochs", 2, "--out", tmp_path)
    assert code == 0
    assert "  Gene Expression: 30 features" in out
    assert "  Peaks: 60 features" in out
    embedded = ad.read_h5ad(tmp_path / "embedding.h5ad")
    assert embedded.var_names.is_unique
    assert (embedded.X != joint.layers["counts"]).nnz == 0


def test_10x_with_one_modality(run, tmp_path, joint):
    genes = joint[:, :30]
    path = write_10x(tmp_path / "matrix.h5", genes, csr_matrix(genes.layers["counts"]))
    code, out, _ = run("fit", path, "--max-epochs", 2, "--out", tmp_path)
    assert code == 0
    assert "  counts: 30 features" in out


@pytest.mark.parametrize("n_cells", [2, 3, 4])
def test_few_cells(run, tmp_path, multiome, n_cells):
    multiome[:n_cells].copy().write(tmp_path / "few.h5mu")
    code, out, err = run(
        "fit", tmp_path / "few.h5mu", "--batch-key", "batch", "--score-key", "cell_type",
        "--max-epochs", 1, "--out", tmp_path,
    )  # fmt: skip
    assert code == (n_cells < 3)
    assert ("error: FILE has 2 cells, " in err) == (n_cells == 2)
    assert ("Skipped the UMAP: it requires 4 cells, found 3" in err) == (n_cells == 3)
    assert (tmp_path / "embedding.h5mu").exists() == (n_cells >= 3)
    assert (tmp_path / "umap.png").exists() == ("UMAP: " in out) == (n_cells == 4)
    assert (tmp_path / "cellxgene.h5ad").exists() == (n_cells == 4)
    assert (tmp_path / "report.html").exists() == (n_cells >= 3)


def test_dollar_signs_are_not_parsed_as_formulas(run, tmp_path, multiome):
    rna = multiome["rna"].copy()
    rna.obs["$_$"] = ["$^$", "b"] * 40
    rna.write_h5ad(tmp_path / "rna.h5ad")
    argv = ["fit", tmp_path / "rna.h5ad", "--batch-key", "$_$", "--max-epochs", 1]
    assert run(*argv, "--out", tmp_path)[0] == 0


def test_types_that_cannot_be_scored(run, tmp_path, multiome):
    rna = multiome["rna"].copy()
    rna.obs["barcode"] = rna.obs_names
    rna.write_h5ad(tmp_path / "rna.h5ad")
    code, out, err = run(
        "fit", tmp_path / "rna.h5ad", "--score-key", "barcode", "--max-epochs", 2,
        "--out", tmp_path,
    )  # fmt: skip
    assert code == 0
    assert "Skipped the scores by barcode" in err
    assert "kNN" not in out


@pytest.mark.parametrize("stop", [KeyboardInterrupt, SystemExit(1)])
def test_interrupted(run, tmp_path, h5mu, monkeypatch, stop):
    def interrupted(*_, **__):
        raise stop

    monkeypatch.setattr("scanpy.tl.umap", interrupted)
    code, _, err = run("fit", h5mu, "--max-epochs", 1, "--out", tmp_path)
    assert code == 130
    assert err.strip().splitlines()[-1] == "multidgd: interrupted"
    # The model was saved before the interruption.
    code, out, _ = run("info", tmp_path)
    assert code == 0 and "80 (72 training, 8 validation)" in out


class TestOverwrite:
    def test_results_are_kept_before_any_work(self, fails, fitted, h5mu):
        before = {p: p.stat().st_mtime_ns for p in sorted(fitted.rglob("*"))}
        message = fails("fit", h5mu, "--out", fitted)
        assert f"{fitted} already contains model, embedding.h5mu, history.png" in message
        assert "pass --overwrite" in message
        assert {p: p.stat().st_mtime_ns for p in sorted(fitted.rglob("*"))} == before
        assert "already contains model" in fails("demo", "--out", fitted)

    def test_results_are_replaced(self, run, tmp_path, h5mu):
        for name in ("embedding.h5ad", "notes.txt", "report.html"):
            (tmp_path / name).write_text("older")
        argv = ["fit", h5mu, "--max-epochs", 1, "--out", tmp_path, "--overwrite"]
        assert run(*argv)[0] == 0
        # The result is input and output.
        argv[1] = tmp_path / "embedding.h5mu"
        assert run(*argv)[0] == 0
        assert not (tmp_path / "embedding.h5ad").exists()
        assert (tmp_path / "notes.txt").read_text() == "older"
        assert (tmp_path / "report.html").read_text().startswith("<!doctype html>")
        z = md.read_h5mu(tmp_path / "embedding.h5mu").obsm["X_multidgd"]
        model = MultiDGD.load(tmp_path / "model", adata=False)
        np.testing.assert_array_equal(model.get_latent_representation(), z)

    def test_input_survives_a_failure(self, run, tmp_path, h5mu, monkeypatch):
        source = tmp_path / "embedding.h5mu"
        h5mu.rename(source)
        before = source.read_bytes()
        monkeypatch.setattr("multiDGD.cli._commands.fit.add_umap", "not callable")
        with pytest.raises(TypeError):
            run("fit", source, "--max-epochs", 1, "--out", tmp_path, "--overwrite")
        assert source.read_bytes() == before
