import torch

from multiDGD.inference._new_categories import _offsets
from multiDGD.module import MultiDGDModule


def test_cells_move_along_with_the_mean_of_their_own_covariate():
    module = MultiDGDModule(
        1, {"rna": 4}, n_latent=3, covariates={"batch": 2, "one": 1, "site": 3}
    )
    batch = {"covariates": torch.tensor([[0, 0, 2], [1, 0, 1]])}
    w = torch.randn(2, 7)
    found = _offsets(module, w, batch, numbers=[1], columns=[2])
    site = module.mixtures_of_covariates[1].mean
    torch.testing.assert_close(found, torch.cat([torch.zeros(2, 5), site[[2, 1]]], dim=1))
    found = _offsets(module, w, batch, numbers=[0, 1], columns=[0, 2])
    both = torch.cat([module.mixtures_of_covariates[0].mean[[0, 1]], site[[2, 1]]], dim=1)
    torch.testing.assert_close(found, torch.cat([torch.zeros(2, 3), both], dim=1))
