"""Names of the features of 10x files, in any order and with repeats."""

import anndata as ad
import numpy as np
import pytest
import scipy.sparse as sp
from tests.toy import toy_adata, write_10x

from multiDGD import MultiDGD
from multiDGD.cli._feature_names import unique_names
from multiDGD.cli._read_data import read_data
from multiDGD.cli._read_model import read_model_and_data

KINDS = ["Gene Expression", "Antibody Capture"]


def test_names_do_not_depend_on_the_order():
    names = np.array(["CD4", "CD4", "TBCE", "TBCE", "ACTB"])
    ids = np.array(["ENSG1", "P1", "ENSG2", "ENSG3", "ENSG4"])
    kinds = np.array([KINDS[0], KINDS[1], *KINDS[:1] * 3])
    expected = ["CD4", "CD4 (Antibody Capture)", "TBCE_ENSG2", "TBCE_ENSG3", "ACTB"]
    for order in (np.arange(5), np.array([1, 3, 4, 0, 2])):
        found = unique_names(names[order], ids[order], kinds[order])
        assert list(found) == [expected[i] for i in order]


@pytest.fixture
def tenx(tmp_path):
    """Writes a 10x file of 8 genes and 4 proteins; two genes share names with proteins."""
    adata = toy_adata(40, 12)
    adata.var["feature_types"] = [KINDS[0]] * 8 + [KINDS[1]] * 4
    adata.var["symbol"] = [*(f"G{j}" for j in range(8)), "G3", "G6", "P1", "P2"]

    def write(name, features):
        part = adata[:, features]
        path = write_10x(tmp_path / name, part, sp.csr_matrix(part.X), part.var["symbol"])
        return path, part.X.toarray()

    return write


def model_folder(path, tmp_path, **setup):
    data = read_data(path)
    MultiDGD.setup_anndata(data, **setup)
    model = MultiDGD(data, n_latent=3)
    model.train(max_epochs=1, enable_progress_bar=False, accelerator="cpu")
    model.save(tmp_path / "model")
    return tmp_path / "model"


@pytest.mark.parametrize("order", [np.arange(12)[::-1], np.r_[8:12, 0:8], np.r_[8:11], np.r_[0:8]])
def test_features_in_any_order(tenx, tmp_path, order):
    path, x = tenx("reference.h5", np.arange(12))
    folder = model_folder(path, tmp_path, modality_key="feature_types")
    path, _ = tenx("query.h5", order)
    model, data = read_model_and_data(folder, path)
    manager = model._manager_of(data)
    counts = manager.create_torch_dataset()[range(40)]["counts"]
    found = np.concatenate([counts[kind].to_dense() for kind in sorted(KINDS)[::-1]], axis=1)
    expected = np.zeros_like(x)
    expected[:, order] = x[:, order]
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("kind", [0, 1])
def test_one_modality_of_a_file(tenx, tmp_path, kind):
    own = np.arange(8) if kind == 0 else np.arange(8, 12)
    path, x = tenx("reference.h5", own)
    folder = model_folder(path, tmp_path)
    path, _ = tenx("query.h5", np.arange(12)[::-1])
    model, data = read_model_and_data(folder, path)
    counts = model._manager_of(data).create_torch_dataset()[range(40)]["counts"]["counts"]
    np.testing.assert_array_equal(counts.to_dense(), x)


def test_names_of_former_versions(tenx, tmp_path):
    path, x = tenx("reference.h5", np.arange(12))
    data = read_data(path)
    data.var_names = [*(f"G{j}" for j in range(8)), "G3-1", "G6-1", "P1", "P2"]
    MultiDGD.setup_anndata(data, modality_key="feature_types")
    model = MultiDGD(data, n_latent=3)
    model.train(max_epochs=1, enable_progress_bar=False, accelerator="cpu")
    model.save(tmp_path / "model")
    path, _ = tenx("query.h5", np.arange(12)[::-1])
    model, data = read_model_and_data(tmp_path / "model", path)
    assert {m: len(at) for m, at in model._manager_of(data).observed.items()} == {
        KINDS[1]: 4,
        KINDS[0]: 8,
    }
    assert isinstance(data, ad.AnnData)
