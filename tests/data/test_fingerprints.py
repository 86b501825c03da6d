import numpy as np
import pytest
import torch

from multiDGD.data import CellIndex, fingerprints
from multiDGD.nn import Counts


def batches(x, size, dtype=torch.float32):
    for start in range(0, len(x), size):
        part = torch.from_numpy(x[start : start + size]).to(dtype)
        yield {
            "counts": {
                "rna": Counts.from_dense(part[:, :4]),
                "adt": Counts.from_dense(part[:, 4:]),
            }
        }


@pytest.fixture
def x():
    return np.random.default_rng(0).poisson(2, (50, 7)).astype(np.float32)


def test_invariance_to_minibatch_size_and_dtype(x):
    expected = fingerprints(batches(x, 50))
    np.testing.assert_array_equal(fingerprints(batches(x, 7)), expected)
    np.testing.assert_array_equal(fingerprints(batches(x, 7, torch.float64)), expected)
    np.testing.assert_array_equal(fingerprints(batches(x, 7, torch.int32)), expected)


def test_fingerprints_follow_the_order_of_the_cells(x):
    order = np.random.default_rng(1).permutation(50)
    np.testing.assert_array_equal(
        fingerprints(batches(x[order], 8)), fingerprints(batches(x, 50))[order]
    )


def test_every_count_changes_the_fingerprint(x):
    base = fingerprints(batches(x, 50))
    for column in range(7):
        other = x.copy()
        other[:, column] += 1
        assert (fingerprints(batches(other, 50)) != base).all()
    swapped = x[:, [1, 0, 2, 3, 4, 5, 6]]
    changed = fingerprints(batches(swapped, 50)) != base
    np.testing.assert_array_equal(changed, x[:, 0] != x[:, 1])


def test_swapped_modalities_change_the_fingerprint():
    one = {
        "counts": {"a": Counts.from_dense(torch.eye(3)), "b": Counts.from_dense(torch.zeros(3, 3))}
    }
    two = {"counts": {"a": one["counts"]["b"], "b": one["counts"]["a"]}}
    assert (fingerprints([one]) != fingerprints([two])).all()


def test_find_requires_name_and_counts():
    prints = np.array([5, 6, 7], dtype=np.uint64)
    index = CellIndex(["a", "b", "c"], prints)
    assert index.find(["c", "a"], prints[[2, 0]]).tolist() == [2, 0]
    assert index.find(["c", "x", "a"], prints[[0, 1, 0]]).tolist() == [-1, -1, 0]
