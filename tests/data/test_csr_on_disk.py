"""Rows of CSR matrices on disk, in few long and many short runs."""

import anndata as ad
import h5py
import numpy as np
import pytest
import scipy.sparse as sp

from multiDGD.data import _csr_on_disk
from multiDGD.data._csr_on_disk import CsrOnDisk

pytestmark = pytest.mark.filterwarnings("ignore:zarr v3 autosharding")


@pytest.fixture
def x():
    x = np.random.default_rng(0).poisson(0.4, (300, 7)).astype(np.float32)
    x[100:110] = 0
    return sp.csr_matrix(x)


def stored(x, folder, place):
    if place == "zarr":
        zarr = pytest.importorskip("zarr")
        group = zarr.open_group(str(folder / "x.zarr"), mode="w")
    else:
        group = h5py.File(folder / "x.h5", "w")
    ad.io.write_elem(group, "X", x)
    return group["X"]


RUNS = {
    "many": [slice(i, i + 1) for i in range(0, 300, 3)],
    "few": [slice(0, 3), slice(50, 200), slice(299, 300)],
    "empty": [slice(100, 104), slice(106, 110)],
    "many empty": [slice(i, i + 1) for i in range(100, 110)] * 7,
}


@pytest.mark.parametrize("runs", RUNS)
@pytest.mark.parametrize("place", ["zarr", "h5"])
def test_runs(runs, place, x, tmp_path):
    matrix = CsrOnDisk(ad.io.sparse_dataset(stored(x, tmp_path, place)))
    found = matrix.read(RUNS[runs])
    expected = sp.vstack([x[run] for run in RUNS[runs]], format="csr")
    assert found.shape == expected.shape
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found.toarray(), expected.toarray())


@pytest.mark.parametrize(("runs", "by_position"), [("many", True), ("few", False)])
def test_zarr_reads_many_runs_at_once(runs, by_position, x, tmp_path):
    matrix = CsrOnDisk(ad.io.sparse_dataset(stored(x, tmp_path, "zarr")))
    read = []

    class Spy:
        def __init__(self, array):
            self.array = array

        def __getitem__(self, at):
            read.append("slice")
            return self.array[at]

        @property
        def oindex(self):
            read.append("positions")
            return self.array.oindex

    matrix._data, matrix._indices = Spy(matrix._data), Spy(matrix._indices)
    found = matrix.read(RUNS[runs])
    assert set(read) == {"positions" if by_position else "slice"}
    assert len(RUNS["many"]) > _csr_on_disk._MAX_SLICES
    expected = sp.vstack([x[run] for run in RUNS[runs]], format="csr")
    np.testing.assert_array_equal(found.toarray(), expected.toarray())
