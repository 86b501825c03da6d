"""Text labels beside points, without overlaps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.text import Annotation, Text

_N_DIRECTIONS = 24
_FIRST_ANGLE = 0.5
_RADII = (6, 14, 24, 36, 50, 66, 84, 104)
# Labels at least this far from their point (in points) are connected to it by a line.
_MIN_LINE_RADIUS = 14
# Without a line, other labelled points must be this many times further away than its own.
_CLEARLY = 1.5
# Pixels to keep free on each side of a point.
_MARGIN = 3
# The same for a label: names side by side must not read as one.
_LABEL_MARGIN = 3


def annotate_points(
    ax: Axes,
    xy: np.ndarray,
    names: Sequence[str],
    avoid: np.ndarray | None = None,
    **style: Any,
) -> list[Annotation]:
    """Label points so that no label covers another label, a point, a line or the frame.

    Each label takes the first free position, from near to far, at which its line crosses no label
    and no other line. Without a line, the nearest labelled point must clearly be its own. A label
    without a free position is left out. The limits of the axes must be final.

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
    **style
        Properties of the labels, such as ``fontweight``.

    Returns
    -------
    The labels that were drawn.
    """
    figure = ax.figure.canvas.figure
    figure.draw_without_rendering()  # the layout moves the axes
    frame = ax.get_window_extent().padded(-_MARGIN)
    xy = np.asarray(xy, dtype=float)
    points = ax.transData.transform(xy if avoid is None else np.concatenate([xy, avoid]))
    labelled = points[: len(xy)]
    taken = np.concatenate([points - _MARGIN, points + _MARGIN], axis=1)
    lines = labels = np.empty((0, 4))
    placed = []
    for i, (at, point, name) in enumerate(zip(xy, labelled, names, strict=True)):
        text = ax.annotate(
            name,
            at,
            (0, 0),
            textcoords="offset points",
            fontsize="small",
            parse_math=False,
            **style,
            arrowprops={"arrowstyle": "-", "linewidth": 0.5, "color": "0.5", "shrinkB": 2},
        )
        size = Text.get_window_extent(text).size  # without the line
        # There is more room away from the centre.
        radius, offset = _candidates(1 if point[0] >= (frame.x0 + frame.x1) / 2 else -1)
        align = _alignment(radius, offset)
        ends = point + offset * figure.dpi / 72
        boxes = np.concatenate([ends - align * size, ends + (1 - align) * size], axis=1)
        has_line = radius >= _MIN_LINE_RADIUS
        # matplotlib draws lines towards the centre of a label.
        middle = (boxes[:, :2] + boxes[:, 2:]) / 2
        own = np.concatenate([np.broadcast_to(point, middle.shape), middle], axis=1)
        is_free = (
            (boxes[:, :2] > frame.min).all(1)
            & (boxes[:, 2:] < frame.max).all(1)
            & ~_overlap(boxes, taken)
            & ~_cross(_diagonals(boxes).reshape(-1, 4), lines).reshape(2, -1).any(0)
            & (has_line | _is_nearest(boxes, point, np.delete(labelled, i, axis=0)))
            & ~(has_line & _cross(own, np.concatenate([lines, _diagonals(labels).reshape(-1, 4)])))
        )
        if not is_free.any():
            text.remove()
            continue
        first = is_free.argmax()
        text.set_position(offset[first])
        text.set_horizontalalignment(("left", "center", "right")[int(2 * align[first, 0])])
        text.set_verticalalignment(("bottom", "center", "top")[int(2 * align[first, 1])])
        if has_line[first]:
            lines = np.vstack([lines, own[first]])
        elif text.arrow_patch is not None:
            text.arrow_patch.set_visible(False)
        text.get_window_extent()  # applies the position
        margin = np.array([-_LABEL_MARGIN, -_LABEL_MARGIN, _LABEL_MARGIN, _LABEL_MARGIN])
        taken = np.vstack([taken, boxes[first] + margin])
        labels = np.vstack([labels, boxes[first]])
        placed.append(text)
    return placed


def _candidates(side: int) -> tuple[np.ndarray, np.ndarray]:
    """Radii and offsets of candidate positions, in points: near before far, outwards first."""
    angles = np.linspace(0, 2 * np.pi, _N_DIRECTIONS, endpoint=False)
    turned = np.abs(np.angle(np.exp(1j * (angles - _FIRST_ANGLE))))
    angles = angles[np.argsort(turned, kind="stable")]
    radius = np.repeat(np.array(_RADII, dtype=float), _N_DIRECTIONS)
    direction = np.stack([side * np.cos(angles), np.sin(angles)], axis=1)
    return radius, radius[:, None] * np.tile(direction, (len(_RADII), 1))


def _alignment(radius: np.ndarray, offset: np.ndarray) -> np.ndarray:
    """Part of a label's width and height that lies before its position: 0, 0.5 or 1."""
    x, y = offset.T
    horizontal = np.where(x > 1, 0, np.where(x < -1, 1, 0.5))
    vertical = np.where(np.abs(y) < radius / 2, 0.5, np.where(y > 0, 0, 1))
    return np.stack([horizontal, vertical], axis=1)


def _overlap(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Whether each box overlaps any of the others; rows are the corners at minimum and maximum."""
    low, high = boxes[:, None, :2], boxes[:, None, 2:]
    within: np.ndarray = (others[:, :2] < high) & (others[:, 2:] > low)
    return np.logical_or.reduce(within[..., 0] & within[..., 1], axis=1)


def _is_nearest(boxes: np.ndarray, point: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Whether the nearest point of each box clearly is its own."""
    points = np.concatenate([point[None], others])
    outside = np.maximum(boxes[:, None, :2] - points, points - boxes[:, None, 2:])
    distance = np.linalg.norm(outside.clip(min=0), axis=2)
    nearest: np.ndarray = distance[:, 1:].min(axis=1, initial=np.inf)
    return _CLEARLY * distance[:, 0] < nearest


def _diagonals(boxes: np.ndarray) -> np.ndarray:
    """Both diagonals of boxes, of which a line through a box crosses one; shape ``(2, n, 4)``."""
    return np.stack([boxes, boxes[:, [0, 3, 2, 1]]])


def _cross(lines: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Whether each line crosses any of the others; rows are the two ends."""
    a, b = lines[:, None, :2], lines[:, None, 2:]
    c, d = others[:, :2], others[:, 2:]
    return ((_side(a, b, c) != _side(a, b, d)) & (_side(c, d, a) != _side(c, d, b))).any(1)


def _side(start: np.ndarray, end: np.ndarray, point: np.ndarray) -> np.ndarray:
    """Side of lines on which points lie."""
    along, to = end - start, point - start
    return along[..., 0] * to[..., 1] > along[..., 1] * to[..., 0]
