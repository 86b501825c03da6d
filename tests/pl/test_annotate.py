"""Labels beside points."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.text import Text

from multiDGD.pl._annotate import annotate_points


def lines(texts):
    """Ends of the visible lines from points to labels, in pixels."""
    found = []
    for text in texts:
        if text.arrow_patch.get_visible():
            start = text.axes.transData.transform(text.xy)
            box = Text.get_window_extent(text)
            found.append((text, start, np.array([box.x0 + box.x1, box.y0 + box.y1]) / 2))
    return found


@pytest.mark.parametrize("seed", range(5))
def test_label_without_a_line_is_nearest_to_its_own_point(seed):
    _, ax = plt.subplots(layout="constrained")
    ax.set(xlim=(-1, 1), ylim=(-1, 1))
    xy = np.random.default_rng(seed).normal(scale=0.2, size=(15, 2))
    texts = annotate_points(ax, xy, [str(i) for i in range(15)])
    without = [text for text in texts if not text.arrow_patch.get_visible()]
    assert without
    points = ax.transData.transform(xy)
    for text in without:
        box = Text.get_window_extent(text)
        outside = np.maximum(box.min - points, points - box.max).clip(min=0)
        first, second = np.argsort(np.linalg.norm(outside, axis=1))[:2]
        assert str(first) == text.get_text()
        assert np.linalg.norm(outside[second]) > 1.4 * np.linalg.norm(outside[first])


def test_numbers_side_by_side_are_apart():
    _, ax = plt.subplots(layout="constrained")
    ax.set(xlim=(-1, 1), ylim=(-1, 1))
    xy = np.random.default_rng(0).normal(scale=0.05, size=(12, 2))
    texts = annotate_points(ax, xy, ["28"] * 12, fontweight="bold")
    boxes = [Text.get_window_extent(text).padded(1) for text in texts]
    assert len(boxes) == 12 and all(t.get_fontweight() == "bold" for t in texts)
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])


@pytest.mark.parametrize("seed", range(5))
def test_labels_and_lines_are_apart(seed):
    rng = np.random.default_rng(seed)
    figure, ax = plt.subplots(figsize=(6, 5), layout="constrained")
    xy = rng.normal(scale=0.15, size=(20, 2))
    ax.set(xlim=(-1, 1), ylim=(-1, 1))
    texts = annotate_points(ax, xy, [f"GENE{i}" for i in range(20)])
    assert len(texts) > 15
    boxes = {text: Text.get_window_extent(text) for text in texts}
    frame = ax.get_window_extent()
    points = ax.transData.transform(xy)
    for text, box in boxes.items():
        assert not any(box.overlaps(other) for t, other in boxes.items() if t is not text)
        assert not box.count_contains(points)
        assert frame.count_contains(box.corners()) == 4
    found = lines(texts)
    assert found
    along = np.linspace(0.01, 0.99, 300)[:, None]
    for i, (text, start, end) in enumerate(found):
        path = start + along * (end - start)
        earlier = [box for t, box in boxes.items() if texts.index(t) < texts.index(text)]
        assert not any(box.count_contains(path) for box in earlier)
        for _, a, b in found[:i]:
            matrix = np.stack([end - start, a - b], axis=1)
            if np.linalg.matrix_rank(matrix) < 2:  # parallel
                continue
            solution = np.linalg.solve(matrix, a - start)
            assert not ((solution > 0) & (solution < 1)).all()
