"""Draw the overview of the model for the landing page.

``python docs/make_overview.py`` writes ``docs/_static/overview.svg`` from simulated points and
counts. A fixed seed makes the drawing reproducible; ``--format png`` writes a bitmap instead.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.patches import Ellipse, FancyArrowPatch, Polygon, Rectangle

FOLDER = Path(__file__).parent / "_static"
WIDTH, HEIGHT = 11.0, 6.4

INK, MUTED = "#22313f", "#5d6d7e"
TYPES = ["#4477aa", "#ee7733", "#228833", "#cc3377", "#66bbdd"]
BATCHES = ["#6a51a3", "#d4a017", "#2a9d8f"]
MODALITIES = {"RNA": "#2f6db3", "ATAC": "#2b8c57", "Protein": "#b3541e"}

# Means, standard deviations along the axes of the ellipse and its angle in degrees.
COMPONENTS = [
    ((-2.5, 0.9), (0.72, 0.42), 25),
    ((-0.3, 2.1), (0.60, 0.38), -15),
    ((2.3, 1.5), (0.62, 0.46), 20),
    ((-1.1, -1.4), (0.70, 0.40), -25),
    ((1.7, -1.1), (0.80, 0.42), 15),
]
N_CELLS, N_ROWS = 48, 7
QUERY_TYPE = 2


def representations(ax: Axes, rng: np.random.Generator) -> None:
    """Draw cells, the components of the mixture and the path of the query cell."""
    for (mean, sd, angle), colour in zip(COMPONENTS, TYPES, strict=True):
        radians = np.deg2rad(angle)
        axes = np.array([[np.cos(radians), -np.sin(radians)], [np.sin(radians), np.cos(radians)]])
        points = mean + (rng.standard_normal((N_CELLS, 2)) * sd) @ axes.T
        for radius, alpha in ((2, 0.10), (1, 0.16)):
            size = 2 * radius * np.array(sd)
            ax.add_patch(Ellipse(mean, *size, angle=angle, color=colour, alpha=alpha, lw=0))
            ax.add_patch(
                Ellipse(mean, *size, angle=angle, fc="none", ec=colour, alpha=0.55, lw=0.9)
            )
        ax.scatter(*points.T, s=9, color=colour, lw=0, alpha=0.9, zorder=3)
    start, end = np.array([0.9, 0.35]), np.array(COMPONENTS[QUERY_TYPE][0])
    along = np.linspace(0, 1, 30)[:, None]
    path = start + along * (end - start) + [0.0, -1.1] * along * (1 - along)
    ax.plot(*path.T, color=INK, lw=1.4, ls=(0, (2, 1.5)), zorder=4)
    ax.scatter(*start, s=34, fc="white", ec=INK, lw=1.2, zorder=5)
    ax.scatter(*end, s=240, marker="*", fc="#ffd166", ec=INK, lw=1.1, zorder=6)
    ax.set(xlim=(-4.3, 4.1), ylim=(-2.7, 3.35))


def covariate(ax: Axes, rng: np.random.Generator) -> None:
    """Draw the representation of a covariate with one component for each category."""
    for i, colour in enumerate(BATCHES):
        mean = np.array([2.0 * (i - 1), 0.1 * (-1) ** i])
        ax.add_patch(Ellipse(mean, 1.4, 1.2, color=colour, alpha=0.14, lw=0))
        ax.add_patch(Ellipse(mean, 1.4, 1.2, fc="none", ec=colour, alpha=0.55, lw=0.9))
        points = mean + 0.25 * rng.standard_normal((26, 2))
        ax.scatter(*points.T, s=7, color=colour, lw=0, zorder=3)
    ax.set(xlim=(-3.3, 3.3), ylim=(-1.15, 1.15))


def counts(n_features: int, rng: np.random.Generator) -> np.ndarray:
    """Simulate counts of cells ordered by type, with features specific to each type."""
    kind = np.repeat(np.arange(len(TYPES)), N_ROWS)
    marker = np.arange(n_features) * len(TYPES) // n_features
    mean = np.where(kind[:, None] == marker, 4.5, 0.45) * rng.gamma(3, 1 / 3, n_features)
    return rng.poisson(mean).astype(float)


def heatmap(ax: Axes, colour: str, x: np.ndarray) -> None:
    """Draw counts, shape ``(cells, features)``."""
    cmap = LinearSegmentedColormap.from_list("", ["white", colour])
    ax.imshow(np.sqrt(x), cmap=cmap, aspect="auto", interpolation="nearest", vmax=3)


def hide(ax: Axes, first: int, last: int, n_features: int) -> None:
    """Hatch the rows of cells in which a modality was not measured."""
    ax.add_patch(
        Rectangle(
            (-0.5, first - 0.5), n_features, last - first,
            fc="#e9ecef", ec="#aab4be", hatch="////", lw=0,
        )
    )  # fmt: skip
    ax.text(
        n_features / 2 - 0.5, (first + last - 1) / 2, "not measured",
        ha="center", va="center", fontsize=9, color=MUTED, style="italic",
        bbox={"boxstyle": "round,pad=0.2", "fc": "white", "ec": "none", "alpha": 0.9},
    )  # fmt: skip


def frame(ax: Axes, colour: str = "#c5ccd3") -> None:
    ax.set(xticks=[], yticks=[])
    for spine in ax.spines.values():
        spine.set(color=colour, lw=1)


def draw() -> plt.Figure:
    """Draw the whole figure."""
    rng = np.random.default_rng(3)
    figure = plt.figure(figsize=(WIDTH, HEIGHT), facecolor="white")
    page = figure.add_axes((0, 0, 1, 1))
    page.set(xlim=(0, WIDTH), ylim=(0, HEIGHT))
    page.axis("off")
    page.set_zorder(1)  # arrows end inside panels

    def panel(x: float, y: float, width: float, height: float) -> Axes:
        return figure.add_axes((x / WIDTH, y / HEIGHT, width / WIDTH, height / HEIGHT))

    def arrow(start: tuple[float, float], end: tuple[float, float], **kwargs: object) -> None:
        style = {"arrowstyle": "-|>", "mutation_scale": 15, "color": INK, "lw": 1.5}
        page.add_patch(FancyArrowPatch(start, end, shrinkA=0, shrinkB=0, **{**style, **kwargs}))

    def text(x: float, y: float, words: str, size: float = 10, **kwargs: object) -> None:
        page.text(x, y, words, fontsize=size, **{"color": INK, "ha": "center", **kwargs})

    # Latent space
    text(0.3, 5.28, "Representations $z$", 13, weight="bold", ha="left")
    text(0.3, 5.03, "one per cell; Gaussian mixture prior", 9.5, color=MUTED, ha="left")
    latent = panel(0.3, 2.1, 4.0, 2.8)
    representations(latent, rng)
    frame(latent)
    text(0.3, 1.66, "Covariate representations $u$", 13, weight="bold", ha="left")
    text(0.3, 1.41, "one component per category, here batches", 9.5, color=MUTED, ha="left")
    batch = panel(0.3, 0.3, 4.0, 1.0)
    covariate(batch, rng)
    frame(batch)

    # Decoder
    middle = 2.6
    arrow((4.4, 3.5), (5.02, middle + 0.35))
    arrow((4.4, 0.8), (5.02, middle - 0.35))
    trunk = [
        (5.1, middle - 0.62),
        (5.1, middle + 0.62),
        (6.1, middle + 1.15),
        (6.1, middle - 1.15),
    ]
    page.add_patch(
        Polygon(trunk, closed=True, fc="#e4ebf3", ec="#8499ad", lw=1.2, joinstyle="round")
    )
    text(5.6, middle, "Decoder", 12, weight="bold", va="center")
    left, right = 7.3, 10.7
    heights = {"RNA": 3.62, "ATAC": 1.94, "Protein": 0.30}
    features = {"RNA": 60, "ATAC": 90, "Protein": 20}
    hidden = {"RNA": None, "ATAC": (0, 10), "Protein": (24, 35)}
    width, height = right - left, 1.27
    for modality, bottom in heights.items():
        colour = MODALITIES[modality]
        centre = bottom + height / 2
        start = middle + 0.62 * (centre - middle)
        arrow((6.18, start), (left - 0.24, centre), color=colour)
        kinds = panel(left - 0.14, bottom, 0.08, height)
        cmap = LinearSegmentedColormap.from_list("", TYPES, N=len(TYPES))
        kinds.imshow(
            np.repeat(np.arange(len(TYPES)), N_ROWS)[:, None],
            cmap=cmap, aspect="auto", interpolation="nearest",
        )  # fmt: skip
        kinds.axis("off")
        here = panel(left, bottom, width, height)
        heatmap(here, colour, counts(features[modality], rng))
        if hidden[modality] is not None:
            hide(here, *hidden[modality], features[modality])
        frame(here, colour)
        title = {"weight": "bold", "color": colour, "ha": "left"}
        text(left, bottom + height + 0.07, f"{modality} counts", 11, **title)
    text(right, 3.62 + height + 0.07, "cells × features", 9.5, color=MUTED, ha="right")

    # Query
    strip = panel(left, 5.62, width, 0.24)
    heatmap(strip, MODALITIES["RNA"], counts(60, rng)[N_ROWS * QUERY_TYPE][None])
    frame(strip, INK)
    text(left, 5.95, "Query cell", 11, weight="bold", ha="left")
    text(right, 5.95, "any measured modalities", 9.5, color=MUTED, ha="right")
    page.scatter(left - 0.2, 5.74, s=150, marker="*", fc="#ffd166", ec=INK, lw=1)
    position = latent.transData.transform(COMPONENTS[QUERY_TYPE][0])
    goal = page.transData.inverted().transform(position)
    arrow(
        (left - 0.42, 5.74), (goal[0] + 0.02, goal[1] + 0.17),
        connectionstyle="angle,angleA=180,angleB=90,rad=10", lw=1.4, ls=(0, (4, 2)),
    )  # fmt: skip
    text((left - 0.4 + goal[0]) / 2 + 0.15, 5.84, "embedding by optimisation", 11, weight="bold")
    text((left - 0.4 + goal[0]) / 2 + 0.15, 5.5, "decoder and prior stay frozen", 9.5, color=MUTED)
    return figure


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--format", choices=["svg", "png"], default="svg")
    parser.add_argument("--folder", type=Path, default=FOLDER)
    args = parser.parse_args()
    mpl.use("agg")
    mpl.rcParams.update({"svg.hashsalt": "multiDGD", "savefig.dpi": 160, "hatch.linewidth": 0.6})
    metadata = {"Date": None} if args.format == "svg" else None
    draw().savefig(args.folder / f"overview.{args.format}", metadata=metadata)


if __name__ == "__main__":
    main()
