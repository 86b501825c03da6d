import numpy as np
import pytest
import torch
from tests.panels import two_panels

from multiDGD import MultiDGD
from multiDGD.module import FeaturePanels, FeatureSubset, MultiDGDModule, take_cells

N_FEATURES = {"rna": 60, "prot": 10}


@pytest.fixture
def registered():
    mdata, _ = two_panels(n_cells=40)
    MultiDGD.setup_mudata(mdata, panel_key="batch", batch_key="batch")
    return MultiDGD._get_most_recent_anndata_manager(mdata)


def new_module(likelihood, n_cells=40):
    torch.manual_seed(0)
    module = MultiDGDModule(
        n_cells, N_FEATURES, covariates={"batch": 2}, likelihoods={"prot": likelihood}
    )
    torch.nn.init.normal_(module.representations.z)
    return module


@pytest.mark.parametrize("likelihood", ["nb", "poisson", "protein"])
def test_gradients_are_the_sums_over_panels(registered, likelihood):
    observed, codes = registered.panels
    assert len(observed) == 2
    batch = next(registered.batches())

    def gradients(objective):
        module = new_module(likelihood)
        w = module.representations.z.detach().clone().requires_grad_()
        output = objective(module, w)
        output.backward()
        return output.detach(), w.grad, {n: p.grad for n, p in module.named_parameters()}

    def joint(module, w):
        return (
            FeaturePanels(module, observed, codes, differentiable=True)
            .objective(batch, w, 40)
            .loss
        )

    def separate(module, w):
        # The logits of one panel's features, by indexing and not by a subset of the module.
        total = torch.zeros(())
        for panel, features in enumerate(observed):
            cells = torch.from_numpy(np.flatnonzero(codes == panel))
            part = take_cells(batch, cells)
            logits = module.generative(w[cells], part["continuous"])["logits"]
            for m, at in features.items():
                dense = part["counts"][m].to_dense()
                likelihood = FeatureSubset(
                    module, features, differentiable=True
                ).module.likelihood(m)
                total = total - likelihood.log_prob(logits[m][:, at], dense[:, at]).sum()
        latent = module.latent_log_prob(w, batch["labels"], batch["covariates"])
        latent["mixture"] = module.mixture_weights(batch["counts"]) * latent["mixture"]
        return total - sum(x.sum() for x in latent.values()) - module.prior_log_prob()

    loss, by_w, by_parameter = gradients(joint)
    loss2, by_w2, by_parameter2 = gradients(separate)
    torch.testing.assert_close(loss, loss2, rtol=1e-5, atol=1e-3)
    torch.testing.assert_close(by_w, by_w2, rtol=1e-3, atol=1e-3)
    for name, gradient in by_parameter.items():
        if gradient is None:
            assert by_parameter2[name] is None
        else:
            torch.testing.assert_close(gradient, by_parameter2[name], rtol=1e-3, atol=2e-3)
    # Each panel contributes to the weights of its own proteins only.
    weight = by_parameter["decoder.heads.1.output.weight"]
    only_b1 = gradients(
        lambda module, w: (
            FeaturePanels(module, observed, codes, True)
            .objective(take_cells(batch, torch.arange(0, 40, 2)), w[::2])
            .loss
        )
    )[2]["decoder.heads.1.output.weight"]
    assert weight[3].abs().sum() > 0
    assert not only_b1[3].any()


def test_terms_of_mixed_minibatches(registered):
    module = new_module("protein")
    batch, w = next(registered.batches()), module.representations.z.detach()
    panels = FeaturePanels(module, *registered.panels)
    output = panels.objective(batch, w)
    assert output.n_obs_minibatch == 40
    assert output.reconstruction_loss["reconstruction_loss_prot"].shape == (40,)
    total = sum(x.sum() for x in output.reconstruction_loss.values())
    total = total + sum(x.sum() for x in output.kl_local.values())
    torch.testing.assert_close(output.loss, total)


def test_results_are_in_the_order_of_the_cells(registered):
    panels = FeaturePanels(new_module("nb"), *registered.panels)
    cells = np.array([7, 2, 4, 1])
    batch = next(registered.batches(cells))
    row = torch.arange(4.0)[:, None]

    def function(module, part, rows):
        # Counts have been restricted to the features of the module.
        assert part["counts"]["prot"].n_features == module.likelihood("prot").n_features
        return torch.cat([rows, part["cells"][:, None]], dim=1)

    found = panels.map(function, batch, row)
    np.testing.assert_array_equal(found, np.c_[np.arange(4), cells])
    assert [len(at) for _, at in panels.groups(cells)] == [2, 2]
    assert panels.measured(cells, "prot").sum(1).tolist() == [10, 8, 8, 10]


def test_complete_modalities_are_shared(registered):
    module = new_module("nb")
    ((subset, _),) = FeaturePanels(module, *registered.panels).groups(np.array([0]))
    assert subset.module.decoder.head("rna") is module.decoder.head("rna")
    assert subset.module.decoder.head("prot").output.weight.shape[0] == 8
    assert subset.incomplete == ["prot"]


def test_panel_without_a_modality():
    mdata, _ = two_panels(n_cells=40)
    MultiDGD.setup_mudata(mdata, batch_key="batch")
    manager = MultiDGD._get_most_recent_anndata_manager(mdata)
    module = new_module("nb")
    observed = [{"rna": np.arange(60)}, {"rna": np.arange(60), "prot": np.arange(10)}]
    panels = FeaturePanels(module, observed, np.arange(40) % 2)
    batch = next(manager.batches())
    output = panels.objective(batch, module.representations.z.detach())
    protein = output.reconstruction_loss["reconstruction_loss_prot"]
    assert protein.shape == (40,)
    assert int((protein == 0).sum()) == 20
