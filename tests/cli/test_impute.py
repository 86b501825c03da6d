"""``multidgd impute``."""

import anndata as ad
import mudata as md
import numpy as np
import pytest
import scanpy as sc

from multiDGD import MultiDGD


def test_matches_the_model(run, fitted, new_cells, tmp_path):
    del new_cells.mod["atac"]
    new_cells.update()
    new_cells.write(tmp_path / "rna.h5mu")
    code, out, err = run(
        "impute", fitted, tmp_path / "rna.h5mu", "--modality", "atac", "--out", tmp_path
    )
    assert code == 0
    assert out.splitlines() == [
        "20 cells x 60 features of atac",
        f"imputed: {tmp_path / 'imputed.h5ad'}",
    ]
    assert "Embedding 20 cells" in err

    model = MultiDGD.load(str(fitted / "model"), adata=False)
    cells = md.read_h5mu(tmp_path / "rna.h5mu")
    expected = model.impute(cells, "atac")
    found = ad.read_h5ad(tmp_path / "imputed.h5ad")
    assert list(found.obs_names) == list(expected.index)
    assert list(found.var_names) == list(expected.columns)
    np.testing.assert_allclose(found.X, expected, rtol=1e-5)
    np.testing.assert_allclose(
        found.obsm["X_multidgd"], model.get_latent_representation(cells), atol=1e-5
    )
    assert list(found.obs["cell_type"]) == list(cells.obs["cell_type"])
    sc.pp.log1p(found)
    sc.pp.pca(found, n_comps=3)
    assert found.obsm["X_pca"].shape == (20, 3)


@pytest.mark.parametrize("command", [["impute"], ["de", "--groupby", "cell_type"]])
def test_unknown_modality(run, fitted, trained_cells, tmp_path, command):
    code, _, err = run(
        *command, fitted, trained_cells, "--modality", "prot", "--out", tmp_path / "out"
    )
    assert code == 1
    # The error must come before the cells are read.
    assert err == "multidgd: error: --modality must be one of 'rna', 'atac', found 'prot'.\n"
    assert not (tmp_path / "out").exists()
