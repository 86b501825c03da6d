import numpy as np
import pytest
import scvi
import torch
from tests.toy import toy_mudata

from multiDGD import MultiDGD, _scores

QUIET = {"enable_progress_bar": False, "accelerator": "cpu"}


def test_bf16_reaches_the_same_loss():
    losses = {}
    for precision in ("32-true", "bf16-mixed"):
        torch.manual_seed(0)
        mdata = toy_mudata()
        MultiDGD.setup_mudata(mdata)
        model = MultiDGD(mdata, n_latent=3, n_components=2)
        model.train(max_epochs=30, batch_size=8, precision=precision, **QUIET)
        losses[precision] = model.history["train_loss"].iloc[-1, 0]
        # Parameters are stored in float32, also with mixed precision.
        assert all(p.dtype == torch.float32 for p in model.module.parameters())
    assert losses["bf16-mixed"] != losses["32-true"]
    assert losses["bf16-mixed"] == pytest.approx(losses["32-true"], rel=0.02)


def test_bf16_is_as_good_on_real_data(bmmc_multiome):
    """Tolerances match the variation between seeds."""
    labels = bmmc_multiome.obs["cell_type"].astype(str).to_numpy()
    scores = {}
    for precision in ("32-true", "bf16-mixed"):
        scvi.settings.seed = 0
        MultiDGD.setup_mudata(bmmc_multiome, batch_key="batch")
        model = MultiDGD(bmmc_multiome)
        model.train(max_epochs=25, precision=precision, **QUIET)
        embedding = model.get_latent_representation()
        error = model.get_reconstruction_error()
        scores[precision] = _scores.knn_accuracy(embedding, labels), sum(error.values())
    (accuracy, error), (accuracy_low, error_low) = scores.values()
    assert accuracy > 0.55
    assert accuracy_low == pytest.approx(accuracy, abs=0.03)
    assert error_low == pytest.approx(error, rel=0.005)
    assert np.isfinite(error)
