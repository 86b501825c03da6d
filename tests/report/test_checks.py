"""Traffic lights at their thresholds."""

import numpy as np
import pytest

from multiDGD.report import Light
from multiDGD.report import _checks as checks
from multiDGD.report._sections import Curve, Group, Prediction


def prediction(model, pca, se=0.01):
    return Prediction("rna", 50, model, pca, se)


@pytest.mark.parametrize(
    ("model", "pca", "light"),
    [
        (0.3, 0.2, Light.GOOD),
        (0.3, 0.3199, Light.GOOD),  # within two standard errors
        (0.3, 0.3201, Light.LOOK),
        (0.3, None, Light.GOOD),
        (0.0, -0.2, Light.ACT),  # no better than the average profile
    ],
)
def test_prediction(model, pca, light):
    found = checks.check_prediction([prediction(0.5, 0.4), prediction(model, pca)])
    assert found.light is light
    assert bool(found.advice) == (light is not Light.GOOD)


def test_prediction_without_held_out_cells():
    found = checks.check_prediction([])
    assert found.light is Light.UNKNOWN
    assert "validation cells" in found.advice


def curve(train, validation=()):
    def table(loss):
        return np.stack([np.arange(1, len(loss) + 1), loss], 1) if len(loss) else np.zeros((0, 2))

    return Curve("all", table(np.asarray(train)), table(np.asarray(validation)))


EXPONENTIAL = np.exp(-np.arange(40) / 5)


@pytest.mark.parametrize(
    ("train", "validation", "light", "advice"),
    [
        (EXPONENTIAL, EXPONENTIAL, Light.GOOD, ""),
        (np.linspace(1, 0, 41), (), Light.LOOK, "more epochs"),
        (np.r_[np.ones(36), np.linspace(1, 0, 5)], (), Light.ACT, "more epochs"),
        (EXPONENTIAL, np.r_[EXPONENTIAL[:20], EXPONENTIAL[19] + 0.05], Light.LOOK, "fewer epochs"),
        (EXPONENTIAL, np.r_[EXPONENTIAL[:20], EXPONENTIAL[19] + 0.5], Light.ACT, "fewer epochs"),
        (EXPONENTIAL[:3], (), Light.ACT, "more epochs"),
        (np.ones(40), (), Light.ACT, "more epochs"),  # the loss does not decrease
    ],
)
def test_convergence(train, validation, light, advice):
    found = checks.check_convergence([curve(train, validation)], len(train), len(train))
    assert found.light is light
    assert advice in found.advice


def test_few_epochs():
    settled = curve(EXPONENTIAL, EXPONENTIAL)
    short = checks.check_convergence([settled], 40, 100)
    assert short.light is Light.LOOK
    assert "the default is 100 epochs" in short.value and "more epochs" in short.advice
    assert checks.check_convergence([settled], 40, 80).light is Light.GOOD
    # Training stopped because the validation loss did not decrease any more.
    stopped = curve(EXPONENTIAL, np.r_[EXPONENTIAL[:30], np.full(10, EXPONENTIAL[29] + 1e-4)])
    assert checks.check_convergence([stopped], 40, 100).light is Light.GOOD


def test_convergence_without_history():
    assert checks.check_convergence([], 0, 60).light is Light.UNKNOWN


@pytest.mark.parametrize(
    ("mixing", "light"),
    [(0.7, Light.GOOD), (0.69, Light.LOOK), (0.4, Light.LOOK), (0.3, Light.ACT)],
)
def test_mixing(mixing, light):
    found = checks.check_mixing("donor", mixing, None)
    assert found.light is light
    assert bool(found.advice) == (light is not Light.GOOD)
    assert "label_key" not in checks.check_mixing("donor", mixing, "cell_type").advice


@pytest.mark.parametrize("mixing", [None, np.nan])
def test_mixing_that_cannot_be_measured(mixing):
    assert checks.check_mixing("donor", mixing, None).light is Light.UNKNOWN
    assert "batch_key" in checks.check_mixing(None, mixing, None).advice


@pytest.mark.parametrize(
    ("share", "light"),
    [(0.05, Light.GOOD), (0.1, Light.GOOD), (0.15, Light.LOOK), (0.21, Light.ACT)],
)
def test_typicality(share, light):
    assert checks.check_typicality(share, 500, []).light is light


def test_one_atypical_batch():
    def group(n, share):
        return ("donor", Group("d1", n, {}, share))

    assert checks.check_typicality(0.05, 500, [group(100, 0.3)]).light is Light.LOOK
    assert "30.0 % in donor d1" in checks.check_typicality(0.05, 500, [group(100, 0.3)]).value
    assert checks.check_typicality(0.05, 500, [group(20, 0.3)]).light is Light.GOOD  # too few
    assert checks.check_typicality(0.05, 500, [group(100, np.nan)]).light is Light.GOOD


@pytest.mark.parametrize(
    ("reliability", "light"),
    [(0.8, Light.GOOD), (0.79, Light.LOOK), (0.4, Light.ACT), (None, Light.UNKNOWN)],
)
def test_depth(reliability, light):
    assert checks.check_depth(reliability, "rna 500").light is light
