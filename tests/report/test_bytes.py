"""Arrays as compressed text."""

import base64
import zlib

import numpy as np

from multiDGD.report._bytes import MISSING, pack, plane_integers, quantise


def unpack(text, dtype):
    return np.frombuffer(zlib.decompress(base64.b64decode(text)), dtype)


def test_pack_can_be_inverted():
    values = np.arange(0, 60_000, 7, dtype=np.uint16)
    np.testing.assert_array_equal(unpack(pack(values), "<u2"), values)


def test_bytes_do_not_depend_on_the_byte_order():
    values = np.array([1, 2, 300], dtype=np.uint16)
    assert pack(values.astype(">u2")) == pack(values.astype("<u2"))


def test_quantised_values_are_within_half_a_level():
    values = np.random.default_rng(0).uniform(2, 5, 1000)
    found = quantise(values, 2, 5)
    assert found.max() < MISSING
    np.testing.assert_allclose(2 + found / 254 * 3, values, atol=3 / 127 / 2 + 1e-12)


def test_missing_values_and_values_outside_of_the_range():
    found = quantise(np.array([np.nan, -9, 9]), 0, 1)
    assert list(found) == [MISSING, 0, 254]


def test_constant_values():
    assert list(quantise(np.array([3.0, 3.0]), 3, 3)) == [0, 0]


def test_plane_keeps_the_ratio_of_its_axes():
    xy = np.array([[0.0, 0.0], [10.0, 5.0], [5.0, 2.5]])
    x, y = plane_integers(xy)
    assert list(x) == [0, 65_535, 32_768]
    np.testing.assert_allclose(y, x / 2, atol=1)


def test_a_single_point():
    x, y = plane_integers(np.array([[2.0, 3.0]]))
    assert (x[0], y[0]) == (0, 0)
