"""Learned records of a model, in addition to the parameters of its module."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np

from multiDGD.inference import OutputPosterior
from multiDGD.stats import Imputer, LabelCalibration, LibraryRegression

from ._cell_subset import CellSubset
from ._training_cells import TrainingCells


@dataclass(frozen=True)
class Learned:
    """Immutable records, one for each capability, set together at the end of training.

    Attributes
    ----------
    cells
        Names and fingerprints of the cells in the table of representations.
    library_medians
        Median library size of the training cells in each modality.
    library_regression
        Regression of library sizes on representations; `None` before training.
    imputers
        Imputation of each modality that can be predicted from other modalities.
    output_posteriors
        Posterior of the decoder's output layer for each modality; `None` before training.
    typical_scores
        Ascending typicality scores of the calibration cells; `None` before training.
    labels
        Correlation within classes and calibration of their probabilities.
    cell_subset
        Random subset of the training cells; `None` before training.
    """

    cells: TrainingCells = field(default_factory=TrainingCells)
    library_medians: Mapping[str, float] = field(default_factory=dict)
    library_regression: LibraryRegression | None = None
    imputers: Mapping[str, Imputer] = field(default_factory=dict)
    output_posteriors: Mapping[str, OutputPosterior] | None = None
    typical_scores: np.ndarray | None = None
    labels: LabelCalibration = field(default_factory=LabelCalibration)
    cell_subset: CellSubset | None = None

    def state(self) -> dict[str, Any]:
        """Plain values, by name of the attribute that saves them."""
        posteriors, subset = self.output_posteriors, self.cell_subset
        regression = self.library_regression
        return {
            "cell_names_": self.cells.names,
            "cell_fingerprints_": self.cells.fingerprints,
            "cell_covariates_": self.cells.covariates,
            "library_medians_": dict(self.library_medians),
            "depth_model_": None if regression is None else regression.state(),
            "imputers_": {m: imputer.state() for m, imputer in self.imputers.items()},
            "output_posteriors_": posteriors and {m: p.state() for m, p in posteriors.items()},
            "typical_scores_": self.typical_scores,
            **{f"label_{name}_": value for name, value in self.labels.state().items()},
            "known_cells_": None if subset is None else subset.state(),
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Learned:
        """Build the records from plain values.

        Parameters
        ----------
        state
            Result of :meth:`state`.
        """
        regression, subset = state["depth_model_"], state["known_cells_"]
        posteriors = state["output_posteriors_"]
        labels = {f.name: state[f"label_{f.name}_"] for f in fields(LabelCalibration)}
        return cls(
            TrainingCells(
                state["cell_names_"], state["cell_fingerprints_"], state["cell_covariates_"]
            ),
            state["library_medians_"],
            None if regression is None else LibraryRegression.from_state(regression),
            {m: Imputer.from_state(imputer) for m, imputer in state["imputers_"].items()},
            posteriors and {m: OutputPosterior.from_state(p) for m, p in posteriors.items()},
            state["typical_scores_"],
            LabelCalibration.from_state(labels),
            None if subset is None else CellSubset.from_state(subset),
        )


class SavedState:
    """Descriptor that reads and sets one entry of the state of a model's :class:`Learned`.

    scvi-tools saves all attributes with a trailing underscore, and sets them when it loads a
    model.
    """

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, model: Any, owner: type | None = None) -> Any:
        return self if model is None else model._learned.state()[self._name]

    def __set__(self, model: Any, value: Any) -> None:
        model._learned = Learned.from_state({**model._learned.state(), self._name: value})


class SavedAttributes:
    """Attributes that save the :class:`Learned` records of a model."""

    _learned = Learned()

    cell_names_ = SavedState()
    cell_fingerprints_ = SavedState()
    cell_covariates_ = SavedState()
    library_medians_ = SavedState()
    depth_model_ = SavedState()
    imputers_ = SavedState()
    output_posteriors_ = SavedState()
    typical_scores_ = SavedState()
    label_temperature_ = SavedState()
    label_weight_ = SavedState()
    label_noise_ = SavedState()
    label_correlation_ = SavedState()
    known_cells_ = SavedState()

    def _update_learned(self, **records: Any) -> None:
        """Replace some of the records."""
        self._learned = replace(self._learned, **records)
