"""Line charts as SVG, which needs no script and prints at any size."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ._sections import Curve

WIDTH, HEIGHT = 320, 202
_LEFT, _RIGHT, _TOP, _BOTTOM = 62, 10, 24, 36
# In longer histories, the first tenth of the epochs may exceed the limits of the chart.
_MIN_EPOCHS_TO_CLIP = 20


class Tick(NamedTuple):
    """Mark of an axis: its position in pixels and its text."""

    at: float
    text: str


class Chart(NamedTuple):
    """Chart of a curve, in pixels.

    Attributes
    ----------
    name
        Title.
    train, validation
        Points of both lines for the attribute ``points`` of a polyline.
    x_ticks, y_ticks
        Marks of the axes.
    """

    name: str
    train: str
    validation: str
    x_ticks: list[Tick]
    y_ticks: list[Tick]


def chart(curve: Curve) -> Chart:
    """Scale a curve to the size of a chart.

    Parameters
    ----------
    curve
        Losses by epoch.
    """
    points = np.concatenate([curve.train, curve.validation])
    last = float(points[:, 0].max())
    start = last / 10 if last >= _MIN_EPOCHS_TO_CLIP else 0.0
    settled = points[points[:, 0] > start, 1]
    low, high = float(settled.min()), float(settled.max())
    margin = 0.05 * (high - low) or 0.05 * abs(high) or 1.0
    low, high = low - margin, high + margin

    def across(epoch: float) -> float:
        return _LEFT + (WIDTH - _LEFT - _RIGHT) * (epoch - 1) / max(last - 1, 1)

    def down(loss: float) -> float:
        return _TOP + (HEIGHT - _TOP - _BOTTOM) * (high - loss) / (high - low)

    def line(values: np.ndarray) -> str:
        return " ".join(f"{across(x):.1f},{down(y):.1f}" for x, y in values)

    marks = _round_steps(low, high)
    return Chart(
        curve.name,
        line(curve.train),
        line(curve.validation),
        [Tick(across(e), f"{e:.0f}") for e in sorted({1.0, round((1 + last) / 2), last})],
        [Tick(down(v), f"{v:,.6g}") for v in marks],
    )


def _round_steps(low: float, high: float) -> np.ndarray:
    """Three to six round numbers within a range."""
    rough = (high - low) / 4
    power = 10.0 ** np.floor(np.log10(rough))
    step = next(f * power for f in (1, 2, 2.5, 5, 10) if f * power >= rough * 0.999)
    return np.arange(np.ceil(low / step), np.floor(high / step) + 1) * step
