"""``multidgd embed``."""

import hashlib

import anndata as ad
import mudata as md
import numpy as np
import pandas as pd
import pytest
import scvi
from tests.cli.conftest import N_TRAINED

from multiDGD import MultiDGD


def load(folder) -> MultiDGD:
    return MultiDGD.load(str(folder / "model"), adata=False)


def read_table(path) -> pd.DataFrame:
    return pd.read_csv(path, sep="\t", index_col="cell", dtype={"component": str})


class TestTrainingCells:
    @pytest.fixture
    def embedded(self, run, fitted, trained_cells, tmp_path):
        code, out, err = run("embed", fitted, trained_cells, "--out", tmp_path)
        assert code == 0
        return out, err

    def test_representations_match_the_model(self, embedded, fitted, tmp_path):
        model = load(fitted)
        data = md.read_h5mu(tmp_path / "embedding.h5mu")
        np.testing.assert_array_equal(data.obsm["X_multidgd"], model.get_latent_representation())
        np.testing.assert_array_equal(
            data.obsm["X_multidgd_batch"], model.get_covariate_representation("batch")
        )

    def test_table(self, embedded, fitted, trained_cells, tmp_path):
        model, cells = load(fitted), md.read_h5mu(trained_cells)
        table = read_table(tmp_path / "cells.tsv")
        assert list(table) == [
            *("component", "label", "label_probability", "typicality", "z1", "z2", "z3", "z4")
        ]
        assert list(table.index) == list(cells.obs_names)
        z = model.get_latent_representation(cells)
        np.testing.assert_allclose(table[["z1", "z2", "z3", "z4"]], z, rtol=1e-5)
        assert list(table["component"]) == [str(k) for k in model.get_cluster_assignments(cells)]
        assert list(table["label"]) == list(model.predict(cells))
        probability = model.predict(cells, soft=True).max(axis=1)
        np.testing.assert_allclose(table["label_probability"], probability, rtol=1e-5)
        np.testing.assert_allclose(table["typicality"], model.get_typicality(cells), rtol=1e-5)
        data = md.read_h5mu(tmp_path / "embedding.h5mu")
        np.testing.assert_allclose(data.obs["multidgd_typicality"], table["typicality"], rtol=1e-5)

    def test_messages(self, embedded, tmp_path):
        out, err = embedded
        table = read_table(tmp_path / "cells.tsv")
        lines = out.splitlines()
        assert lines[0] == f"{N_TRAINED} cells in {table['component'].nunique()} components"
        for label, n in table["label"].value_counts().items():
            assert f"  {label}: {n}" in lines
        n_unusual = (table["typicality"] < 0.05).sum()
        assert (
            f"{n_unusual} cells have a typicality below 0.05; about 3 of 60 are expected by chance"
            in lines
        )
        assert f"cells: {tmp_path / 'cells.tsv'}" in lines
        assert "Embedding 60 cells" in err
        assert "downloaded" not in err


class TestNewCells:
    def test_part_of_one_modality(self, run, fitted, new_cells, tmp_path):
        rna = new_cells["rna"][:, :25].copy()
        rna.obs["batch"] = new_cells.obs["batch"]
        rna.write_h5ad(tmp_path / "rna.h5ad")
        code, _, err = run("embed", fitted, tmp_path / "rna.h5ad", "--out", tmp_path)
        assert code == 0
        assert "rna.h5ad as modality 'rna'" in err
        assert "Modality 'atac' is not measured" in err
        assert "25 of the model's 30 features of modality 'rna' were found" in err

        query = md.MuData({"rna": new_cells["rna"][:, :25].copy()})
        query.obs["batch"] = new_cells.obs["batch"]
        expected = load(fitted).get_latent_representation(query)
        found = md.read_h5mu(tmp_path / "embedding.h5mu")
        assert list(found.mod) == ["rna"]
        assert list(found.obs["batch"]) == list(query.obs["batch"])
        np.testing.assert_allclose(found.obsm["X_multidgd"], expected, atol=1e-5)

    def test_names_in_two_modalities(self, run, multiome, tmp_path):
        """Genes and proteins share names; those of the genes alone show the modality."""
        names = list(multiome["rna"].var_names[:5])
        prot = multiome["atac"][:, :8].copy()
        prot.var_names = [*names, "IgG1", "IgG2a", "IgG2b"]
        both = md.MuData({"rna": multiome["rna"].copy(), "prot": prot})
        both.write(tmp_path / "cite.h5mu")
        multiome["rna"].write_h5ad(tmp_path / "rna.h5ad")
        multiome["rna"][:, :5].write_h5ad(tmp_path / "shared.h5ad")
        out = tmp_path / "out"
        assert run("fit", tmp_path / "cite.h5mu", "--max-epochs", 1, "--out", out)[0] == 0
        code, _, err = run("embed", out, tmp_path / "rna.h5ad", "--out", tmp_path)
        assert code == 0 and "rna.h5ad as modality 'rna'" in err
        code, _, err = run("embed", out, tmp_path / "shared.h5ad", "--out", tmp_path)
        assert code == 1 and "has features of ['rna', 'prot']" in err

    def test_new_batch(self, run, fitted, new_cells, tmp_path):
        new_cells.obs["batch"] = "other"
        new_cells.write(tmp_path / "new.h5mu")
        before = hashlib.sha256((fitted / "model" / "model.pt").read_bytes()).digest()
        code, out, err = run("embed", fitted, tmp_path / "new.h5mu", "--out", tmp_path)
        assert code == 0
        assert "Learning new categories: batch other" in err
        assert hashlib.sha256((fitted / "model" / "model.pt").read_bytes()).digest() == before

        scvi.settings.seed = 0
        query = MultiDGD.load_query_data(new_cells, str(fitted / "model"))
        query.train()
        found = md.read_h5mu(tmp_path / "embedding.h5mu")
        for key, expected in (
            ("X_multidgd", query.get_latent_representation()),
            ("X_multidgd_batch", query.get_covariate_representation("batch")),
        ):
            np.testing.assert_allclose(found.obsm[key], expected, atol=1e-5)

    def test_h5ad_without_labels(self, run, fitted_h5ad, tmp_path):
        code, out, _ = run("embed", fitted_h5ad, fitted_h5ad / "rna.h5ad", "--out", tmp_path)
        assert code == 0
        assert out.startswith("80 cells in ")
        found = ad.read_h5ad(tmp_path / "embedding.h5ad")
        expected = load(fitted_h5ad).get_latent_representation()
        np.testing.assert_array_equal(found.obsm["X_multidgd"], expected)
        assert "label" not in read_table(tmp_path / "cells.tsv")
