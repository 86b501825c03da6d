"""Arguments that accept a fixed set of strings: type hints and checks have the same values."""

import importlib
import inspect
import re
from typing import Literal, get_args, get_origin, get_type_hints

import pandas as pd
import pytest
import torch
from anndata import AnnData
from mudata import MuData

from multiDGD import MultiDGD, latent, module, pl, stats, train
from multiDGD.cli._parser import build_parser
from tests.model.fitting import fitted
from tests.toy import toy_mudata

MODULES = ("datasets", "inference", "init", "latent", "module", "nn", "pl", "stats", "train")
UNKNOWN = "no such value"
SOFTBALL = (2.0, 5.0)
# Names that modules import for type checks only.
NAMES = {"MultiDGD": MultiDGD, "AnnData": AnnData, "MuData": MuData, "Tensor": torch.Tensor}


def literals(hint):
    """Strings of all `Literal` types in a type hint."""
    if get_origin(hint) is Literal:
        return {value for value in get_args(hint) if isinstance(value, str)}
    return set().union(*map(literals, get_args(hint)))


def functions():
    """Public functions and methods by name."""
    classes = {"MultiDGD": MultiDGD}
    for package in MODULES:
        public = importlib.import_module(f"multiDGD.{package}")
        for name in public.__all__:
            member = getattr(public, name)
            if inspect.isfunction(member):
                yield name, member
            elif inspect.isclass(member):
                classes[name] = member
    for owner, cls in classes.items():
        for name, member in inspect.getmembers(cls, callable):
            if str(getattr(member, "__module__", "")).startswith("multiDGD") and (
                name == "__init__" or not name.startswith("_")
            ):
                yield f"{owner}.{name}", member


def choices():
    """Arguments with a fixed set of strings, with these strings."""
    found = {}
    for name, function in functions():
        hints = get_type_hints(function, localns=NAMES)
        for argument in inspect.signature(function).parameters:
            if values := literals(hints.get(argument, str)):
                found[name, argument] = values
    return found


# Calls that are complete but for one argument; the check precedes the use of all others.
CALLS = {
    "FoldChanges.__init__": lambda model, **given: stats.FoldChanges(
        *[stats.GroupRates(torch.ones(3) / 3, torch.ones(3) * 9, df=9)] * 2, **given
    ),
    "GaussianMixture.__init__": lambda model, **given: latent.GaussianMixture(2, 2, **given),
    "GaussianMixture.sample_new_points": lambda model, **given: latent.GaussianMixture(
        2, 2, mean_init=SOFTBALL
    ).sample_new_points(**given),
    "GaussianMixtureSupervised.__init__": lambda model, **given: latent.GaussianMixtureSupervised(
        2, 1, 2, **given
    ),
    "GaussianMixtureSupervised.sample_new_points": lambda model, **given: (
        latent.GaussianMixtureSupervised(2, 1, 2, mean_init=SOFTBALL).sample_new_points(**given)
    ),
    "GaussianMixtureSupervised.supervised_sampling": lambda model, **given: (
        latent.GaussianMixtureSupervised(2, 1, 2, mean_init=SOFTBALL).supervised_sampling(
            [0], **given
        )
    ),
    "RepresentationLayer.__init__": lambda model, **given: latent.RepresentationLayer(
        2, 3, **given
    ),
    "ModuleConfig.__init__": lambda model, **given: module.ModuleConfig(**given),
    "MultiDGD.__init__": lambda model, **given: MultiDGD(model.adata, **given),
    "MultiDGD.differential_abundance": lambda model, **given: model.differential_abundance(
        sample_key="batch", **given
    ),
    "MultiDGD.gene2peak": lambda model, **given: model.gene2peak("rna1", **given),
    "MultiDGD.peak2gene": lambda model, **given: model.peak2gene("atac1", **given),
    "MultiDGD.perturb": lambda model, **given: model.perturb("rna1", **given),
    "MultiDGD.sample": lambda model, **given: model.sample(3, **given),
    "MultiDGD.train": lambda model, **given: model.train(max_epochs=1, accelerator="cpu", **given),
    "MultiDGDTrainingPlan.__init__": lambda model, **given: train.MultiDGDTrainingPlan(
        model.module, **given
    ),
    "CapturedTrainingPlan.__init__": lambda model, **given: train.CapturedTrainingPlan(
        model.module, **given
    ),
    "PinnedStrategy.__init__": lambda model, **given: train.PinnedStrategy(**given),
    "composition": lambda model, **given: pl.composition(pd.DataFrame([[1]]), **given),
    "counts_vs_predicted": lambda model, **given: pl.counts_vs_predicted(model, **given),
    "likelihoods": lambda model, **given: pl.likelihoods(pd.DataFrame(columns=[*"ab"]), **given),
    "perturbation": lambda model, **given: pl.perturbation(pd.DataFrame(), **given),
}


@pytest.fixture(scope="module")
def model():
    return fitted(toy_mudata(), batch_key="batch")


def test_choices_are_found():
    found = choices()
    assert len(found) > 25
    assert found["MultiDGD.perturb", "direction"] == {"knock-down", "knock-out", "overexpress"}


@pytest.mark.parametrize(("name", "argument"), choices())
def test_hints_have_the_accepted_values(model, name, argument):
    def call(**given):
        owner, _, method = name.partition(".")
        if name in CALLS:
            return CALLS[name](model, **given)
        assert owner == "MultiDGD", f"{name} needs a call in `CALLS`"
        return getattr(model, method)(**given)

    with pytest.raises(ValueError, match=rf"`{argument}` must be .*found '{UNKNOWN}'") as error:
        call(**{argument: UNKNOWN})
    listed = re.search(r"must be (.*), found '", str(error.value)).group(1)
    assert set(re.findall(r"'([\w-]+)'", listed)) == choices()[name, argument]


def test_the_command_line_has_the_same_choices():
    commands = build_parser()._subparsers._group_actions[0].choices
    actions = {a.dest: a for a in commands["de"]._actions if a.choices}
    assert actions
    for argument, action in actions.items():
        assert set(action.choices) == choices()["MultiDGD.differential_expression", argument]
