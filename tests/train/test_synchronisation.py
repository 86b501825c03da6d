"""A training step does not wait for the device.

On a CPU nothing waits, so these tests count the operations that would: those whose results the
processor needs, and those whose result has a shape that depends on values.
"""

import pytest
import torch
from tests.toy import remove_counts, toy_mudata
from tests.train.test_plan import fitted
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from multiDGD.nn.likelihoods import negative_binomial
from multiDGD.train import CapturedTrainingPlan, MultiDGDTrainingPlan

OPERATIONS = {
    "_linalg_check_errors",
    "_local_scalar_dense",
    "_unique2",
    "bincount",
    "equal",
    "histc",
    "is_nonzero",
    "lift_fresh",  # copies a constant from the processor
    "masked_select",
    "nonzero",
    "unique_consecutive",
    "unique_dim",
}
METHODS = {"__array__", "__bool__", "__contains__", "__float__", "__index__", "__int__"} | {
    "cpu",
    "item",
    "numpy",
    "tolist",
}


class Operations(TorchDispatchMode):
    """Names of the operations that would wait, including those of the backward pass."""

    def __init__(self, found):
        super().__init__()
        self.found = found

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        name = function._schema.name.split("::")[1]
        if name in OPERATIONS:
            self.found.append(name)
        if name in ("index", "index_put", "index_put_"):
            masks = [x for x in args[1] if x is not None and x.dtype == torch.bool]
            self.found += ["index by a mask"] * len(masks)
        if name == "repeat_interleave" and not (kwargs or {}).get("output_size"):
            self.found.append(name)
        return function(*args, **(kwargs or {}))


class Methods(TorchFunctionMode):
    """Names of the methods that would wait, some of which are no operations on a CPU."""

    def __init__(self, found):
        super().__init__()
        self.found = found
        self.is_paused = False

    def __torch_function__(self, function, types, args=(), kwargs=None):
        name = getattr(function, "__name__", "")
        if name in METHODS and not self.is_paused:
            self.found.append(name)
        return function(*args, **(kwargs or {}))


@pytest.fixture
def waits(monkeypatch):
    """Names of the operations and methods of all training steps, which may wait."""
    found = []
    methods = Methods(found)
    evaluate = negative_binomial.evaluate_on_cpu

    def without_counting(*args):
        methods.is_paused = True
        try:
            return evaluate(*args)  # numba, on a CPU only
        finally:
            methods.is_paused = False

    monkeypatch.setattr(negative_binomial, "evaluate_on_cpu", without_counting)
    for plan, name in (
        (MultiDGDTrainingPlan, "optimizer_step"),
        (CapturedTrainingPlan, "_whole_step"),
    ):
        monkeypatch.setattr(plan, name, counted(getattr(plan, name), found, methods))
    return found


def counted(step, found, methods):
    def run(*args, **kwargs):
        with Operations(found), methods:
            found.append("step")
            return step(*args, **kwargs)

    return run


def mosaic():
    """Cells of which some lack a modality, and some a label."""
    data = toy_mudata(60, (12, 15), ("rna", "adt"))
    remove_counts(data["rna"], slice(10))
    remove_counts(data["adt"], slice(50, 60))
    data.obs["kind"] = data.obs["label"].where([i % 4 > 0 for i in range(60)], "unknown")
    return data


SETUP = {
    "batch_key": "batch",
    "categorical_covariate_keys": ["site"],
    "continuous_covariate_keys": ["age"],
}
LABELS = {**SETUP, "labels_key": "kind", "unlabeled_category": "unknown"}


@pytest.mark.parametrize("likelihood", ["nb", "poisson", "bernoulli", "protein"])
@pytest.mark.parametrize("setup", [SETUP, LABELS], ids=["unlabelled", "labelled"])
@pytest.mark.parametrize("capture", [False, True])
@pytest.mark.filterwarnings("ignore:.*no counts")
def test_a_step_does_not_wait(waits, likelihood, setup, capture):
    data = mosaic()
    if likelihood == "bernoulli":
        for part in data.mod.values():
            part.X.data[:] = 1
    fitted(
        data,
        setup,
        {"n_components": None, "likelihoods": dict.fromkeys(("rna", "adt"), likelihood)},
        keep_on_device=True,
        max_epochs=2,
        plan_kwargs={"capture": capture, "hold": 0.0, "l1": 0.01},
    )
    assert waits.count("step") > 4
    assert set(waits) == {"step"}


@pytest.mark.parametrize(
    "wait",
    [
        lambda x: x.sum().item(),
        lambda x: x.cpu(),
        lambda x: x.tolist(),
        lambda x: bool((x > 0).any()),
        lambda x: (x > 0).nonzero(),
        lambda x: x[x > 0],
        lambda x: x.unique(),
        lambda x: x[torch.tensor([0, 1])],
        lambda x: x[:, [0, 1]],
        lambda x: torch.arange(len(x)).repeat_interleave(torch.ones(len(x)).long()),
        lambda x: torch.tensor(1.0) * x,
    ],
    ids=[
        "item",
        "cpu",
        "tolist",
        "bool",
        "nonzero",
        "mask",
        "unique",
        "index",
        "list",
        "repeat",
        "constant",
    ],
)
def test_waits_are_found(waits, monkeypatch, wait):
    forward = MultiDGDTrainingPlan._forward

    def waiting(plan, batch):
        output = forward(plan, batch)
        wait(output.loss.detach().expand(3, 2) + 0)
        return output

    monkeypatch.setattr(MultiDGDTrainingPlan, "_forward", waiting)
    fitted(keep_on_device=True, max_epochs=1)
    assert set(waits) > {"step"}
