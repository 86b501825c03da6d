"""Heat maps of labels by component."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.text import Text

from multiDGD import pl


def drawn(ax):
    """Values of the heat map as a table."""
    return pd.DataFrame(
        np.asarray(ax.images[0].get_array()),
        index=[t.get_text() for t in ax.get_yticklabels()],
        columns=[t.get_text() for t in ax.get_xticklabels()],
    )


def counts_by_hand(model, key):
    component = model.get_cluster_assignments().astype(str)
    return pd.crosstab(component, model.adata.obs[key].astype(str).to_numpy())


def test_shares_of_components(multiome):
    ax = pl.composition(multiome)
    counts = counts_by_hand(multiome, "cell_type")
    expected = counts.div(counts.sum(axis=1), axis=0)
    table = drawn(ax)
    assert table.shape == expected.shape
    np.testing.assert_allclose(table, expected.loc[table.index, table.columns])
    n_cells = {t.get_text() for t in ax.texts} - {"cells"}
    assert n_cells == {str(n) for n in counts.sum(axis=1)}
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("cell_type", "component")
    assert [a.get_ylabel() for a in ax.figure.axes[1:]] == ["share of the component's cells"]
    assert ax.images[0].get_clim() == (0, 1)


def test_shares_of_labels_and_numbers(mosaic):
    counts = counts_by_hand(mosaic, "celltype")
    table = drawn(pl.composition(mosaic, "celltype", normalize="label"))
    np.testing.assert_allclose(table.sum(axis=0), 1)
    np.testing.assert_allclose(table, (counts / counts.sum()).loc[table.index, table.columns])
    table = drawn(pl.composition(mosaic, "celltype", normalize=None))
    np.testing.assert_array_equal(table, counts.loc[table.index, table.columns])


def test_large_shares_lie_on_the_diagonal(multiome):
    table = drawn(pl.composition(multiome)).to_numpy()
    assert (np.diff(table.argmax(axis=1)) >= 0).all()


def test_labels_and_numbers_do_not_overlap(multiome):
    ax = pl.composition(multiome)
    ax.figure.draw_without_rendering()
    bar = ax.figure.axes[1]
    for texts in (ax.get_xticklabels(), ax.get_yticklabels(), ax.texts):
        boxes = [Text.get_window_extent(t) for t in texts]
        assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])
    assert not any(
        t.get_window_extent().overlaps(bar.get_tightbbox().padded(-1)) for t in ax.texts
    )


def test_table_and_unlabelled_cells(multiome, monkeypatch):
    table = pd.DataFrame([[0, 9, 1], [0, 0, 0], [4, 0, 0]], columns=["B", "T", "NK"])
    found = drawn(pl.composition(table))
    assert list(found.index) == ["0", "2"]  # component 1 has no cells
    assert list(found.columns) == ["T", "B", "NK"]
    np.testing.assert_allclose(found.loc["0"], [0.9, 0, 0.1])

    obs = multiome.adata.obs.copy()
    obs["some"] = np.where(np.arange(len(obs)) < 100, None, "known")
    obs.loc[obs.index[-50:], "some"] = "unknown"
    monkeypatch.setattr(multiome.adata, "obs", obs)
    found = drawn(pl.composition(multiome, "some", normalize=None))
    assert list(found.columns) == ["known"] and found.to_numpy().sum() == 350


def test_errors(multiome, mosaic):
    with pytest.raises(ValueError, match=r"`label_key`: 'celltype' .*'cell_type'"):
        pl.composition(multiome, "celltype")
    with pytest.raises(ValueError, match="`label_key` is required"):
        pl.composition(mosaic)
    with pytest.raises(ValueError, match="`normalize` must be one of"):
        pl.composition(multiome, normalize="cells")
    with pytest.raises(ValueError, match="nothing to draw"):
        pl.composition(pd.DataFrame(np.zeros((2, 2))))


@pytest.mark.parametrize("name", ["T", "CD14+ classical monocyte, interferon-stimulated"])
def test_new_figure_has_room_for_names_and_for_the_colour_bar(name):
    ax = pl.composition(pd.DataFrame([[3]], columns=[name]))
    ax.figure.draw_without_rendering()
    label = ax.figure.axes[1].yaxis.label.get_window_extent()
    assert ax.figure.bbox.y0 <= label.y0 and label.y1 <= ax.figure.bbox.y1
    assert ax.get_window_extent().height > 1.5 * ax.figure.dpi
