"""Choice of the training plan."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from multiDGD.module import FeaturePanels
from multiDGD.train import CapturedTrainingPlan, MultiDGDTrainingPlan

from ._devices import count_processes
from ._scvi_api import PLAN, check_names, refused_arguments

# Settings of the trainer that change what happens between gradients and update.
_UNSUPPORTED = {"gradient_clip_val": None, "accumulate_grad_batches": 1}


def check_plan_names(plan_kwargs: Mapping[str, Any]) -> None:
    """Check the names in the argument ``plan_kwargs`` of :meth:`multiDGD.MultiDGD.train`.

    Parameters
    ----------
    plan_kwargs
        Arguments of the plan, and ``capture``.

    Raises
    ------
    TypeError
        If the plan has no such argument. The message contains the alternative to an argument of
        scvi-tools' plans, or the nearest names.
    """
    names = {*inspect.signature(MultiDGDTrainingPlan).parameters, "capture"} - {"module"}
    check_names("`plan_kwargs` has no item", plan_kwargs, refused_arguments()[PLAN], sorted(names))


def choose_plan(
    plan_kwargs: Mapping[str, Any],
    panels: FeaturePanels,
    keep_on_device: bool,
    trainer_kwargs: Mapping[str, Any],
) -> tuple[type[MultiDGDTrainingPlan], dict[str, Any]]:
    """Class of the plan, and its arguments without ``capture``.

    Steps are captured on request, and if their shapes are fixed: those of cells that measured
    different features of a modality are not.

    Parameters
    ----------
    plan_kwargs
        Arguments of the plan, and ``capture``.
    panels
        Measured features of the cells.
    keep_on_device, trainer_kwargs
        Arguments of :meth:`multiDGD.MultiDGD.train`.

    Raises
    ------
    ValueError
        If steps cannot be captured with these arguments.
    """
    others = dict(plan_kwargs)
    if not others.pop("capture", False):
        return MultiDGDTrainingPlan, others
    if count_processes(trainer_kwargs) > 1:
        raise ValueError(
            "`plan_kwargs`: `capture` requires a single device, because recorded steps do not sum "
            "gradients over processes."
        )
    if not keep_on_device:
        raise ValueError(
            "`plan_kwargs`: `capture` requires the counts on the device, found "
            "`keep_on_device=False`. Pass `keep_on_device=True` too."
        )
    for argument, default in _UNSUPPORTED.items():
        if (found := trainer_kwargs.get(argument, default)) != default:
            raise ValueError(
                f"`{argument}` must be {default} with `capture` in `plan_kwargs`, found {found}."
            )
    return (CapturedTrainingPlan if panels.are_complete else MultiDGDTrainingPlan), others
