"""Text labels beside points, without overlaps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.path import Path
from matplotlib.text import Annotation, Text
from matplotlib.transforms import Bbox

_N_DIRECTIONS = 16
_FIRST_ANGLE = 0.5
_RADII = (6, 14, 24, 36, 50, 66, 84, 104)
# Labels at least this far from their point (in points) are connected to it by a line.
_MIN_LINE_RADIUS = 14
# Pixels to keep free on each side of a point.
_MARGIN = 3


def annotate_points(
    ax: Axes, xy: np.ndarray, names: Sequence[str], avoid: np.ndarray | None = None
) -> list[Annotation]:
    """Label points so that no label covers another label, a point or the frame.

    Each label takes the first free position, from near to far, at which its line crosses no label
    and no other line. A label without a free position is left out. The limits of the axes must be
    final.

    Parameters
    ----------
    ax
        Axes to draw on.
    xy
        Points in order of priority, shape ``(n, 2)``.
    names
        Label of each point.
    avoid
        Further points to keep uncovered, shape ``(n_others, 2)``.

    Returns
    -------
    The labels that were drawn.
    """
    figure = ax.figure.canvas.figure
    figure.draw_without_rendering()  # the layout moves the axes
    frame = ax.get_window_extent().padded(-_MARGIN)
    xy = np.asarray(xy, dtype=float)
    points = ax.transData.transform(xy if avoid is None else np.concatenate([xy, avoid]))
    taken = np.concatenate([points - _MARGIN, points + _MARGIN], axis=1)
    pixels = figure.dpi / 72
    lines, labels = np.empty((0, 4)), list[Bbox]()
    placed = []
    for at, point, name in zip(xy, points[: len(xy)], names, strict=True):
        text = ax.annotate(
            name,
            at,
            (0, 0),
            textcoords="offset points",
            fontsize="small",
            parse_math=False,
            arrowprops={"arrowstyle": "-", "linewidth": 0.5, "color": "0.5", "shrinkB": 2},
        )
        # There is more room away from the centre.
        side = 1 if point[0] >= (frame.x0 + frame.x1) / 2 else -1
        for radius, x, y in _offsets(side):
            text.set_position((x, y))
            text.set_horizontalalignment("left" if x > 1 else "right" if x < -1 else "center")
            flat = abs(y) < radius / 2
            text.set_verticalalignment("center" if flat else "bottom" if y > 0 else "top")
            text.get_window_extent()  # applies the new position
            box = Text.get_window_extent(text)  # without the line
            covers = (taken[:, :2] < box.max).all(1) & (taken[:, 2:] > box.min).all(1)
            if frame.count_contains([box.min, box.max]) < 2 or covers.any():
                continue
            line = np.concatenate([point, point + pixels * np.array([x, y])])
            if radius < _MIN_LINE_RADIUS or not (
                _crosses(line, lines).any() or any(_through(line, label) for label in labels)
            ):
                break
        else:
            text.remove()
            continue
        if radius >= _MIN_LINE_RADIUS:
            lines = np.vstack([lines, line])
        elif text.arrow_patch is not None:
            text.arrow_patch.set_visible(False)
        taken = np.vstack([taken, box.extents])
        labels.append(box)
        placed.append(text)
    return placed


def _offsets(side: int) -> Iterator[tuple[int, float, float]]:
    """Radius and offset of candidate positions, in points: near before far, outwards first."""
    angles = np.linspace(0, 2 * np.pi, _N_DIRECTIONS, endpoint=False)
    turned = np.abs(np.angle(np.exp(1j * (angles - _FIRST_ANGLE))))
    for radius in _RADII:
        for angle in angles[np.argsort(turned, kind="stable")]:
            yield radius, float(side * radius * np.cos(angle)), float(radius * np.sin(angle))


def _through(line: np.ndarray, box: Bbox) -> bool:
    """Whether a line passes through a box."""
    return Path(line.reshape(2, 2)).intersects_bbox(box, filled=True)


def _crosses(line: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Whether a line crosses each of the others, given as rows of two points."""
    a, b = line[:2], line[2:]
    c, d = others[:, :2], others[:, 2:]
    return (_side(a, b, c) != _side(a, b, d)) & (_side(c, d, a) != _side(c, d, b))


def _side(start: np.ndarray, end: np.ndarray, point: np.ndarray) -> np.ndarray:
    """Side of lines on which points lie."""
    along, to = end - start, point - start
    return along[..., 0] * to[..., 1] > along[..., 1] * to[..., 0]
