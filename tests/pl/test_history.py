"""Curves, marks and limits of the training history."""

from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from multiDGD import pl


def table(name, values, epochs=None):
    index = pd.Index(range(len(values)) if epochs is None else epochs, name="epoch")
    return pd.DataFrame({name: values}, index=index)


@pytest.fixture
def log():
    epochs = np.arange(40)
    falling = 100 * np.exp(-epochs / 2) + 5
    validation = falling + 0.01 * (epochs - 25) ** 2
    curves = {
        "train_loss_step": np.arange(400.0),
        "train_loss_epoch": falling,
        "validation_loss": validation,
        "mixture_loss_train": falling / 10,
        "elbo_train": falling,
        "elbo_validation": validation,
        "reconstruction_loss_rna_train": falling,
        "reconstruction_loss_rna_validation": np.where(epochs % 5 == 0, validation, np.nan),
        "kl_global_train": falling,
        "l1_train": np.zeros(40),
        "lr-Adam": np.full(40, 0.1),
    }
    return {name: table(name, values) for name, values in curves.items()}


def lines(ax):
    return {line.get_label(): line for line in ax.get_lines() if line.get_label()[0] != "_"}


def titles(axes):
    """First lines of the titles; the second ones have numbers."""
    return [ax.get_title().split("\n")[0] for ax in axes]


def test_one_panel_per_term_and_one_curve_per_split(log):
    axes = pl.history(SimpleNamespace(history=log))
    assert titles(axes) == ["elbo", "mixture loss", "reconstruction loss rna"]
    drawn = lines(axes[0])
    np.testing.assert_allclose(drawn["train"].get_ydata(), log["elbo_train"]["elbo_train"])
    np.testing.assert_allclose(
        drawn["validation"].get_ydata(), log["elbo_validation"]["elbo_validation"]
    )
    assert list(lines(axes[1])) == ["train"]
    assert axes[0].get_xlabel() == "epoch"
    assert axes[0].get_ylabel() == "loss (nats per cell)"
    assert [text.get_text() for text in axes[0].get_legend().get_texts()] == list(drawn)
    assert len(axes[0].figure.axes) == 3


def test_total_and_sums_only_if_requested(log):
    axes = pl.history(log, ["loss", "kl_global", "l1"])
    assert titles(axes) == ["loss", "kl global", "l1"]
    assert list(lines(axes[0])) == ["train", "validation", "best epoch (26)"]
    del log["elbo_train"], log["elbo_validation"]
    assert titles(pl.history(log))[0] == "loss"


def test_titles_give_the_values_at_the_best_epoch(log):
    best = int(log["elbo_validation"]["elbo_validation"].idxmin())
    elbo, mixture, rna = pl.history(log)
    values = [log[f"elbo_{split}"].iloc[best, 0] for split in ("train", "validation")]
    assert elbo.get_title() == "elbo\ntrain {:,.5g}, validation {:,.5g}".format(*values)
    assert mixture.get_title().endswith(f"\ntrain {log['mixture_loss_train'].iloc[best, 0]:.5g}")
    # Validation cells were evaluated in every fifth epoch.
    last = log["reconstruction_loss_rna_validation"].iloc[best - best % 5, 0]
    assert rna.get_title().endswith(f"validation {last:.5g}")
    without = {name: log[name] for name in log if "validation" not in name}
    assert pl.history(without, "elbo").get_title() == "elbo\ntrain 5"
    thousands = {"elbo_train": table("elbo_train", [2000.0, 1234.56])}
    assert pl.history(thousands).get_title() == "elbo\ntrain 1,234.6"


def test_best_validation_epoch_is_marked_in_every_panel(log):
    best = int(log["elbo_validation"]["elbo_validation"].idxmin())
    assert 5 < best < 39
    axes = pl.history(log, ["elbo", "mixture_loss"])
    marker = lines(axes[0])[f"best epoch ({best + 1})"]
    assert marker.get_xdata() == [best + 1]
    assert marker.get_ydata() == [log["elbo_validation"]["elbo_validation"][best]]
    vertical = [line for line in axes[1].get_lines() if len(set(line.get_xdata())) == 1]
    assert [line.get_xdata()[0] for line in vertical] == [best + 1]


def test_epochs_without_validation_are_bridged(log):
    ax = pl.history(log, "reconstruction_loss_rna")
    np.testing.assert_array_equal(lines(ax)["validation"].get_xdata(), np.arange(1, 41, 5))
    assert np.isfinite(lines(ax)["validation"].get_ydata()).all()


def test_limits_show_the_settled_part(log):
    low, high = pl.history(log, "elbo").get_ylim()
    settled = log["elbo_validation"]["elbo_validation"][4:]
    assert low < log["elbo_train"]["elbo_train"].min()
    assert settled.max() < high < 30


def test_legends_do_not_repeat_entries(log):
    axes = pl.history(log, ["mixture_loss", "elbo", "loss"])
    assert [len(ax.get_legend().get_texts()) if ax.get_legend() else 0 for ax in axes] == [1, 3, 0]


def test_real_training(multiome):
    axes = pl.history(multiome)
    names = titles(axes)
    assert names[:2] == ["loss", "reconstruction loss"]
    assert {"reconstruction loss rna", "reconstruction loss atac", "mixture loss"} < set(names)
    # Early stopping uses the same epoch.
    best = int(multiome.history["validation_loss"].iloc[:, 0].astype(float).idxmin())
    for ax in axes:
        assert {"train", "validation", f"best epoch ({best + 1})"} <= set(lines(ax))


def test_limits_of_a_short_history_include_all_epochs():
    ax = pl.history({"elbo_train": table("elbo_train", [100.0, 2.0, 1.0])})
    low, high = ax.get_ylim()
    assert low < 1 and high > 100


def test_constant_curve_has_limits():
    low, high = pl.history({"a_train": table("a_train", np.full(30, 2.0))}).get_ylim()
    assert low < 2 < high


def test_values_logged_as_objects():
    values = pd.DataFrame({"elbo_train": np.array([3, 2.5, 1], dtype=object)})
    np.testing.assert_allclose(
        lines(pl.history({"elbo_train": values}))["train"].get_ydata(), [3, 2.5, 1]
    )


def test_draws_on_given_axes_and_saves(log, tmp_path):
    figure, ax = plt.subplots()
    assert pl.history(log, "elbo", ax=ax, save=tmp_path / "history.png") is ax
    assert (tmp_path / "history.png").stat().st_size > 1000
    assert plt.get_fignums() == [figure.number]


def test_shown_only_if_requested(log, monkeypatch):
    shown = []
    monkeypatch.setattr(plt, "show", lambda: shown.append(True))
    pl.history(log, "elbo")
    assert not shown
    pl.history(log, "elbo", show=True)
    assert shown == [True]


def test_errors(log):
    with pytest.raises(ValueError, match="train it first"):
        pl.history(SimpleNamespace(history=None))
    with pytest.raises(ValueError, match=r"'elbow' is not in the history.*\['elbo'"):
        pl.history(log, "elbow")
    with pytest.raises(ValueError, match="at least one term"):
        pl.history(log, [])
    with pytest.raises(ValueError, match="no term logged"):
        pl.history({"lr": table("lr", [1.0])})
    with pytest.raises(TypeError, match="`ax` must be a matplotlib Axes, found str"):
        pl.history(log, "elbo", ax=["not an axes"])
    with pytest.raises(ValueError, match="`ax` has 1 axes for 2 terms"):
        pl.history(log, ["elbo", "loss"], ax=plt.subplots()[1])


def test_the_loss_of_a_single_modality_is_not_repeated(log):
    log["reconstruction_loss_train"] = log["reconstruction_loss_rna_train"]
    assert titles(pl.history(log)) == ["elbo", "reconstruction loss", "mixture loss"]
    log["reconstruction_loss_atac_train"] = log["mixture_loss_train"]
    assert len(pl.history(log)) == 5


def test_nothing_was_logged():
    empty = {"train_loss": table("train_loss", [])}
    with pytest.raises(ValueError, match="has no history.* queries without new categories"):
        pl.history(SimpleNamespace(history=empty))
