"""Counts of any type and place have the same minibatches as float32 in memory."""

import anndata as ad
import numpy as np
import pytest
import scipy.sparse as sp
from tests.data.test_dataset import dense, manager_of
from tests.toy import toy_adata

from multiDGD import MultiDGD
from multiDGD.data import _matrix_reader
from multiDGD.data._matrix_reader import MatrixReader

CELLS = [7, 3, 11, 3]


@pytest.fixture
def x():
    return toy_adata(dense=True).X


def with_duplicates(x):
    """CSR matrix whose counts above 1 are stored as two entries."""
    coo = sp.coo_matrix(x)
    above = coo.data > 1
    rows, columns = np.r_[coo.row, coo.row[above]], np.r_[coo.col, coo.col[above]]
    values = np.r_[np.where(above, 1, coo.data), coo.data[above] - 1].astype(np.float32)
    order = np.argsort(rows, kind="stable")
    indptr = np.r_[0, np.bincount(rows, minlength=len(x)).cumsum()]
    return sp.csr_matrix((values[order], columns[order], indptr), x.shape)


def read_only(x):
    x = x.copy()
    x.flags.writeable = False
    return x


@pytest.mark.filterwarnings("ignore:the matrix subclass", "ignore:X should not be a np.matrix")
@pytest.mark.parametrize(
    "convert",
    [
        *(
            lambda x, t=t: x.astype(t)
            for t in ("f2", "f8", "i1", "u8", "i8", ">f4", ">i2", object)
        ),
        lambda x: sp.csc_matrix(x.astype(np.int64)),
        np.matrix,
        lambda x: np.ma.masked_array(x),
        with_duplicates,
        read_only,
    ],
)
def test_types_in_memory(convert, x):
    adata = toy_adata()
    adata.X = convert(x)
    manager = manager_of(adata)
    np.testing.assert_array_equal(dense(manager, "counts", CELLS), x[CELLS])
    np.testing.assert_array_equal(manager.matrix("counts").toarray(), x)
    np.testing.assert_array_equal(manager.fingerprints, manager_of(toy_adata()).fingerprints)


def test_two_index_types(x):
    """scipy would convert the columns of all non-zeros for each minibatch."""
    matrix = sp.csr_matrix(x)
    matrix.indptr = matrix.indptr.astype(np.int64)
    reader = MatrixReader(matrix)
    assert reader.csr.indptr.dtype == reader.csr.indices.dtype == np.int32
    assert np.shares_memory(reader.csr.indices, matrix.indices)
    assert np.shares_memory(reader.csr.data, matrix.data)
    np.testing.assert_array_equal(reader.rows(np.array(CELLS)).toarray(), x[CELLS])
    assert matrix.indptr.dtype == np.int64


def test_booleans():
    adata = toy_adata()
    adata.X = adata.X > 0
    expected = adata.X.toarray().astype(np.float32)
    np.testing.assert_array_equal(dense(manager_of(adata), "counts", CELLS), expected[CELLS])


def test_repeated_entries_of_small_integers_do_not_overflow():
    adata = ad.AnnData(np.zeros((2, 3), np.float32))
    half = (np.array([200, 200, 3], np.uint8), np.array([1, 1, 0]), np.array([0, 2, 3]))
    adata.X = sp.csr_matrix(half, (2, 3))
    np.testing.assert_array_equal(
        dense(manager_of(adata), "counts", [0, 1]), [[0, 400, 0], [3, 0, 0]]
    )


@pytest.mark.filterwarnings("ignore:Writing zarr v2")
@pytest.mark.parametrize(
    "convert",
    [with_duplicates, sp.csr_matrix, sp.csc_matrix, np.asarray, lambda x: x.astype("f2")],
)
@pytest.mark.parametrize("suffix", ["h5ad", "zarr"])
def test_places_on_disk(convert, suffix, x, tmp_path):
    adata = toy_adata()
    adata.X = convert(x)
    path = str(tmp_path / f"x.{suffix}")
    if suffix == "h5ad":
        adata.write_h5ad(path)
        backed = ad.read_h5ad(path, backed="r")
    else:
        zarr = pytest.importorskip("zarr")
        adata.write_zarr(path)
        stored = zarr.open(path)["X"]
        matrix = stored if isinstance(stored, zarr.Array) else ad.io.sparse_dataset(stored)
        backed = ad.AnnData(matrix, obs=adata.obs, var=adata.var)
    manager = manager_of(backed, batch_key="batch")
    np.testing.assert_array_equal(dense(manager, "counts", CELLS), x[CELLS])
    np.testing.assert_array_equal(manager.fingerprints, manager_of(toy_adata()).fingerprints)
    before = manager.libraries
    manager.validate()
    assert manager.libraries is before


@pytest.mark.parametrize("convert", [np.asarray, sp.csr_matrix])
def test_dask(convert, x):
    array = pytest.importorskip("dask.array").from_array(x, chunks=(9, 12)).map_blocks(convert)
    manager = manager_of(ad.AnnData(array, obs=toy_adata().obs, var=toy_adata().var))
    np.testing.assert_array_equal(dense(manager, "counts", CELLS), x[CELLS])
    np.testing.assert_array_equal(manager.fingerprints, manager_of(toy_adata()).fingerprints)


def test_lazy_objects_raise(tmp_path):
    pytest.importorskip("dask.array")
    toy_adata().write_h5ad(tmp_path / "x.h5ad")
    lazy = ad.experimental.read_lazy(tmp_path / "x.h5ad")
    with pytest.raises(ValueError, match=r"`adata` is lazy.*to_memory"):
        MultiDGD.setup_anndata(lazy, batch_key="batch")


def test_views_of_backed_objects_raise(tmp_path):
    toy_adata().write_h5ad(tmp_path / "x.h5ad")
    backed = ad.read_h5ad(tmp_path / "x.h5ad", backed="r")
    with pytest.raises(ValueError, match=r"view of an object on disk.*to_memory"):
        MultiDGD.setup_anndata(backed[:9])
    backed.file.close()


@pytest.mark.parametrize(
    ("convert", "message"),
    [
        (lambda x: np.where(x > 2, "many", x).astype(object), "`X` has dtype object .*'many'"),
        (lambda x: np.ma.masked_array(x, x > 2), "`X` contains NaN"),
        (lambda x: x.astype(complex), "`X` must contain numbers, found complex128"),
    ],
)
def test_other_types_raise(convert, message, x):
    adata = toy_adata()
    adata.X = convert(x)
    with pytest.raises(ValueError, match=message):
        MultiDGD.setup_anndata(adata)


@pytest.mark.parametrize("gap", [0, 2, 100])
@pytest.mark.parametrize("convert", [sp.csr_matrix, np.asarray])
def test_rows_on_disk_are_read_in_runs(gap, convert, monkeypatch, x, tmp_path):
    monkeypatch.setattr(_matrix_reader, "_MAX_GAP", gap)
    adata = toy_adata()
    adata.X = convert(x)
    adata.write_h5ad(tmp_path / "x.h5ad")
    backed = ad.read_h5ad(tmp_path / "x.h5ad", backed="r")
    reader = MatrixReader(backed.X)
    for rows in ([], [4], [4, 5, 6, 9], [9, 2, 30, 2, 3]):
        found = reader.rows(np.array(rows, dtype=int)).toarray()
        np.testing.assert_array_equal(found, x[rows])
    backed.file.close()
