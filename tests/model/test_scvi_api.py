"""The table of scvi-tools' methods and arguments, against the installed scvi-tools."""

import inspect

import pandas as pd
import pytest
from scvi.model import MULTIVI, SCVI, TOTALVI
from scvi.train import AdversarialTrainingPlan, TrainingPlan
from tests.model.fitting import fitted
from tests.toy import toy_adata, toy_mudata

from multiDGD import MultiDGD
from multiDGD.model.core._scvi_api import PLAN, scvi_api
from multiDGD.train import MultiDGDTrainingPlan

PLANS = {SCVI: TrainingPlan, TOTALVI: AdversarialTrainingPlan, MULTIVI: AdversarialTrainingPlan}
MODELS = tuple(PLANS)
TABLE = {(e.method, e.parameter): e for e in scvi_api()}


def parameters(function):
    """Named parameters of a method, without ``self``."""
    return {
        p.name: p
        for p in inspect.signature(function).parameters.values()
        if p.name not in ("self", "cls") and p.kind is not p.VAR_KEYWORD
    }


def public(model):
    return [n for n in dir(model) if not n.startswith("_") or n == "__init__"]


def names_of(model):
    """Methods of a model (with an empty name) and their parameters, as in the table."""
    for method in public(model):
        yield method, ""
        member = getattr(model, method)
        is_refused = (method, "") in TABLE and TABLE[method, ""].status == "refused"
        if callable(member) and not is_refused:
            yield from ((method, name) for name in parameters(member))


def theirs(status):
    """Entries of a status that the installed scvi-tools has, and the models that have them."""
    found = {}
    for model in MODELS:
        for name in names_of(model):
            if name in TABLE and TABLE[name].status == status:
                found.setdefault(TABLE[name], []).append(model)
    return found


@pytest.fixture(scope="module")
def model():
    return fitted(toy_mudata(names=("rna", "prot"), rate=4), batch_key="batch")


def test_every_name_of_scvi_tools_is_in_the_table():
    missing = [(m.__name__, *name) for m in MODELS for name in names_of(m) if name not in TABLE]
    assert not missing


def test_the_table_is_well_formed():
    assert len(TABLE) == len(scvi_api())
    for entry in scvi_api():
        assert set(entry.models.split()) <= {m.__name__ for m in MODELS}
        assert entry.status in ("same", "different", "refused")
        assert bool(entry.note) == (entry.status != "same"), entry
        assert not entry.note.endswith(".")
        if entry.parameter and TABLE[entry.method, ""].status == "refused":
            pytest.fail(f"{entry} belongs to a refused method")


@pytest.mark.parametrize("status", ["same", "different"])
def test_accepted_names_exist(status):
    for entry in theirs(status):
        assert hasattr(MultiDGD, entry.method), entry
        if entry.parameter:
            own = inspect.signature(getattr(MultiDGD, entry.method)).parameters
            has_others = any(p.kind is p.VAR_KEYWORD for p in own.values())
            assert entry.parameter in own or has_others, entry


def test_the_same_parameters_have_the_same_default():
    for entry, models in theirs("same").items():
        own = parameters(getattr(MultiDGD, entry.method)) if entry.parameter else {}
        if entry.parameter not in own:
            continue
        for scvi_model in models:
            default = parameters(getattr(scvi_model, entry.method))[entry.parameter].default
            assert own[entry.parameter].default == default, (entry, scvi_model)


def test_refused_arguments_name_the_alternative(model):
    arguments = [e for e in scvi_api() if e.status == "refused" and e.parameter]
    arguments = [e for e in arguments if e.method != PLAN]
    assert len(arguments) > 60
    for entry in arguments:
        method = MultiDGD if entry.method == "__init__" else getattr(model, entry.method)
        with pytest.raises(TypeError) as error:
            method(**{entry.parameter: "x"})
        alternative = entry.note.replace("<value>", "'x'")
        expected = f"{entry.method}() has no argument `{entry.parameter}`: {alternative}."
        assert str(error.value) == expected


def test_refused_methods_name_the_alternative(model):
    methods = [e for e in scvi_api() if e.status == "refused" and not e.parameter]
    assert len(methods) > 5
    for entry in methods:
        with pytest.raises((AttributeError, TypeError)) as error:
            getattr(model, entry.method)()
        assert entry.note in str(error.value)
    assert not hasattr(model, "minified_data_type")


def test_items_of_plans(model):
    own = {*parameters(MultiDGDTrainingPlan), "capture"}
    for name in {name for plan in PLANS.values() for name in parameters(plan)} - {"module"}:
        entry = TABLE[PLAN, name]
        theirs = {m.__name__ for m in MODELS if name in parameters(PLANS[m])}
        assert set(entry.models.split()) == theirs, entry
        assert (entry.status == "refused") == (name not in own), entry
        if entry.status == "refused":
            with pytest.raises(TypeError) as error:
                model.train(max_epochs=1, plan_kwargs={name: 1})
            assert str(error.value) == f"`plan_kwargs` has no item `{name}`: {entry.note}."
    with pytest.raises(TypeError, match=r"`plan_kwargs` has no item `lr_rep`. Nearest: \['lr_rep"):
        model.train(max_epochs=1, plan_kwargs={"lr_rep": 0.1})


def test_the_message_contains_the_given_value():
    with pytest.raises(TypeError, match=r'AnnData\(adata.obsm\["?\'?adt'):
        MultiDGD.setup_anndata(None, protein_expression_obsm_key="adt")


def test_notes_name_arguments_of_this_package():
    """A refusal must not send the reader to another refused argument."""
    refused = {(e.method, e.parameter) for e in scvi_api() if e.status == "refused"}
    for entry in scvi_api():
        for name in entry.note.split("`")[1::2]:
            if name.isidentifier():
                assert (entry.method, name) not in refused, entry


def test_misspelt_arguments_name_the_nearest(model):
    with pytest.raises(TypeError, match=r"no argument `n_latents`. Nearest: \['n_latent'"):
        MultiDGD(model.adata, n_latents=5)
    with pytest.raises(TypeError, match=r"no argument `max_epoch`. Nearest: \['max_epochs'"):
        model.train(max_epoch=5)
    with pytest.raises(TypeError, match=r"no argument `batchsize`. Nearest: \['batch_size'"):
        model.get_latent_representation(batchsize=5)
    with pytest.raises(ValueError, match=r"found 'protein'.*`modality='prot'`"):
        model.impute("protein")


def test_cells_in_an_anndata_of_a_mudata_model(model):
    with pytest.raises(ValueError, match=r"must be a MuData.*Wrap .*`MuData\(\{'rna': adata"):
        model.get_latent_representation(model.adata["rna"].copy())


@pytest.mark.parametrize("as_array", [True, False])
def test_the_alternative_for_proteins_in_obsm_pairs_the_cells(as_array):
    adata = toy_adata()
    table = pd.DataFrame(adata.X.toarray()[:, :3], adata.obs_names, ["CD3", "CD4", "CD8"])
    adata.obsm["adt"] = table.to_numpy() if as_array else table
    (entry,) = [e for e in scvi_api() if e.parameter == "protein_expression_obsm_key"]
    calls = [text.replace("<value>", "'adt'") for text in entry.note.split("`")[1::2]]
    calls[2] = calls[2].replace("...", "batch_key='batch'")
    names = {"MultiDGD": MultiDGD, "adata": adata}
    for call in (*calls[3:], *calls[:3]):  # the imports come last
        exec(call, names)
    mdata = names["mdata"]
    assert mdata.n_obs == adata.n_obs
