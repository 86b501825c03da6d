import torch

from multiDGD.inference._new_categories import _category_means
from multiDGD.module import MultiDGDModule


def test_means_of_the_given_covariates():
    module = MultiDGDModule(
        1, {"rna": 4}, n_latent=3, covariates={"batch": 2, "one": 1, "site": 3}
    )
    batch = {"covariates": torch.tensor([[0, 0, 2], [1, 0, 1]])}
    w = torch.randn(2, 7)
    found = _category_means(module, w, batch, indices=[1], columns=[2])
    site = module.mixtures_of_covariates[1].mean
    torch.testing.assert_close(found, torch.cat([torch.zeros(2, 5), site[[2, 1]]], dim=1))
    found = _category_means(module, w, batch, indices=[0, 1], columns=[0, 2])
    both = torch.cat([module.mixtures_of_covariates[0].mean[[0, 1]], site[[2, 1]]], dim=1)
    torch.testing.assert_close(found, torch.cat([torch.zeros(2, 3), both], dim=1))
