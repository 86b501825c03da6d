import torch

from multiDGD.nn import Counts

X = torch.tensor([[0.0, 2.0, 1.0], [0.0, 0.0, 0.0], [3.0, 0.0, 0.0], [1.0, 1.0, 1.0]])


def test_dense_round_trip():
    counts = Counts.from_dense(X)
    assert torch.equal(counts.to_dense(), X)
    assert torch.equal(counts.library, X.sum(1))
    assert (counts.n_cells, counts.n_features) == X.shape
    assert Counts.from_dense(X.int()).values.dtype == torch.float32


def test_take_equals_indexing_the_dense_matrix():
    counts = Counts.from_dense(X, library=torch.tensor([5.0, 0.0, 7.0, 9.0]))
    for cells in ([3, 0], [1], [2, 2, 1, 0, 2], [0, 1, 2, 3], []):
        index = torch.tensor(cells, dtype=torch.int64)
        taken = counts.take(index)
        torch.testing.assert_close(taken.to_dense(), X[index])
        torch.testing.assert_close(taken.library, counts.library[index])
        assert (taken.rows.diff() >= 0).all()
        assert len(taken.values) == (X[index] > 0).sum()


def test_concatenate_inverts_take():
    counts = Counts.from_dense(X)
    parts = [counts.take(torch.tensor(cells)) for cells in ([0], [1, 2], [3])]
    joined = Counts.concatenate(parts)
    for found, expected in zip(joined, counts, strict=True):
        assert torch.equal(torch.as_tensor(found), torch.as_tensor(expected))
