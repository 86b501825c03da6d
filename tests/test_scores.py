"""Scores against values computed by hand."""

import numpy as np
import pytest

from multiDGD._scores import batch_mixing, kmeans_nmi_ari, knn_accuracy, mean_correlation


def blobs(sizes, distance=10.0, seed=0):
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(len(sizes)), sizes)
    return rng.normal(size=(len(labels), 2)) + distance * labels[:, None], labels


class TestKnnAccuracy:
    def test_separate_and_random_labels(self):
        x, labels = blobs([40, 40])
        assert knn_accuracy(x, labels) == 1.0
        shuffled = np.random.default_rng(1).permutation(labels)
        assert 0.25 < knn_accuracy(x, shuffled) < 0.75

    def test_every_error_counts(self):
        # One cell of "b" is among "a" and one of "a" among "b": 2 errors in 40.
        x, labels = blobs([20, 20])
        labels[[3, 30]] = labels[[30, 3]]
        assert knn_accuracy(x, labels, n_neighbors=5) == pytest.approx(38 / 40)

    def test_small_classes_are_scored_but_single_cells_are_not(self):
        x, labels = blobs([30, 3, 1], distance=100.0)
        # The nearest neighbour of each held-out cell of the small class is in that class.
        assert knn_accuracy(x, labels, n_neighbors=1) == 1.0
        # With fifteen neighbours the class of three is outvoted: 3 errors in 33 scored cells.
        assert knn_accuracy(x, labels, n_neighbors=15) == pytest.approx(30 / 33)

    def test_every_class_is_smaller_than_the_number_of_folds(self):
        x, labels = blobs([3, 2], distance=100.0)
        assert knn_accuracy(x, labels, n_neighbors=1, n_splits=5) >= 0.6

    def test_unknown_labels_are_excluded(self):
        x, labels = blobs([20, 20, 20])
        names = np.array(["a", "b", "Mis"], dtype=object)[labels]
        x[labels == 2] = x[labels == 0]
        names[0], names[25] = np.nan, None
        assert knn_accuracy(x, names) == 1.0
        assert knn_accuracy(x, names, unknown=()) < 0.9

    @pytest.mark.parametrize(
        ("x", "labels", "match"),
        [
            (np.zeros(4), list("aabb"), "embedding"),
            (np.full((4, 2), np.nan), list("aabb"), "embedding"),
            (np.zeros((4, 2)), list("aab"), "labels"),
            (np.zeros((4, 2)), ["NA"] * 4, "labels"),
            (np.zeros((4, 2)), list("aaab"), "two classes"),
        ],
    )
    def test_bad_arguments(self, x, labels, match):
        with pytest.raises(ValueError, match=match):
            knn_accuracy(x, labels)


class TestKmeans:
    def test_perfect_and_random(self):
        x, labels = blobs([30, 30, 30])
        assert kmeans_nmi_ari(x, labels) == pytest.approx((1.0, 1.0))
        nmi, ari = kmeans_nmi_ari(x, np.random.default_rng(0).permutation(labels))
        assert nmi < 0.15
        assert abs(ari) < 0.15

    def test_hand_computed_merge(self):
        # Three classes of two cells in two clusters, {a, b} and {c}. Of 15 pairs, 3 share a class
        # (aa, bb, cc), 6 + 1 = 7 a cluster and 3 both. Expected 3*7/15 = 1.4, maximum 5.
        x = np.array([[0.0], [0.1], [0.2], [0.3], [9.0], [9.1]])
        nmi, ari = kmeans_nmi_ari(x, list("aabbcc"), n_clusters=2)
        assert ari == pytest.approx((3 - 1.4) / (5 - 1.4))
        cluster_entropy = -(2 / 3) * np.log(2 / 3) - (1 / 3) * np.log(1 / 3)
        assert nmi == pytest.approx(2 * cluster_entropy / (np.log(3) + cluster_entropy))

    def test_unknown_labels_do_not_add_to_the_default_number_of_clusters(self):
        x, labels = blobs([20, 20, 20])
        names = np.array(["a", "b", "NA"], dtype=object)[labels]
        assert kmeans_nmi_ari(x, names) == pytest.approx((1.0, 1.0))

    def test_bad_number_of_clusters(self):
        with pytest.raises(ValueError, match="n_clusters"):
            kmeans_nmi_ari(np.zeros((3, 1)), list("abc"), n_clusters=4)


class TestBatchMixing:
    def test_separate_is_zero_and_random_is_one(self):
        x, batch = blobs([100, 100])
        assert batch_mixing(x, batch) == 0.0
        shuffled = np.random.default_rng(0).permutation(batch)
        assert batch_mixing(x, shuffled) == pytest.approx(1.0, abs=0.03)

    def test_expectation_accounts_for_unequal_proportions(self):
        x, _ = blobs([600])
        batch = np.random.default_rng(0).permutation([0] * 540 + [1] * 60)
        assert batch_mixing(x, batch) == pytest.approx(1.0, abs=0.05)

    def test_composition_of_types_does_not_matter(self):
        x, labels = blobs([1000, 1000], distance=50.0)
        rng = np.random.default_rng(0)
        batch = rng.random(2000) < np.where(labels == 0, 0.8, 0.2)
        assert batch_mixing(x, batch, labels) == pytest.approx(1.0, abs=0.05)
        assert batch_mixing(x, batch) < 0.9

    def test_hand_computed(self):
        # On a line a a b b b: each cell has 4 // 2 = 2 neighbours.
        x = np.array([[0.0], [1.0], [2.5], [4.5], [7.5]])
        batch = list("aabbb")
        # Neighbours: 0 -> a b, 1 -> a b, 2 -> a b, 3 -> b (2.5) and b (7.5), 4 -> b b.
        entropies = np.array([1, 1, 1, 0, 0]) * np.log(2)
        # Chance of one of each in two draws: from a b b b, 1/2; from a a b b, 4/6.
        expected = np.log(2) * np.array([1 / 2, 1 / 2, 2 / 3, 2 / 3, 2 / 3])
        ratio = (entropies / expected).mean()
        assert ratio > 1
        assert batch_mixing(x, batch) == 1.0
        # With a second, unmixed type the score is the mean over cells of the unclipped ratios.
        far = np.r_[x, 100 + np.arange(10.0)[:, None]]
        both = np.r_[batch, ["a"] * 5 + ["b"] * 5]
        types = ["t"] * 5 + ["u"] * 10
        second = batch_mixing(far[5:], both[5:])
        assert batch_mixing(far, both, types) == pytest.approx((5 * ratio + 10 * second) / 15)

    def test_one_cell_of_another_batch_does_not_mask_separation(self):
        # All possible neighbours of the last cell are in one batch: its expected entropy is 0.
        x = np.r_[np.arange(20.0), 1000.0][:, None]
        batch = ["a"] * 20 + ["b"]
        assert batch_mixing(x, batch) == 0.0

    def test_nan_without_two_batches_or_enough_cells(self):
        assert np.isnan(batch_mixing(np.zeros((10, 1)), ["a"] * 10))
        assert np.isnan(batch_mixing(np.arange(4.0)[:, None], list("abab")))

    def test_unknown_types_and_bad_arguments(self):
        x, batch = blobs([50, 50])
        types = ["t"] * 50 + ["NA"] * 50
        assert np.isnan(batch_mixing(x, batch, types))
        with pytest.raises(ValueError, match="batch"):
            batch_mixing(x, batch[:-1])
        with pytest.raises(ValueError, match="n_neighbors"):
            batch_mixing(x, batch, n_neighbors=1)


class TestMeanCorrelation:
    def test_does_not_depend_on_scale(self):
        truth = np.random.default_rng(0).gamma(2.0, size=(30, 5))
        assert mean_correlation(truth * np.arange(1, 31)[:, None], truth) == pytest.approx((1, 1))

    def test_feature_means_alone_give_no_correlation_across_cells(self):
        rng = np.random.default_rng(0)
        truth = np.exp(rng.normal(size=(1, 40)) * 3 + rng.normal(size=(200, 40)) * 0.3)
        constant = np.exp(np.log(truth).mean(axis=0) + 1e-3 * rng.normal(size=truth.shape))
        overall, within = mean_correlation(constant, truth)
        assert overall > 0.95
        assert abs(within) < 0.2

    def test_constant_estimate_has_no_correlation(self):
        truth = np.random.default_rng(0).gamma(2.0, size=(30, 5))
        constant = np.tile(np.arange(1.0, 6.0), (30, 1))
        assert mean_correlation(constant, truth)[1] == pytest.approx(0.0, abs=1e-6)
        assert np.isnan(mean_correlation(truth, constant)[1])

    def test_bad_arguments(self):
        with pytest.raises(ValueError, match="estimate"):
            mean_correlation(np.zeros((2, 2)), np.ones((2, 2)))
        with pytest.raises(ValueError, match="truth"):
            mean_correlation(np.ones((2, 2)), np.ones((2, 3)))
