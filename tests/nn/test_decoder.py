import pytest
import torch

from multiDGD.nn import Decoder


def test_widths_are_as_published():
    decoder = Decoder(22, {"rna": 600, "atac": 40000})
    shapes = {name: tuple(p.shape) for name, p in decoder.named_parameters() if p.ndim == 2}
    assert shapes == {
        "trunk.0.weight": (100, 22),
        "trunk.2.weight": (100, 100),
        "heads.0.hidden.0.weight": (100, 100),
        "heads.0.hidden.2.weight": (100, 100),
        "heads.0.output.weight": (600, 100),
        "heads.1.hidden.0.weight": (100, 100),
        "heads.1.hidden.2.weight": (200, 100),
        "heads.1.output.weight": (40000, 200),
    }


def test_forward_applies_the_layers_in_order():
    decoder = Decoder(3, {"a.b": 5, "keys": 4}, n_units=6, n_hidden=1, n_hidden_modality=2)
    x = torch.randn(7, 3)
    logits = decoder(x)
    assert list(logits) == ["a.b", "keys"]
    trunk = decoder.trunk[0](x).clamp(min=0)
    head = decoder.head("keys")
    expected = head.output(head.hidden[0](trunk).clamp(min=0))
    torch.testing.assert_close(logits["keys"], expected)
    torch.testing.assert_close(decoder(x, ["keys"])["keys"], expected)
    assert list(decoder(x, ["keys"])) == ["keys"]
    assert decoder(x, []) == {}


def test_head_with_one_layer():
    decoder = Decoder(3, {"rna": 5}, n_units=6, n_hidden_modality=1)
    assert decoder(torch.randn(2, 3))["rna"].shape == (2, 5)


def test_output_is_initialised_with_the_average_profile():
    decoder = Decoder(3, {"rna": 4})
    proportions = torch.tensor([0.1, 0.2, 0.3, 0.4])
    decoder.initialize_output({"rna": proportions})
    decoder.head("rna").output.weight.data.zero_()
    torch.testing.assert_close(decoder(torch.randn(2, 3))["rna"].softmax(-1)[0], proportions)


@pytest.mark.parametrize("argument", ["n_units", "n_hidden", "n_hidden_modality"])
def test_errors_name_the_argument(argument):
    with pytest.raises(ValueError, match=argument):
        Decoder(3, {"rna": 5}, **{argument: 0})
    with pytest.raises(ValueError, match="n_in"):
        Decoder(0, {"rna": 5})
    with pytest.raises(ValueError, match="n_features"):
        Decoder(3, {})
