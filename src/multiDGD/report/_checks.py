"""Traffic lights: measured values, thresholds and what to do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from ._sections import Curve, Group, Prediction

#: A difference between two scores within as many standard errors is not counted.
STANDARD_ERRORS = 2.0
#: Mixing of batches, between 0 (separate) and 1 (as by chance).
MIXING = (0.7, 0.4)
#: Share of the total decrease of the loss that falls into the last tenth of the epochs.
LAST_DECREASE = (0.02, 0.1)
#: Share of the total decrease of the validation loss that was lost again by the last epoch.
RISE = (0.02, 0.1)
#: Share of cells with a typicality below 0.05.
ATYPICAL = (0.1, 0.2)
#: Share of the variance of representations that is not uncertainty.
RELIABILITY = (0.8, 0.5)
_MIN_EPOCHS = 10
# Training that stops early has at least as many epochs since the lowest validation loss.
_MIN_WAIT = 5
_MIN_CELLS_OF_GROUP = 50


class Light(StrEnum):
    """Result of a check."""

    GOOD = "good"
    LOOK = "look"
    ACT = "act"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Check:
    """One traffic light.

    Attributes
    ----------
    name
        What is checked.
    light
        The result.
    value
        The measured value, as text.
    meaning
        What the value means, in one or two sentences.
    advice
        What to do; empty if nothing.
    """

    name: str
    light: Light
    value: str
    meaning: str
    advice: str = ""


def check_prediction(predictions: Sequence[Prediction]) -> Check:
    """Compare the prediction of held-out molecules with that of principal components.

    The light is green unless a modality is predicted worse than by principal components by more
    than two standard errors, and red if one is predicted no better than by the average profile of
    all cells. Neither threshold depends on the data.
    """
    name = "Prediction"
    meaning = (
        "Half of the molecules of each held-out cell are predicted from the other half. Scores "
        "are nats per molecule above the average profile of all cells (0)."
    )
    if not predictions:
        return Check(
            name,
            Light.UNKNOWN,
            "no held-out cells",
            meaning,
            "Train with validation cells (`train_size=0.9`) to measure this.",
        )
    value = "; ".join(
        (f"{p.modality} " if len(predictions) > 1 else "")
        + f"{p.model:.3f}"
        + ("" if p.pca is None else f" (PCA {p.pca:.3f})")
        for p in predictions
    )
    useless = [p.modality for p in predictions if p.model <= 0]
    if useless:
        advice = (
            f"The model predicts {', '.join(useless)} no better than the average of all cells. "
            "Check that the counts are raw, and train for more epochs."
        )
        return Check(name, Light.ACT, value, meaning, advice)
    worse = [
        p.modality
        for p in predictions
        if p.pca is not None and p.model < p.pca - STANDARD_ERRORS * p.difference_se
    ]
    if worse:
        advice = (
            f"Principal components predict {', '.join(worse)} better. Train for more epochs, or "
            "compare likelihoods with `MultiDGD.compare_likelihoods`."
        )
        return Check(name, Light.LOOK, value, meaning, advice)
    return Check(name, Light.GOOD, value, meaning)


def check_convergence(curves: Sequence[Curve], n_epochs: int, n_default: int) -> Check:
    """Examine whether the loss still decreases at the end, or increases again.

    A training is called finished if less than 2 % of the decrease of the loss falls into the last
    tenth of the epochs, a fifth of what a steady decrease has. From 10 % on, the decrease is
    steady: training ended too early. The same shares limit the increase of the validation loss
    after its minimum.

    Learning rates decrease until the last epoch, so that the loss settles whatever the number of
    epochs is. Fewer than half of the default number are therefore too few, unless training stopped
    because the validation loss no longer decreased.
    """
    name = "Convergence"
    curve = next((c for c in curves if c.name == "all"), None)
    if curve is None or len(curve.train) < 2:
        return Check(
            name, Light.UNKNOWN, "no history", "The model contains no losses of its training."
        )
    loss = curve.train[:, 1]
    last, total = decrease_at_end(loss), float(loss[0] - loss[-1])
    rise = rise_after_minimum(curve.validation[:, 1]) if len(curve.validation) > 1 else 0.0
    value = f"{n_epochs} epochs; {_percent(last)} of the decrease in the last tenth of them"
    if rise > RISE[0]:
        value += f"; validation loss {_percent(rise)} above its minimum"
    meaning = (
        "At the end of a training, the loss of the training cells hardly changes, and that of the "
        f"validation cells does not rise. Good: up to {_percent(LAST_DECREASE[0])}, act: above "
        f"{_percent(LAST_DECREASE[1])}."
    )
    light = max(_light(last, LAST_DECREASE), _light(rise, RISE), key=_severity)
    validation = curve.validation[:, 1]
    has_stopped = len(validation) > 0 and len(validation) - validation.argmin() > _MIN_WAIT
    if n_epochs < max(n_default / 2, _MIN_EPOCHS) and not has_stopped:
        light = max(light, Light.LOOK, key=_severity)
        value += f"; the default is {n_default} epochs"
    if n_epochs < _MIN_EPOCHS or total <= 0:
        light = Light.ACT
    if light is Light.GOOD:
        return Check(name, light, value, meaning)
    advice = (
        "The model is overfitted: train for fewer epochs, or with "
        "`plan_kwargs={'split_validation_counts': True}`, which stops earlier."
        if rise > RISE[0] and _light(last, LAST_DECREASE) is Light.GOOD
        else "Train for more epochs: pass a larger `max_epochs` (`--max-epochs`)."
    )
    return Check(name, light, value, meaning, advice)


def decrease_at_end(loss: np.ndarray) -> float:
    """Share of the decrease of a loss that falls into the last tenth of the epochs.

    Parameters
    ----------
    loss
        Loss by epoch, shape ``(n,)``.

    Examples
    --------
    >>> import numpy as np
    >>> decrease_at_end(np.linspace(1, 0, 101))
    0.1
    """
    n_last = max(1, round((len(loss) - 1) / 10))
    total = float(loss[0] - loss[-1])
    if total <= 0:
        return 0.0
    return round(max(float(loss[-1 - n_last] - loss[-1]) / total, 0.0), 12)


def rise_after_minimum(loss: np.ndarray) -> float:
    """Increase of a loss since its minimum, relative to its decrease until then.

    Parameters
    ----------
    loss
        Loss by epoch, shape ``(n,)``.

    Examples
    --------
    >>> import numpy as np
    >>> rise_after_minimum(np.array([3.0, 1.0, 2.0]))
    0.5
    """
    decrease = float(loss[0] - loss.min())
    return float(loss[-1] - loss.min()) / decrease if decrease > 0 else 0.0


def check_mixing(key: str | None, mixing: float | None, labels: str | None) -> Check:
    """Examine whether cells of different batches are neighbours.

    The score is 1 if the neighbours of a cell come from batches as by chance, and 0 if batches
    are separate. In a mean over cells of two batches of equal size, 0.7 corresponds to
    neighbours of which 81 % are from the own batch, and 0.4 to 92 %. In ``benchmarks/harmony``,
    different protocols and technologies have 0.36 and 0.04 before the removal of covariates.
    """
    name = "Mixing of batches"
    if key is None:
        return Check(
            name,
            Light.UNKNOWN,
            "no batches",
            "No column with several batches was registered.",
            "If the cells come from several samples, donors or runs, pass the column as "
            "`batch_key` (`--batch-key`).",
        )
    if mixing is None or not np.isfinite(mixing):
        return Check(name, Light.UNKNOWN, "not measurable", "Too few cells in the batches.")
    within = f" within {labels}" if labels else ""
    meaning = (
        f"Neighbours of a cell by {key}{within}: 1 is mixed as by chance, 0 is separate. Good: "
        f"from {MIXING[0]}, act: below {MIXING[1]}."
    )
    light = _light(-mixing, (-MIXING[0], -MIXING[1]))
    if light is Light.GOOD:
        return Check(name, light, f"{mixing:.2f}", meaning)
    advice = (
        "Colour the cells by batch. Batches that contain different cell types or states stay "
        "apart; this is correct. If the same type is split by batch, check that the counts are "
        "raw and that no other technical factor is missing from `categorical_covariate_keys`."
    )
    if not labels:
        advice += " With labels, the score compares batches within a type: pass `label_key`."
    return Check(name, light, f"{mixing:.2f}", meaning, advice)


def check_typicality(
    share: float | None, n_cells: int, groups: Sequence[tuple[str, Group]]
) -> Check:
    """Examine how many cells the model would not generate.

    By definition, 5 % of the held-out cells have a typicality below 0.05. With 200 of them, its
    standard error is 1.5 %, so that more than 10 % are not expected by chance; from 20 % on, one
    cell in five is unlike the data that the model was calibrated with.
    """
    name = "Atypical cells"
    meaning = (
        "Cells whose counts the model would hardly generate (typicality below 0.05). By "
        "definition, these are 5 % of held-out cells. "
        f"Good: up to {_percent(ATYPICAL[0])}, act: above {_percent(ATYPICAL[1])}."
    )
    if share is None:
        return Check(name, Light.UNKNOWN, "not measured", meaning)
    light = _light(share, ATYPICAL)
    value = f"{_percent(share)} of {n_cells:,} cells"
    known = [(key, g) for key, g in groups if g.n_cells >= _MIN_CELLS_OF_GROUP and g.atypical >= 0]
    worst = max(known, key=lambda item: item[1].atypical, default=None)
    if worst is not None and worst[1].atypical > ATYPICAL[0]:
        light = max(light, Light.LOOK, key=_severity)
        value += f"; {_percent(worst[1].atypical)} in {worst[0]} {worst[1].name}"
    if light is Light.GOOD:
        return Check(name, light, value, meaning)
    advice = (
        "Colour the cells by atypicality. Groups of dark cells can be doublets, damaged cells, or "
        "a type or batch that the model describes badly; inspect their markers and total counts."
    )
    return Check(name, light, value, meaning, advice)


def check_depth(reliability: float | None, counts: str) -> Check:
    """Examine whether the counts of a cell determine its representation.

    Reliability is the share of the variance of the representations that is not posterior
    uncertainty. 0.8 is the usual requirement of a measurement; at 0.5, the uncertainty of a cell
    is as large as the differences between cells.
    """
    name = "Depth"
    meaning = (
        "Share of the differences between cells that exceeds the uncertainty of their "
        "representations. It increases with the number of molecules in a cell. Good: from "
        f"{RELIABILITY[0]}, act: below {RELIABILITY[1]}."
    )
    if reliability is None or not np.isfinite(reliability):
        return Check(name, Light.UNKNOWN, counts, meaning)
    light = _light(-reliability, (-RELIABILITY[0], -RELIABILITY[1]))
    value = f"{reliability:.2f}; {counts}"
    if light is Light.GOOD:
        return Check(name, light, value, meaning)
    advice = (
        "Positions of single cells are uncertain: rely on groups of cells. Colour the cells by "
        "uncertainty to find those affected. More molecules in a cell, or more cells to train on, "
        "reduce it, as do more "
        "epochs if there were few."
    )
    return Check(name, light, value, meaning, advice)


def _light(value: float, limits: tuple[float, float]) -> Light:
    """Green up to the first limit, red above the second."""
    if value <= limits[0]:
        return Light.GOOD
    return Light.LOOK if value <= limits[1] else Light.ACT


def _severity(light: Light) -> int:
    return [Light.UNKNOWN, Light.GOOD, Light.LOOK, Light.ACT].index(light)


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
