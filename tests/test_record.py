"""States of records contain plain values and restore the records."""

from dataclasses import FrozenInstanceError, replace

import numpy as np
import pytest
import torch

from multiDGD.inference import OutputPosterior
from multiDGD.model.core._learned import Learned
from multiDGD.stats import Imputer, LabelCalibration, LibraryRegression


@pytest.fixture
def posterior():
    return OutputPosterior(torch.ones(2), torch.eye(2), torch.ones(2), torch.ones(3), 30.0)


def test_tensors_are_arrays_in_the_state_and_tensors_again(posterior):
    state = posterior.state()
    assert isinstance(state["basis"], np.ndarray)
    restored = OutputPosterior.from_state(state)
    assert isinstance(restored.basis, torch.Tensor)
    assert torch.equal(restored.basis, posterior.basis)
    assert restored.prior_precision == 30.0


def test_records_do_not_change(posterior):
    with pytest.raises(FrozenInstanceError):
        posterior.prior_precision = 1.0


def test_every_learned_record_is_in_the_state(posterior):
    regression = LibraryRegression(["rna"], np.zeros(3), np.ones(3), np.eye(3), 10)
    learned = Learned(
        library_medians={"rna": 5.0},
        library_regression=regression,
        imputers={"rna": Imputer(regression)},
        output_posteriors={"rna": posterior},
        typical_scores=np.arange(3.0),
        labels=LabelCalibration(2.0, 0.5, 0.1, np.eye(2)),
    )
    restored = Learned.from_state(learned.state())
    for name, value in learned.state().items():
        np.testing.assert_equal(restored.state()[name], value)
    assert restored.imputers["rna"].depth.n_cells == 10
    assert restored.labels.temperature == 2.0
    changed = replace(learned, typical_scores=None)
    assert learned.typical_scores is not None and changed.typical_scores is None
