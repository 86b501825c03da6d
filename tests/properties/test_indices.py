"""All forms of `indices` select the same rows, and invalid ones raise."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.model.fitting import renamed
from tests.properties.objects import training_data

N = 10
QUESTIONS = {
    "representation": lambda m, x, i: m.get_latent_representation(x, indices=i),
    "moments": lambda m, x, i: np.stack(
        m.get_latent_representation(x, indices=i, return_dist=True), 1
    ),
    "covariate": lambda m, x, i: m.get_covariate_representation("batch", x, indices=i),
    "expression": lambda m, x, i: m.get_normalized_expression(x, indices=i),
    "conditional": lambda m, x, i: m.get_normalized_expression(
        x, indices=i, condition_on_counts=True
    ),
    "clusters": lambda m, x, i: m.get_cluster_assignments(x, indices=i, soft=True),
    "labels": lambda m, x, i: m.predict(x, indices=i, soft=True),
    "typicality": lambda m, x, i: m.get_typicality(x, indices=i),
    "lower bound": lambda m, x, i: np.asarray(m.get_elbo(x, indices=i, return_mean=False)),
}
POSITIONS = st.lists(st.integers(0, N - 1), max_size=2 * N)


def _mixed_signs(positions):
    return [p - N if k % 2 else p for k, p in enumerate(positions)]


FORMS = {
    "list": list,
    "tuple": tuple,
    "negative": lambda p: [i - N for i in p],
    "mixed signs": _mixed_signs,
    "list of numpy integers": lambda p: [np.int32(i) for i in p],
    "Index": lambda p: pd.Index(p, dtype=np.int64),
    "Series": lambda p: pd.Series(p, dtype=np.int64, index=range(100, 100 + len(p))),
    "read-only": lambda p: np.frombuffer(np.array(p, np.int64).tobytes(), np.int64),
    "strided": lambda p: np.repeat(np.array(p, np.int64), 2)[::2],
    **{
        t: lambda p, t=t: np.array(p, dtype=t)
        for t in ("int8", "uint8", "int16", "uint32", "uint64", ">i4")
    },
}
MASKS = {
    "array": np.array,
    "list": list,
    "tuple": tuple,
    "Series": pd.Series,
    "nullable": lambda m: pd.array(m, dtype="boolean"),
}


@pytest.fixture(scope="module")
def query():
    return renamed(training_data(N, seed=5))


def rows(answer):
    return np.asarray(answer)


def check_rows(model, query, question, given, positions):
    ask = QUESTIONS[question]
    expected = rows(ask(model, query, None))[positions]
    found = ask(model, query, given)
    assert rows(found).shape == expected.shape
    if rows(found).dtype.kind == "f":
        np.testing.assert_allclose(rows(found), expected, rtol=1e-4, atol=1e-5)
    if isinstance(found, (pd.DataFrame, pd.Series)):
        assert list(found.index) == list(query.obs_names[positions])


@pytest.mark.parametrize("n_cases", [10, pytest.param(400, marks=pytest.mark.slow)])
def test_positions(model, query, n_cases):
    @settings(max_examples=n_cases)
    @given(st.sampled_from(list(QUESTIONS)), st.sampled_from(list(FORMS)), POSITIONS)
    def check(question, form, positions):
        before = FORMS[form](positions)
        given_indices = FORMS[form](positions)
        check_rows(model, query, question, given_indices, positions)
        np.testing.assert_array_equal(np.asarray(given_indices), np.asarray(before))

    check()


@pytest.mark.parametrize("n_cases", [4, pytest.param(150, marks=pytest.mark.slow)])
def test_masks(model, query, n_cases):
    masks = st.lists(st.booleans(), min_size=N, max_size=N)

    @settings(max_examples=n_cases)
    @given(st.sampled_from(list(QUESTIONS)), st.sampled_from(list(MASKS)), masks)
    def check(question, form, mask):
        check_rows(model, query, question, MASKS[form](mask), np.flatnonzero(mask))

    check()


INVALID = st.one_of(
    st.lists(st.integers(N, 2**62), min_size=1, max_size=3),
    st.lists(st.integers(-(2**62), -N - 1), min_size=1, max_size=3),
    st.lists(st.floats(0, 3), min_size=1, max_size=3),
    st.lists(st.text(max_size=3), min_size=1, max_size=3),
    st.lists(st.booleans(), min_size=1, max_size=3 * N).filter(lambda m: len(m) != N),
    st.integers(-N, N - 1),
    st.just([[0, 1], [2, 3]]),
    st.just([[True] * N]),
    st.just(np.ones((N, 2), dtype=bool)),
    st.just([[]]),
    st.just([[0], [1, 2]]),
    st.just([None]),
    st.just([0, None]),
    st.just({"a": 1}),
    st.just({1, 2}),
    st.just("n1"),
    st.just(True),
    st.just(slice(0, 3)),
    st.just([2**64 - 1]),
    st.just([2**80]),
    st.just(np.array([1], dtype="M8[s]")),
    st.just(pd.array([0, None], dtype="Int64")),
)


@pytest.mark.parametrize("n_cases", [10, pytest.param(200, marks=pytest.mark.slow)])
def test_invalid_indices(model, query, n_cases):
    @settings(max_examples=n_cases)
    @given(st.sampled_from(list(QUESTIONS)), INVALID)
    def check(question, invalid):
        with pytest.raises(ValueError, match="`indices`"):
            QUESTIONS[question](model, query, invalid)

    check()
