"""Answers about query cells do not depend on the form of their object."""

import anndata as ad
import mudata as md
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.properties.cases import cases
from tests.properties.objects import N_FEATURES, answers, assert_same, by_name, digests
from tests.properties.strategies import LARGEST, counts, in_form, matrix_forms

from multiDGD.model.core._representation_cache import cell_keys

GENES = [f"gene{i}" for i in range(N_FEATURES)]


@pytest.mark.parametrize("n_cases", [12, pytest.param(600, marks=pytest.mark.slow)])
def test_forms_of_an_anndata(model, n_cases):
    @settings(max_examples=n_cases)
    @given(cases(GENES))
    def check(case):
        before, of_source = digests(case.other), digests(case.source)
        found = by_name(answers(model, case.other), case.other, case.plain.obs_names)
        # scvi-tools makes a view an object of its own; its content stays the same.
        assert digests(case.other) == before
        assert digests(case.source) == of_source
        assert_same(found, answers(model, case.plain))

    check()


@st.composite
def paired_cases(draw):
    """A MuData in order, and the same cells with other orders and forms."""
    n = draw(st.integers(1, 6))
    missing = {}
    plain, other = {}, {}
    for name, n_features in (("rna", N_FEATURES), ("atac", 10)):
        form = draw(matrix_forms())
        x = draw(counts(n, n_features, LARGEST[form[1]]))
        cells = np.array(draw(st.permutations(range(n))))
        order = np.array(draw(st.permutations(range(n_features))))
        # The first cell has both modalities, so that none is empty.
        missing[name] = draw(st.sets(st.integers(1, n - 1), max_size=n - 1)) if n > 1 else set()
        missing[name] -= missing.get("rna", set()) if name == "atac" else set()
        cells = cells[~np.isin(cells, list(missing[name]))]
        in_order = np.sort(cells)
        plain[name] = _part(x[in_order], name, np.arange(n_features), in_order)
        other[name] = _part(in_form(x[np.ix_(cells, order)], form), name, order, cells)
    if draw(st.booleans()):
        other = dict(reversed(other.items()))
    batch = np.array(draw(st.lists(st.sampled_from(["b0", "b1"]), min_size=n, max_size=n)))

    def build(parts):
        # Building a MuData draws random numbers, which strategies must not do.
        found = md.MuData(parts)
        found.obs["batch"] = batch[[int(name[1:]) for name in found.obs_names]]
        return found

    return lambda: (build(plain), build(other))


def _part(x, name, features, cells):
    found = ad.AnnData(x)
    found.obs_names = [f"n{i}" for i in cells]
    found.var_names = [f"{name}{j}" for j in features]
    return found


@pytest.mark.parametrize("n_cases", [6, pytest.param(300, marks=pytest.mark.slow)])
def test_forms_of_a_mudata(paired_model, n_cases):
    @settings(max_examples=n_cases)
    @given(paired_cases(), st.sampled_from(["rna", "atac"]))
    def check(case, modality):
        plain, other = case()
        before = digests(other)
        found = answers(paired_model, other, modality)
        assert digests(other) == before
        # Cells whose optimum is flat can depend on the order of the cells by more than the tolerance.
        in_order = md.MuData(
            {name: plain[name][part.obs_names].copy() for name, part in other.mod.items()}
        )
        in_order.obs["batch"] = plain.obs["batch"][in_order.obs_names]
        assert in_order.obs_names.equals(other.obs_names)
        assert_same(found, answers(paired_model, in_order, modality))
        keys = [{"fingerprint": cell_keys(paired_model._manager_of(x))} for x in (other, plain)]
        np.testing.assert_array_equal(
            by_name(keys[0], other, plain.obs_names)["fingerprint"], keys[1]["fingerprint"]
        )

    check()
