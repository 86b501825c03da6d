"""Contents of a report: plain values, one dataclass for each section."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ._checks import Check


@dataclass(frozen=True)
class Modality:
    """One modality of the data.

    Attributes
    ----------
    name
        Name of the modality.
    n_features
        Number of features.
    likelihood
        Name of the likelihood.
    n_cells
        Number of cells with counts in the modality; it is missing in all others.
    median_counts, median_features
        Medians over these cells of the total count and of the number of features with counts.
    """

    name: str
    n_features: int
    likelihood: str
    n_cells: int
    median_counts: float
    median_features: float


@dataclass(frozen=True)
class Fit:
    """What was fitted.

    Attributes
    ----------
    n_cells
        Number of cells.
    split
        Numbers of cells for training, validation and testing, by name; empty parts are left out.
    modalities
        The modalities of the data.
    covariates
        Number of categories of each categorical covariate; `None` for continuous ones.
    labels
        Name of the column of labels that supervise the model, if any.
    setup, arguments
        Arguments of the setup and of the model, as text.
    versions
        Versions of the packages.
    created
        Date and time of the report.
    """

    n_cells: int
    split: Mapping[str, int]
    modalities: Sequence[Modality]
    covariates: Mapping[str, int | None]
    labels: str | None
    setup: Mapping[str, str]
    arguments: Mapping[str, str]
    versions: Mapping[str, str]
    created: str


@dataclass(frozen=True)
class Curve:
    """Loss by epoch.

    Attributes
    ----------
    name
        Name of the loss.
    train, validation
        Epochs and losses of the training and validation cells (nats per cell), shape ``(n, 2)``.
    """

    name: str
    train: np.ndarray
    validation: np.ndarray


@dataclass(frozen=True)
class Prediction:
    """How well half of the molecules of held-out cells are predicted from the other half.

    Attributes
    ----------
    modality
        Name of the modality.
    n_cells
        Number of scored cells.
    model, pca
        Scores over all counts, in nats per count above the average profile. ``pca`` is `None` if
        it was not computed.
    difference_se
        Standard error of the mean difference between both.
    """

    modality: str
    n_cells: int
    model: float
    pca: float | None
    difference_se: float


@dataclass(frozen=True)
class Component:
    """One component of the mixture.

    Attributes
    ----------
    number
        Number of the component.
    label
        Label of the component in a supervised mixture.
    n_cells
        Number of cells for which it is the most probable component.
    top_label, top_share
        Most frequent label of these cells and its share, if labels are available.
    markers
        Names and log2 fold changes of the top features, by modality.
    """

    number: int
    label: str | None
    n_cells: int
    top_label: str | None
    top_share: float | None
    markers: Mapping[str, Sequence[tuple[str, float]]]


@dataclass(frozen=True)
class Group:
    """Cells of one category of a covariate.

    Attributes
    ----------
    name
        Name of the category.
    n_cells
        Number of cells.
    median_counts
        Median total count of each modality, NaN if it is missing.
    atypical
        Share of the cells with a typicality below 0.05, NaN if unknown.
    """

    name: str
    n_cells: int
    median_counts: Mapping[str, float]
    atypical: float


@dataclass(frozen=True)
class Coloring:
    """Values to colour the cells by.

    Attributes
    ----------
    name
        Name shown to the reader.
    kind
        ``"categories"`` or ``"numbers"``.
    data
        Byte of each cell (:mod:`multiDGD.report._bytes`); codes of categories, or quantised
        numbers. 255 is missing.
    names, colors
        Names and colours of the categories.
    low, high
        Numbers of the first and last quantised value.
    group
        Heading under which the name is listed.
    """

    name: str
    kind: str
    data: str
    names: Sequence[str] = ()
    colors: Sequence[str] = ()
    low: float = 0.0
    high: float = 1.0
    group: str = ""


@dataclass(frozen=True)
class Cells:
    """Cells in a plane.

    Attributes
    ----------
    n_drawn
        Number of cells drawn.
    axis
        Name of the axes, such as ``"UMAP"``.
    x, y
        Coordinates, as bytes of two-byte integers.
    names
        Names of the cells, as bytes of lines of text.
    colorings
        Annotations and scores.
    features
        Genes and proteins.
    """

    n_drawn: int
    axis: str
    x: str
    y: str
    names: str
    colorings: Sequence[Coloring]
    features: Sequence[Coloring]


@dataclass(frozen=True)
class Report:
    """Everything that a report shows.

    Attributes
    ----------
    title
        Title of the page.
    fit
        What was fitted.
    checks
        Quality, in plain words.
    notes
        Further remarks about the data, each with what to do.
    n_epochs
        Number of epochs of the training.
    curves
        Losses by epoch.
    predictions
        Scores by count splitting, one for each modality.
    components
        Components of the mixture.
    groups
        Cells by category, for each categorical covariate.
    missing
        Combinations of measured modalities and their numbers of cells, if cells lack any.
    cells
        The cells in a plane.
    """

    title: str
    fit: Fit
    checks: Sequence[Check]
    notes: Sequence[str]
    n_epochs: int
    curves: Sequence[Curve]
    predictions: Sequence[Prediction]
    components: Sequence[Component]
    groups: Mapping[str, Sequence[Group]]
    missing: Mapping[str, int]
    cells: Cells
