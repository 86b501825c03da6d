"""The setup reads the same content from all forms of an object."""

import numpy as np
import pandas as pd
import pytest
import scvi
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.model.fitting import fitted
from tests.properties.cases import cases
from tests.properties.objects import COLUMNS, digests, fresh, training_data
from tests.properties.strategies import (
    INTEGERS,
    LARGEST,
    NUMBERS,
    TEXT,
    a_key,
    counts,
    in_form,
    matrix_forms,
)

from multiDGD import MultiDGD
from multiDGD.data import find_categories

GENES = [f"f{i}" for i in range(6)]


def content(data, cells, features):
    """All that the setup reads from an object, for cells and features in a given order."""
    MultiDGD.setup_anndata(data, **COLUMNS)
    manager = MultiDGD._get_most_recent_anndata_manager(data, required=True)
    rows = data.obs_names.get_indexer(cells)
    summary, dataset = manager.summary, manager.create_torch_dataset()
    columns = pd.Index(summary.features["counts"]).get_indexer(features)
    batch = dataset[rows]
    known = {"label": summary.labels, **summary.covariates}
    codes = np.column_stack([batch["labels"].numpy(), batch["covariates"].numpy()])
    return {
        "counts": batch["counts"]["counts"].to_dense().numpy()[:, columns],
        "matrix": manager.matrix("counts").toarray()[rows][:, columns],
        "libraries": manager.libraries[rows],
        "age": batch["continuous"].numpy(),
        **{key: categories[codes[:, at]] for at, (key, categories) in enumerate(known.items())},
    }


@pytest.mark.parametrize("n_cases", [8, pytest.param(400, marks=pytest.mark.slow)])
def test_forms(n_cases):
    @settings(max_examples=n_cases)
    @given(cases(GENES, extra=False, views=False))
    def check(case):
        names = case.plain.obs_names, case.plain.var_names
        before = digests(case.other)
        found, expected = content(case.other, *names), content(case.plain, *names)
        assert digests(case.other) == before
        for key in ("counts", "matrix", "libraries", "age"):
            np.testing.assert_array_equal(found[key], expected[key], err_msg=key)
        for key in ("label", "batch", "plate"):
            # Each category of one form is that of the other.
            distinct = np.array(sorted(set(expected[key])), dtype=object)
            codes = [find_categories(pd.Series(x[key]), distinct)[0] for x in (found, expected)]
            np.testing.assert_array_equal(*codes, err_msg=key)

    check()


@st.composite
def training_cases(draw):
    """Counts and a form of matrix; forms of the columns with the same order of categories."""
    form = draw(matrix_forms())
    forms = [("batch", TEXT), ("plate", INTEGERS), ("label", TEXT), ("age", NUMBERS)]
    chosen = {
        key: draw(a_key(k for k in kind if k != "reversed categories")) for key, kind in forms
    }
    return draw(counts(12, 4, LARGEST[form[1]])), form, chosen


@pytest.mark.parametrize("n_cases", [2, pytest.param(60, marks=pytest.mark.slow)])
def test_trained_parameters(n_cases):
    def trained(data):
        scvi.settings.seed = 1
        return fitted(data, train={"max_epochs": 1}, **COLUMNS).module.state_dict()

    @settings(max_examples=n_cases)
    @given(training_cases())
    def check(case):
        x, form, chosen = case
        plain = training_data(12)[:, :4].copy()
        plain.X = x
        plain.obs["age"] = np.float32(np.arange(12) % 4)
        other = fresh(plain)
        other.X = in_form(x, form)
        kinds = {"batch": TEXT, "plate": INTEGERS, "label": TEXT, "age": NUMBERS}
        for key, name in chosen.items():
            other.obs[key] = kinds[key][name](list(plain.obs[key]))
        before = digests(other)
        found, expected = trained(other), trained(plain)
        assert digests(other) == before
        for name, value in expected.items():
            assert torch.equal(found[name], value), name

    check()
