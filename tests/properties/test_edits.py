"""Answers follow changes of a registered object; objects without an answer raise."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from tests.properties import edits
from tests.properties.cases import cases
from tests.properties.objects import N_FEATURES, answers, assert_same, digests, fresh

GENES = [f"gene{i}" for i in range(N_FEATURES)]
SEEDS = st.integers(0, 2**32 - 1)
CHANGES = st.lists(st.tuples(st.sampled_from(edits.VALID), SEEDS), min_size=1, max_size=4)


def writeable(adata):
    """The object with counts that can be changed and columns of simple types."""
    adata = fresh(adata)
    adata.X = adata.X.astype(np.float32)
    return adata


@pytest.mark.parametrize("n_cases", [8, pytest.param(400, marks=pytest.mark.slow)])
def test_changes_of_a_query(model, n_cases):
    @settings(max_examples=n_cases)
    @given(cases(GENES, extra=False, views=False), CHANGES)
    def check(case, changes):
        adata = writeable(case.other)
        answers(model, adata)
        for change, seed in changes:
            change(adata, np.random.default_rng(seed))
            before = digests(adata)
            assert_same(answers(model, adata), answers(model, fresh(adata)))
            assert digests(adata) == before

    check()


@pytest.mark.filterwarnings("ignore:.*names are not unique")
@pytest.mark.parametrize("n_cases", [8, pytest.param(240, marks=pytest.mark.slow)])
def test_invalid_changes_of_a_query(model, n_cases):
    @settings(max_examples=n_cases)
    @given(
        cases(GENES, smallest=2, extra=False, views=False),
        st.sampled_from(list(edits.INVALID)),
        SEEDS,
        st.booleans(),
    )
    def check(case, change, seed, is_known):
        adata = writeable(case.other)
        assume(adata.n_vars > 1)
        good = fresh(adata)
        expected = answers(model, good)
        if is_known:
            answers(model, adata)
        change(adata, np.random.default_rng(seed))
        before = digests(adata)
        for _ in range(2):
            with pytest.raises(ValueError, match=edits.INVALID[change]):
                answers(model, adata)
            assert digests(adata) == before
        # After the repair, the object has its answers again.
        adata.X, adata.obs_names, adata.var_names = good.X, good.obs_names, good.var_names
        for key in ("batch", "age"):
            adata.obs[key] = good.obs[key].array
        assert_same(answers(model, adata), expected)

    check()
