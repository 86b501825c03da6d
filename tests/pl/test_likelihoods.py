"""Comparisons of likelihoods."""

import numpy as np
import pytest

from multiDGD import pl


def test_differences_and_their_intervals(compared):
    rna, atac = pl.likelihoods(compared)
    assert (rna.get_title(), atac.get_title()) == ("rna", "atac")
    assert [t.get_text() for t in atac.get_yticklabels()] == ["nb", "poisson", "bernoulli"]
    (bars,) = rna.containers
    points, _, (lines,) = bars
    np.testing.assert_allclose(points.get_xdata(), [0, -66])
    np.testing.assert_allclose(points.get_ydata(), [0, 1])
    ends = lines.get_segments()[1][:, 0]
    np.testing.assert_allclose(ends, [-66 - 1.96 * 4, -66 + 1.96 * 4])
    assert rna.get_xlabel() == "log-likelihood difference from nb\n(nats per cell, 95 % interval)"
    assert rna.get_ylim()[0] > rna.get_ylim()[1]  # the first is on top


def test_likelihood_without_a_difference_has_a_note(compared):
    _, atac = pl.likelihoods(compared)
    assert len(atac.containers[0][0].get_xdata()) == 2
    (text,) = atac.texts
    assert text.get_text() == "models detection only"
    assert text.get_position()[1] == 2


def test_detection_is_defined_for_all_likelihoods(compared):
    _, atac = pl.likelihoods(compared, by="detection")
    np.testing.assert_allclose(atac.containers[0][0].get_xdata(), [-298, -307, -314])
    assert not atac.texts
    assert atac.get_xlabel() == "log-likelihood of detection\n(nats per cell, 95 % interval)"


def test_errors(compared):
    with pytest.raises(ValueError, match="`by` must be one of"):
        pl.likelihoods(compared, by="log_likelihood")
    with pytest.raises(ValueError, match="missing the columns .*compare_likelihoods"):
        pl.likelihoods(compared.drop(columns="detection_se"), by="detection")
    with pytest.raises(ValueError, match="has no rows"):
        pl.likelihoods(compared.iloc[:0])
