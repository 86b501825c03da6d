import numpy as np
import pytest
import torch
from torch import nn

from multiDGD.latent import RepresentationLayer


def test_zero_is_the_default():
    layer = RepresentationLayer(3, 5)
    assert (layer.n_rep, layer.n_sample) == (3, 5)
    assert isinstance(layer.z, nn.Parameter)
    assert torch.equal(layer.z.detach(), torch.zeros(5, 3))
    assert torch.equal(RepresentationLayer(3, 5, "zero").z, layer.z)


@pytest.mark.parametrize("value", [0.25, 2, np.float32(0.25)])
def test_a_number_sets_all_values(value):
    layer = RepresentationLayer(3, 5, value_init=value)
    assert torch.equal(layer.z.detach(), torch.full((5, 3), float(value)))
    assert layer.z.requires_grad


@pytest.mark.parametrize("kind", ["tensor", "parameter", "float64", "integer", "array", "list"])
def test_values_are_copied(kind):
    values = torch.arange(6).reshape(3, 2)
    value = {
        "tensor": values.float(),
        "parameter": nn.Parameter(values.float()),
        "float64": values.double(),
        "integer": values,
        "array": values.double().numpy(),
        "list": values.tolist(),
    }[kind]
    layer = RepresentationLayer(2, 3, value_init=value)
    assert layer.z.dtype == (torch.float64 if kind == "float64" else torch.float32)
    assert torch.equal(layer.z.detach().long(), values)
    with torch.no_grad():
        layer.z.fill_(9)
    assert torch.equal(torch.as_tensor(value).long(), values)


def test_read_only_arrays_are_accepted():
    value = np.ones((3, 2))
    value.flags.writeable = False
    assert torch.equal(RepresentationLayer(2, 3, value).z.detach(), torch.ones(3, 2))


@pytest.mark.parametrize(
    ("idx", "rows"),
    [
        (None, [0, 1, 2, 3]),
        ([2, 0], [2, 0]),
        (np.array([3, 3]), [3, 3]),
        (torch.tensor([1], dtype=torch.int32), [1]),
        (slice(1, 3), [1, 2]),
        (np.array([True, False, False, True]), [0, 3]),
        ([], []),
    ],
)
def test_forward_returns_the_given_rows(idx, rows):
    layer = RepresentationLayer(2, 4, torch.arange(8.0).reshape(4, 2))
    assert torch.equal(layer(idx), layer.z[rows])


def test_only_the_given_rows_are_updated():
    layer = RepresentationLayer(2, 4)
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.5)
    (layer([1, 3]) - 1).pow(2).sum().backward()
    optimizer.step()
    expected = torch.tensor([[0.0, 0], [1, 1], [0, 0], [1, 1]])
    torch.testing.assert_close(layer.z.detach(), expected)


def test_state_dict_round_trip():
    layer = RepresentationLayer(2, 4, torch.randn(4, 2))
    other = RepresentationLayer(2, 4)
    other.load_state_dict(layer.state_dict())
    assert list(layer.state_dict()) == ["z"]
    assert torch.equal(other(), layer())


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ((0, 3), "n_rep"),
        ((2, -1), "n_sample"),
        ((2.0, 3), "n_rep"),
        ((2, 3, "random"), "value_init"),
        ((2, 3, torch.zeros(2, 3)), "value_init"),
        ((2, 3, torch.zeros(3, 2, 1)), "value_init"),
        ((2, 3, nn.Parameter(torch.zeros(4, 2))), "value_init"),
        ((2, 3, torch.full((3, 2), torch.nan)), "value_init"),
        ((2, 3, float("inf")), "value_init"),
        ((2, 3, True), "value_init"),
        ((2, 3, {"a": 1}), "value_init"),
    ],
)
def test_errors_name_the_argument(arguments, name):
    with pytest.raises(ValueError, match=rf"^`{name}` .*found"):
        RepresentationLayer(*arguments)


def test_bad_indices():
    layer = RepresentationLayer(2, 3)
    with pytest.raises(ValueError, match="`idx` must hold integers"):
        layer([0.5])
    with pytest.raises(IndexError):
        layer([3])
