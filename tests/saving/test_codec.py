"""Values keep their types and content in JSON and arrays."""

import json
from collections import OrderedDict, defaultdict
from fractions import Fraction
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.preprocessing import StandardScaler

from multiDGD.saving._codec import Decoder, Encoder
from multiDGD.saving._tables import join_table

PLAIN = [
    None, True, False, 0, -1, 10**30, 1.5, -0.0, 1e-300, float("nan"), float("inf"), -float("inf"),
    "", "é\ud800\0", b"\xff", 1 + 2j, complex("nan"), Path("a/b"), slice(1, None), pd.NA, pd.NaT,
    [], [1, (2, [None])], (), (1,), {}, {"dict": 1}, {1: "a", (1, 2): "b", None: 0.5, "1": "c"},
    {"a": {"b": (1, [2])}}, {1, 2}, set(), frozenset("a"), OrderedDict(b=1, a=2),
    defaultdict(dict, a={"b": 1}), defaultdict(list),
    np.float32(0.1), np.float64(1), np.bool_(True), np.uint64(2**63), np.int8(-3), np.str_("é"),
    np.str_(""), np.bytes_(b"ab"), np.datetime64("2020-01-01", "D"), np.timedelta64(3, "s"),
    np.complex64(1j), np.longdouble(1) / 3,
]  # fmt: skip
ARRAYS = [
    np.zeros(0), np.zeros((0, 3), np.int32), np.array(5.0), np.arange(12).reshape(3, 4).T,
    np.arange(6)[::-2], np.array([1.5, np.nan, np.inf], ">f4"), np.array([2**64 - 1], np.uint64),
    np.array([True, False]), np.float16([1, 2]), np.array([1 + 2j]), np.array(["", "é", "𝛼b"]),
    np.array([], str), np.array([b"a", b"bc"]), np.array([1, 2], "M8[ns]"), np.array([3], "m8[D]"),
    np.array(["a", None, 1, True, 2.5, np.nan, np.str_("b"), (1, 2)], object)[:, None],
    np.array([["a\0", "b"], ["é", "\ud800"]], object), np.array([], object), np.array(None),
    np.array([(1, "a", [1, 2])], dtype=[("x", "i4"), ("y", "U3"), ("z", "f4", (2,))]),
    np.array([(1, None)], dtype=[("x", "i4"), ("y", object)]),
]  # fmt: skip
TABLES = [
    pd.DataFrame({"train_loss": [2.0, 1.0]}).rename_axis("epoch"),
    pd.DataFrame({"a": [1, 2], "b": ["x", None], "c": pd.Categorical(["u", "v"])}, index=[3, 4]),
    pd.DataFrame(np.zeros((2, 2), np.float32), columns=["a", "a"]),
    pd.DataFrame(),
    pd.DataFrame({"a": pd.array([1, None], dtype="Int64"), "b": pd.array(["x", None], "string")}),
    pd.Series([1, 2], index=["a", "b"], name="n"),
    pd.Series(["a", "b"], dtype=object),
    pd.Index(["a", "b"], name=("x", 1)),
    pd.Index([1.5, 2]),
    pd.RangeIndex(2, 9, 3, name="r"),
    pd.MultiIndex.from_tuples([(1, "a"), (2, "b")], names=["i", None]),
    pd.Categorical(["a", None], categories=["b", "a"], ordered=True),
    pd.CategoricalIndex(["a", "b"], name="c"),
    pd.DatetimeIndex(["2020-01-01", None]),
]


def there_and_back(value):
    encoder = Encoder()
    text = json.dumps(encoder.encode(value, "value"), allow_nan=False)
    return Decoder(encoder.arrays).decode(json.loads(text))


def assert_same(a, b):
    assert type(a) is type(b)
    if isinstance(a, dict):
        assert list(a) == list(b)
        assert getattr(a, "default_factory", None) is getattr(b, "default_factory", None)
        for key in a:
            assert_same(a[key], b[key])
    elif isinstance(a, (list, tuple)):
        assert len(a) == len(b)
        for x, y in zip(a, b, strict=True):
            assert_same(x, y)
    elif isinstance(a, np.ndarray):
        assert (a.dtype, a.shape) == (b.dtype, b.shape)
        assert b.flags.writeable
        if a.dtype.hasobject:
            assert_same(a.ravel().tolist(), b.ravel().tolist())
        else:
            assert a.tobytes() == b.tobytes()
    elif isinstance(a, (float, complex, np.generic)):
        assert repr(a) == repr(b)
    elif a is not pd.NaT and a is not pd.NA:
        assert a == b


@pytest.mark.parametrize("value", PLAIN, ids=repr)
def test_plain_values(value):
    assert_same(there_and_back(value), value)
    assert_same(there_and_back({"key": [value]}), {"key": [value]})


@pytest.mark.parametrize("value", ARRAYS, ids=lambda a: f"{a.dtype}-{a.shape}")
def test_arrays(value):
    assert_same(there_and_back(value), value)


@pytest.mark.parametrize("value", TABLES, ids=lambda t: type(t).__name__)
def test_tables(value):
    found = there_and_back(value)
    assert type(found) is type(value)
    if isinstance(value, pd.DataFrame):
        pd.testing.assert_frame_equal(found, value)
    elif isinstance(value, pd.Series):
        pd.testing.assert_series_equal(found, value)
    elif isinstance(value, pd.Index):
        pd.testing.assert_index_equal(found, value, exact=True)
    else:
        pd.testing.assert_series_equal(pd.Series(found), pd.Series(value))


def test_missing_strings_of_pandas_3_stay_missing():
    values = np.array(["a", np.nan], dtype=object)
    index = join_table("index", [("str", values), None])
    series = join_table("series", [pd.RangeIndex(2), ("str", values), None, {}])
    assert index.isna().tolist() == series.isna().tolist() == [False, True]
    # pandas 3 gives strings the dtype `str`, pandas 2 `object`
    assert index.dtype == series.dtype == pd.Series(["a"]).dtype


@pytest.mark.parametrize("value", [torch.arange(3), torch.tensor(1.5), torch.zeros(0, 2)])
def test_tensors(value):
    found = there_and_back(value)
    assert found.dtype == value.dtype
    assert torch.equal(found, value)


class Text(str):
    """A subclass, which would be read as its base."""


@pytest.mark.parametrize(
    "value",
    [object(), Fraction(1, 2), len, StandardScaler(), Text("a"), np.ma.array([1]),
     np.zeros(1, "V3"), torch.zeros(1, dtype=torch.bfloat16), torch.nn.Parameter(torch.zeros(1)),
     defaultdict(lambda: 1), pd.Series([object()]), pd.interval_range(0, 2),
     pd.Series(pd.date_range("2020", periods=2, tz="UTC"))],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_other_types_are_refused_with_their_path(value):
    with pytest.raises(ValueError, match=r"`note_\['x'\]\[1\].*` cannot be saved: it is"):
        Encoder().encode({"x": [0, value]}, "note_")
