import pytest
import torch
from torch import nn

from multiDGD.train._divergence import check_losses, check_parameters

RATES = {"lr": 1.0, "lr_mixture": 0.01}


def test_finite_losses_and_parameters():
    check_losses({}, 0, RATES)
    check_losses({"reconstruction_loss_rna": [torch.ones(3)]}, 0, RATES)
    check_parameters(nn.Linear(2, 3), 0, RATES)


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_first_loss_that_is_not_finite(value):
    good, bad = torch.ones(3), torch.tensor([1.0, value, 1.0])
    terms = {
        "reconstruction_loss_rna": [good, good, bad],
        "reconstruction_loss_prot": [good, bad, bad],
        "mixture_loss": [good, good, bad],
    }
    with pytest.raises(RuntimeError, match=r"epoch 4.*modality 'prot'.*minibatch 1.*`lr` 1,"):
        check_losses(terms, 4, RATES)
    del terms["reconstruction_loss_prot"], terms["reconstruction_loss_rna"]
    with pytest.raises(RuntimeError, match=r"`mixture_loss` is (nan|inf) in minibatch 2"):
        check_losses(terms, 4, RATES)


def test_parameters_that_are_not_finite():
    layer = nn.Linear(2, 3)
    layer.bias.data[1] = torch.nan
    with pytest.raises(RuntimeError, match=r"epoch 2: 1 values of the parameter `bias`"):
        check_parameters(layer, 2, RATES)
