"""Reliability diagrams."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binomtest

from multiDGD import pl


def drawn(ax):
    return np.asarray(ax.collections[-1].get_offsets())


def table(p):
    return pd.DataFrame({"T": p, "B": 1 - np.asarray(p)}, index=[f"c{i}" for i in range(6)])


def test_bins_by_hand():
    ax = pl.calibration(table([0.96, 0.94, 0.98, 0.62, 0.64, 0.04]), list("TTBTBB"))
    np.testing.assert_allclose(drawn(ax), [[0.63, 0.5], [0.96, 0.75]])
    ece = (2 * 0.13 + 4 * 0.21) / 6
    assert ax.get_title() == f"ECE {ece:.3f}, 6 cells"
    assert [t.get_text() for t in ax.texts] == ["2", "4"]
    small, large = ax.collections[-1].get_sizes()
    assert small < large
    ends = [segment[:, 1] for segment in ax.collections[0].get_segments()]
    for (low, high), (k, n) in zip(ends, [(1, 2), (3, 4)], strict=True):
        wilson = binomtest(k, n).proportion_ci(method="wilson")
        np.testing.assert_allclose((low, high), wilson, atol=1e-4)


def test_labels_are_matched_by_name_and_missing_labels_left_out():
    labels = pd.Series(list("BBTTTT"), index=[f"c{i}" for i in range(5, -1, -1)], dtype=object)
    labels["c0"] = None
    ax = pl.calibration(table([0.95] * 6), labels)
    np.testing.assert_allclose(drawn(ax), [[0.95, 0.6]])
    assert "5 cells" in ax.get_title()


def test_unknown_labels_count_as_wrong():
    ax = pl.calibration(table([0.95] * 6), ["T", "T", "T", "NK", "NK", "NK"])
    np.testing.assert_allclose(drawn(ax), [[0.95, 0.5]])


def test_labels_without_a_type_are_left_out():
    ax = pl.calibration(table([0.95] * 6), ["T", "T", "T", "NK", "NA", "unknown"])
    np.testing.assert_allclose(drawn(ax), [[0.95, 0.75]])
    named = table([0.95] * 6).rename(columns={"T": "unknown"})
    assert "6 cells" in pl.calibration(named, ["unknown"] * 6).get_title()


def test_real_labels(multiome):
    held_out = multiome.validation_indices
    probabilities = multiome.predict(indices=held_out, soft=True)
    labels = multiome.adata.obs["cell_type"]
    ax = pl.calibration(probabilities, labels, n_bins=5)
    is_correct = multiome.predict(indices=held_out) == labels.iloc[held_out].to_numpy()
    n = np.array([int(t.get_text()) for t in ax.texts])
    assert n.sum() == len(held_out)
    assert (n * drawn(ax)[:, 1]).sum() == pytest.approx(is_correct.sum())
    assert len(n) <= 5
    assert ax.get_xlabel() == "probability of the predicted label"
    assert ax.get_ylabel() == "observed accuracy"


def test_errors():
    good = table([0.9] * 6)
    with pytest.raises(
        TypeError, match="`probabilities` must be a table returned by .* found ndarray"
    ):
        pl.calibration(good.to_numpy(), list("TTTTTT"))
    with pytest.raises(ValueError, match="rows that sum to 1"):
        pl.calibration(good * 2, list("TTTTTT"))
    with pytest.raises(ValueError, match="5 entries for 6 cells"):
        pl.calibration(good, list("TTTTT"))
    with pytest.raises(ValueError, match="no entry for 1 of 6 cells, such as 'c0'"):
        pl.calibration(good, pd.Series(list("TTTTT"), index=good.index[1:]))
    with pytest.raises(ValueError, match=r"`labels`: 't' .*Nearest names: \['T', 'B'\]"):
        pl.calibration(good, list("tttttt"))
    with pytest.raises(ValueError, match="only missing values"):
        pl.calibration(good, [None] * 6)
    with pytest.raises(ValueError, match="`n_bins` must be an integer of at least 1"):
        pl.calibration(good, list("TTTTTT"), n_bins=0)
