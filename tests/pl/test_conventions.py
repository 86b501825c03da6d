"""Conventions shared by all plots: axes in, axes out, saving and showing."""

import inspect

import matplotlib.pyplot as plt
import pytest

from multiDGD import pl

# A call of each function that draws on a single axes; fixtures by name.
CALLS = {
    "calibration": lambda get, **kw: pl.calibration(
        get("multiome").predict(indices=range(50), soft=True),
        get("multiome").adata.obs["cell_type"],
        **kw,
    ),
    "composition": lambda get, **kw: pl.composition(get("multiome"), **kw),
    "counts_vs_predicted": lambda get, **kw: pl.counts_vs_predicted(get("multiome"), **kw),
    "covariate_representation": lambda get, **kw: pl.covariate_representation(
        get("multiome"), **kw
    ),
    "history": lambda get, **kw: pl.history(get("multiome"), "loss", **kw),
    "likelihoods": lambda get, **kw: pl.likelihoods(get("compared").iloc[:2], **kw),
    "locus": lambda get, **kw: pl.locus(get("links"), "LYZ", window=None, **kw),
    "modalities": lambda get, **kw: pl.modalities(get("mosaic").adata, **kw),
    "perturbation": lambda get, **kw: pl.perturbation(get("changes"), **kw),
    "representation": lambda get, **kw: pl.representation(get("multiome"), "cell_type", **kw),
    "uncertainty": lambda get, **kw: pl.uncertainty(get("multiome"), basis="X_two", **kw),
    "volcano": lambda get, **kw: pl.volcano(get("differential"), "B vs Rest", **kw),
}


@pytest.fixture
def get(request):
    def value(name):
        found = request.getfixturevalue(name)
        if name == "multiome":
            found.adata.obsm["X_two"] = found.get_latent_representation()[:, :2]
        return found

    return value


def test_every_plot_is_tested():
    assert set(CALLS) == set(pl.__all__)


@pytest.mark.parametrize("name", CALLS)
def test_draws_on_given_axes_only(name, get):
    figure, (left, right) = plt.subplots(1, 2)
    returned = CALLS[name](get, ax=right)
    assert returned is right
    assert right.has_data() or right.patches
    assert not left.has_data() and not left.patches
    assert plt.get_fignums() == [figure.number]


@pytest.mark.parametrize("name", CALLS)
def test_new_figure_is_saved_and_not_shown(name, get, tmp_path, monkeypatch):
    shown = []
    monkeypatch.setattr(plt, "show", lambda: shown.append(True))
    ax = CALLS[name](get, save=tmp_path / f"{name}.png")
    assert (tmp_path / f"{name}.png").read_bytes()[:4] == b"\x89PNG"
    assert plt.get_fignums() == [ax.figure.number]
    assert not shown
    assert inspect.signature(getattr(pl, name)).parameters["show"].default is None


def test_missing_folder_raises(get, tmp_path):
    with pytest.raises(FileNotFoundError, match="`save`: the folder .*no does not exist"):
        CALLS["history"](get, save=tmp_path / "no" / "history.png")


@pytest.mark.parametrize("name", CALLS)
def test_shown_if_requested(name, get, monkeypatch):
    shown = []
    monkeypatch.setattr(plt, "show", lambda: shown.append(True))
    CALLS[name](get, show=True)
    assert shown == [True]


@pytest.mark.parametrize("name", CALLS)
def test_other_objects_than_axes_are_an_error(name, get):
    figures = plt.get_fignums()
    with pytest.raises((TypeError, ValueError), match="`ax`"):
        CALLS[name](get, ax=["not an axes"])
    assert plt.get_fignums() == figures


@pytest.mark.parametrize("name", CALLS)
def test_axes_of_a_subfigure_are_saved_with_the_figure(name, get, tmp_path):
    left, _ = plt.figure(figsize=(16, 5), layout="constrained").subfigures(1, 2)
    CALLS[name](get, ax=left.subplots(), save=tmp_path / "figure.png")
    assert (tmp_path / "figure.png").is_file()
