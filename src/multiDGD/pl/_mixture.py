"""Projection of a Gaussian mixture on a plane of the latent space."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.patches import Ellipse
from matplotlib.patheffects import withStroke

from multiDGD.latent import GaussianMixture

from ._annotate import annotate_points

# Weight of the within-component variance. It only determines directions along which the means do
# not differ, for example if there is a single component.
_TIE = 1e-6
# Factor on the colour of lines, which must stand out from cells of the same colour.
_DARKEN = 0.65
_DIAMOND: dict[str, Any] = {"marker": "D", "edgecolors": "white", "linewidths": 0.6}
# Areas in square points of named diamonds and of those without a name, which must not be mistaken
# for the one that a nearby name belongs to.
_NAMED, _UNNAMED = 18.0, 6.0


@dataclass(frozen=True)
class Moments:
    """Means, variances and weights of a mixture, as arrays.

    Attributes
    ----------
    mean, variance
        Shape ``(n_components, n_latent)``.
    weight
        Shape ``(n_components,)``; sums to 1.
    """

    mean: np.ndarray
    variance: np.ndarray
    weight: np.ndarray

    @classmethod
    def of(cls, mixture: GaussianMixture) -> Moments:
        """Moments of a mixture with any type of covariance."""
        mean = mixture.mean.detach().double().cpu().numpy()
        variance = mixture.covariance.detach().double().cpu().numpy()
        weight = mixture.mixture_probs().detach().double().cpu().numpy()
        return cls(mean, np.broadcast_to(variance, mean.shape), weight)


@dataclass(frozen=True)
class Plane:
    """A plane with two orthonormal directions.

    Attributes
    ----------
    origin
        Shape ``(n_latent,)``.
    directions
        Shape ``(n_latent, 2)``.
    labels
        Labels of the two axes.
    """

    origin: np.ndarray
    directions: np.ndarray
    labels: tuple[str, str]

    def project(self, points: np.ndarray) -> np.ndarray:
        """Coordinates of the points in the plane, shape ``(n, 2)``."""
        return (np.asarray(points, dtype=float) - self.origin) @ self.directions

    def project_covariance(self, variance: np.ndarray) -> np.ndarray:
        """Projection of a diagonal covariance on the plane, shape ``(2, 2)``."""
        return (self.directions.T * variance) @ self.directions


def best_plane(moments: Moments) -> Plane:
    """Plane with the largest variance between the means of a mixture.

    Its directions are the first two principal axes of the means, weighted by the mixture weights.
    A space of two dimensions is left unchanged.

    Raises
    ------
    ValueError
        If the space has a single dimension.
    """
    n_latent = moments.mean.shape[1]
    if n_latent < 2:
        raise ValueError("A representation with one dimension cannot be drawn in a plane.")
    if n_latent == 2:
        return Plane(np.zeros(2), np.eye(2), ("dimension 1", "dimension 2"))
    centre = moments.weight @ moments.mean
    centred = moments.mean - centre
    between = (centred.T * moments.weight) @ centred
    within = np.diag(moments.weight @ moments.variance)
    values, vectors = np.linalg.eigh(between + _TIE * within)
    directions = vectors[:, [-1, -2]]
    # The signs of principal axes are arbitrary; this makes the largest loading positive.
    largest = np.abs(directions).argmax(0)
    directions = directions * np.sign(directions[largest, [0, 1]])
    total = np.trace(between)
    share = values[[-1, -2]] / total if total > _TIE * np.trace(within) else np.zeros(2)
    first, second = (
        f"axis {i} ({100 * s:.0f} %)" if s > 0 else f"axis {i}" for i, s in enumerate(share, 1)
    )
    return Plane(centre, directions, (first, second))


def draw_mixture(
    ax: Axes,
    plane: Plane,
    moments: Moments,
    colors: Sequence[Any],
    names: Sequence[str] | None = None,
    n_labels: int | None = None,
) -> None:
    """Draw the projected means, with ellipses at 1 and 2 standard deviations.

    Parameters
    ----------
    ax
        Axes to draw on.
    plane
        Plane to project on.
    moments
        Moments of the mixture.
    colors, names
        Colours and names of the components; `None` for no names.
    n_labels
        Number of components with a name and ellipses, those with the largest weights; all by
        default.
    """
    centres = plane.project(moments.mean)
    lines = [tuple(_DARKEN * c for c in to_rgb(color)) for color in colors]
    # There may not be room for all names, so components with large weights come first.
    order = np.argsort(-moments.weight, kind="stable")[:n_labels]
    for k in np.sort(order):
        values, vectors = np.linalg.eigh(plane.project_covariance(moments.variance[k]))
        angle = float(np.degrees(np.arctan2(vectors[1, 1], vectors[0, 1])))
        for n_sd, width in ((1, 1.2), (2, 0.7)):
            minor, major = 2 * n_sd * np.sqrt(np.clip(values, 0, None))
            ellipse = Ellipse(
                centres[k], major, minor, angle=angle, fill=False, ec=lines[k], lw=width
            )
            ax.add_patch(ellipse)
    x, y = centres.T
    ax.scatter(x, y, _areas(len(centres), order), lines, **_DIAMOND)
    ax.set_aspect("equal", adjustable="datalim")
    ax.autoscale_view()
    if names is not None:
        _name(ax, centres[order], [names[k] for k in order])


def draw_centres(ax: Axes, xy: np.ndarray, component: np.ndarray, n_labels: int) -> None:
    """Mark the centre of each component's cells in an embedding.

    The centre is the cell nearest to the median, since the median of a bent or divided component
    may be far from its cells.

    Parameters
    ----------
    ax
        Axes to draw on.
    xy
        Positions of the cells, shape ``(n_cells, 2)``.
    component
        Component of each cell, shape ``(n_cells,)``.
    n_labels
        Number of components with a number, those with the most cells.
    """
    found, n_cells = np.unique(component, return_counts=True)
    centres = np.empty((len(found), 2))
    for at, k in enumerate(found):
        own = xy[component == k]
        centres[at] = own[np.square(own - np.median(own, axis=0)).sum(1).argmin()]
    x, y = centres.T
    largest = np.argsort(-n_cells, kind="stable")[:n_labels]
    ax.scatter(x, y, _areas(len(centres), largest), "black", **_DIAMOND)
    _name(ax, centres[largest], [str(k) for k in found[largest]])


def _areas(n: int, named: np.ndarray) -> np.ndarray:
    """Area of each diamond."""
    areas = np.full(n, _UNNAMED)
    areas[named] = _NAMED
    return areas


def _name(ax: Axes, centres: np.ndarray, names: Sequence[str]) -> None:
    """Write names beside centres, legible on top of cells."""
    outline = [withStroke(linewidth=2.5, foreground="white")]
    annotate_points(ax, centres, names, fontweight="bold", path_effects=outline)
