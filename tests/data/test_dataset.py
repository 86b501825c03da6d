import anndata as ad
import mudata as md
import numpy as np
import pytest
from scipy import sparse
from scvi.dataloaders import AnnDataLoader
from tests.toy import toy_adata, toy_mudata

from multiDGD import MultiDGD


def manager_of(data, **setup):
    method = MultiDGD.setup_mudata if isinstance(data, md.MuData) else MultiDGD.setup_anndata
    method(data, **setup)
    return MultiDGD._get_most_recent_anndata_manager(data, required=True)


def dense(manager, modality, cells):
    return manager.create_torch_dataset()[cells]["counts"][modality].to_dense().numpy()


@pytest.mark.parametrize(
    "convert",
    [
        sparse.csr_matrix,
        sparse.csc_matrix,
        sparse.csr_array,
        np.asarray,
        np.asfortranarray,
        lambda x: sparse.csr_matrix(x.astype(np.int64)),
        lambda x: x.astype(np.uint16),
    ],
)
def test_minibatches_are_equal_for_all_matrix_formats(convert):
    x = toy_adata(dense=True).X
    adata = toy_adata()
    adata.X = convert(x)
    cells = [7, 3, 11]
    np.testing.assert_array_equal(dense(manager_of(adata), "counts", cells), x[cells])


@pytest.mark.parametrize("dense_x", [True, False])
def test_backed_data(tmp_path, dense_x):
    x = toy_adata(dense=True).X
    toy_adata(dense=dense_x).write_h5ad(tmp_path / "x.h5ad")
    adata = ad.read_h5ad(tmp_path / "x.h5ad", backed="r")
    manager = manager_of(adata, batch_key="batch")
    np.testing.assert_array_equal(dense(manager, "counts", [9, 2, 5]), x[[9, 2, 5]])
    # Repeated access must not read the file again.
    assert manager.libraries is manager.libraries
    adata.file.close()


def test_stored_zeros_and_duplicates_are_removed():
    x = toy_adata(dense=True).X
    adata = toy_adata()
    coo = sparse.coo_matrix(x)
    half = np.concatenate([coo.data - 1, np.ones_like(coo.data)])
    twice = np.tile(coo.row, 2), np.tile(coo.col, 2)
    with_duplicates = sparse.coo_matrix((half, twice), x.shape)
    adata.X = _not_canonical(with_duplicates)
    counts = manager_of(adata).create_torch_dataset()[[0, 1]]["counts"]["counts"]
    assert (counts.values > 0).all()
    np.testing.assert_array_equal(counts.to_dense().numpy(), x[:2])


def _not_canonical(coo):
    order = np.argsort(coo.row, kind="stable")
    indptr = np.concatenate([[0], np.cumsum(np.bincount(coo.row, minlength=coo.shape[0]))])
    return sparse.csr_matrix((coo.data[order], coo.col[order], indptr), coo.shape)


def test_layers():
    adata = toy_adata()
    adata.layers["raw"] = adata.X.copy()
    adata.X = sparse.csr_matrix(np.log1p(adata.X.toarray()))
    expected = adata.layers["raw"][:4].toarray()
    np.testing.assert_array_equal(
        dense(manager_of(adata, layer="raw"), "counts", range(4)), expected
    )
    mdata = toy_mudata()
    mdata["atac"].layers["raw"] = mdata["atac"].X.copy() * 2
    manager = manager_of(mdata, layers={"atac": "raw"})
    np.testing.assert_array_equal(dense(manager, "atac", [1]), 2 * mdata["atac"].X[[1]].toarray())
    np.testing.assert_array_equal(dense(manager, "rna", [1]), mdata["rna"].X[[1]].toarray())


def test_interleaved_modalities_of_one_anndata():
    adata = toy_adata(n_features=20)
    adata.var["feature_types"] = np.where(np.arange(20) % 3 == 0, "Peaks", "Gene Expression")
    manager = manager_of(adata, modality_key="feature_types")
    features = manager.summary.features
    assert list(features) == ["Gene Expression", "Peaks"]
    for modality, names in features.items():
        expected = adata[[4, 2], names].X.toarray()
        np.testing.assert_array_equal(dense(manager, modality, [4, 2]), expected)
        matrix = manager.matrix(modality).toarray()
        np.testing.assert_array_equal(matrix, adata[:, names].X.toarray())


def test_features_of_another_object_are_matched_by_name():
    adata = toy_adata()
    manager = manager_of(adata)
    shuffled = np.random.default_rng(0).permutation(adata.n_vars)
    extra = toy_adata(n_features=3, prefix="other")
    query = ad.concat([extra, adata[:, shuffled]], axis=1, merge="same")
    transferred = manager.transfer_fields(query)
    np.testing.assert_array_equal(dense(transferred, "counts", [5, 1]), adata.X[[5, 1]].toarray())


def test_missing_features_and_modalities_of_another_object():
    mdata = toy_mudata()
    manager = manager_of(mdata)
    part = md.MuData({"atac": mdata["atac"][:, [9, 0]].copy()})
    transferred = manager.transfer_fields(part)
    np.testing.assert_array_equal(transferred.observed["atac"], [0, 9])
    assert list(transferred.observed) == ["atac"]
    assert transferred.summary.n_features == {"rna": 12, "atac": 15}
    counts = transferred.create_torch_dataset()[[5, 1]]["counts"]
    assert counts["rna"].n_features == 12 and not counts["rna"].library.any()
    np.testing.assert_array_equal(
        counts["atac"].to_dense()[:, [9, 0]], part["atac"].X[[5, 1]].toarray()
    )
    np.testing.assert_array_equal(
        counts["atac"].library, np.asarray(part["atac"].X[[5, 1]].sum(1)).ravel()
    )
    assert transferred.matrix("rna").shape == (40, 12)
    assert transferred.matrix("rna").nnz == 0


def test_unmeasured_modalities_of_a_mosaic_are_empty_rows():
    mdata = toy_mudata()
    mosaic = md.MuData({"rna": mdata["rna"][:30].copy(), "atac": mdata["atac"][20:].copy()})
    manager = manager_of(mosaic)
    batch = manager.create_torch_dataset()[range(40)]["counts"]
    assert (batch["rna"].library[30:] == 0).all()
    assert (batch["atac"].library[:20] == 0).all()
    names = mosaic.obs_names
    for modality, counts in batch.items():
        part = mosaic[modality]
        here = np.flatnonzero(names.isin(part.obs_names))
        expected = part[names[here]].X.toarray()
        np.testing.assert_array_equal(counts.to_dense().numpy()[here], expected)


def test_codes_of_labels_and_covariates():
    adata = toy_adata()
    adata.obs.loc["cell0", "label"] = None
    adata.obs.loc["cell1", "label"] = "unknown"
    manager = manager_of(
        adata,
        labels_key="label",
        batch_key="batch",
        categorical_covariate_keys=["site"],
        continuous_covariate_keys=["age"],
    )
    summary = manager.summary
    assert list(summary.labels) == ["A", "B", "C"]
    assert {k: list(v) for k, v in summary.covariates.items()} == {
        "batch": ["b0", "b1"],
        "site": ["x", "y", "z"],
    }
    batch = manager.create_torch_dataset()[range(6)]
    assert batch["labels"].tolist() == [-1, -1, 2, 0, 1, 2]
    assert batch["covariates"].tolist() == [[0, 0], [1, 0], [0, 0], [1, 1], [0, 1], [1, 1]]
    np.testing.assert_allclose(batch["continuous"][:, 0], adata.obs["age"][:6], rtol=1e-6)


def test_labels_of_another_object():
    manager = manager_of(toy_adata(), labels_key="label")
    query = toy_adata()
    query.obs["label"] = ["B", "never seen"] * 20
    assert manager.transfer_fields(query).create_torch_dataset().labels.tolist() == [1, -1] * 20
    del query.obs["label"]
    query = query.copy()
    assert (manager.transfer_fields(query).create_torch_dataset().labels == -1).all()


def test_integer_labels_and_batches():
    adata = toy_adata()
    adata.obs["label"] = np.arange(40) % 3 + 5
    adata.obs["batch"] = np.arange(40) % 2
    manager = manager_of(adata, labels_key="label", batch_key="batch")
    assert manager.summary.labels.tolist() == [5, 6, 7]
    assert manager.create_torch_dataset()[[1]]["labels"].tolist() == [1]


def test_scvi_tools_data_loader():
    adata = toy_adata()
    loader = AnnDataLoader(manager_of(adata), indices=np.arange(40) > 9, batch_size=16)
    batches = list(loader)
    assert [len(b["cells"]) for b in batches] == [16, 14]
    found = np.concatenate([b["counts"]["counts"].to_dense().numpy() for b in batches])
    np.testing.assert_array_equal(found, adata.X[10:].toarray())


def test_replaced_counts_are_detected():
    adata = toy_adata()
    manager = manager_of(adata)
    dense(manager, "counts", [0])
    adata.X = adata.X * 3
    np.testing.assert_array_equal(dense(manager, "counts", [0]), adata.X[[0]].toarray())
