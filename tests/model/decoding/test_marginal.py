"""Marginal log-likelihoods of the cells of a model, on toys and real cells."""

import mudata as md
import numpy as np
import pytest
import scvi
import torch
from tests.model.fitting import fitted, renamed_mudata
from tests.toy import toy_adata, toy_mudata

from multiDGD import MultiDGD

METHODS = ["get_marginal_ll", "get_elbo"]


@pytest.fixture(scope="module")
def model():
    scvi.settings.seed = 0
    return fitted(toy_mudata(60), train={"max_epochs": 10}, batch_key="batch", labels_key="label")


@pytest.mark.parametrize("method", METHODS)
class TestBoth:
    def test_shape_and_mean(self, model, method):
        each = getattr(model, method)(indices=[5, 2, 9], n_mc_samples=20, return_mean=False)
        assert isinstance(each, torch.Tensor) and each.shape == (3,)
        mean = getattr(model, method)(indices=[5, 2, 9], n_mc_samples=20)
        assert isinstance(mean, float) and mean == pytest.approx(float(each.mean()))

    def test_order_minibatches_and_subsets_do_not_matter(self, model, method):
        def values(indices, batch_size=None):
            return getattr(model, method)(
                indices=indices, batch_size=batch_size, n_mc_samples=50, return_mean=False
            )

        cells = np.arange(20)
        whole = values(cells)
        options = {"rtol": 0, "atol": 5e-3}
        torch.testing.assert_close(values(cells[::-1]).flip(0), whole, **options)
        torch.testing.assert_close(values(cells, batch_size=3), whole, **options)
        torch.testing.assert_close(values([7]), whole[7:8], **options)

    def test_seeds_and_global_generators(self, model, method):
        states = torch.get_rng_state(), np.random.get_state()[1].copy()
        one, other = (getattr(model, method)(n_mc_samples=20) for _ in range(2))
        assert one == other
        assert torch.equal(torch.get_rng_state(), states[0])
        np.testing.assert_array_equal(np.random.get_state()[1], states[1])
        scvi.settings.seed = 1
        assert getattr(model, method)(n_mc_samples=20) != one

    def test_training_cells_and_labels_have_no_special_place(self, model, method):
        """New cells with the same counts, without labels, have the same likelihood."""
        new = renamed_mudata(model.adata, "new")
        new.obs["label"] = "unknown"
        values = [
            getattr(model, method)(cells, range(20), n_mc_samples=500, return_mean=False)
            for cells in (None, new)
        ]
        # Optima of the inference agree only up to its tolerance.
        difference = values[0] - values[1]
        assert difference.abs().median() < 0.05

    def test_missing_modalities_and_features_contribute_nothing(self, model, method):
        query = renamed_mudata(model.adata, "new")
        alone = md.MuData({"rna": query["rna"].copy()})
        alone.obs["batch"] = query.obs["batch"].to_numpy()
        half = renamed_mudata(query, "")
        x = half["atac"].X.tolil()
        x[:30] = 0
        half["atac"].X = x.tocsr()
        alone, half, both = (
            getattr(model, method)(cells, n_mc_samples=50, return_mean=False)
            for cells in (alone, half, query)
        )
        # Missing modalities and missing counts differ in the draws only, by their fingerprints.
        torch.testing.assert_close(half[:30], alone[:30], rtol=0, atol=0.5)
        torch.testing.assert_close(half[30:], both[30:])
        assert (both < alone - 5).all()

    def test_no_cells(self, model, method):
        assert getattr(model, method)(indices=[], return_mean=False).shape == (0,)

    def test_representations_are_unchanged(self, model, method):
        before = {name: value.clone() for name, value in model.module.state_dict().items()}
        trainable = [p.requires_grad for p in model.module.parameters()]
        getattr(model, method)(n_mc_samples=2)
        assert all(torch.equal(x, before[name]) for name, x in model.module.state_dict().items())
        assert [p.requires_grad for p in model.module.parameters()] == trainable

    def test_within_inference_mode(self, model, method):
        with torch.inference_mode():
            found = getattr(model, method)(n_mc_samples=20)
        assert found == pytest.approx(getattr(model, method)(n_mc_samples=20), abs=1e-3)

    @pytest.mark.parametrize("n", [0, 1.5])
    def test_number_of_draws(self, model, method, n):
        with pytest.raises(ValueError, match=f"`n_mc_samples`.*{n}"):
            getattr(model, method)(n_mc_samples=n)

    def test_without_data(self, model, method, tmp_path):
        model.save(tmp_path / "saved")
        loaded = MultiDGD.load(tmp_path / "saved", adata=False)
        with pytest.raises(ValueError, match="`adata` is required"):
            getattr(loaded, method)()
        found = getattr(loaded, method)(renamed_mudata(model.adata, "new"), n_mc_samples=5)
        assert np.isfinite(found)

    def test_before_training(self, method):
        adata = toy_adata()
        MultiDGD.setup_anndata(adata)
        with pytest.raises(RuntimeError, match="not trained"):
            getattr(MultiDGD(adata, n_latent=3), method)()


def test_elbo_is_a_lower_bound(model):
    elbo = model.get_elbo(n_mc_samples=500, return_mean=False)
    marginal = model.get_marginal_ll(n_mc_samples=1000, return_mean=False)
    assert (elbo < marginal + 0.1).all()
    assert (elbo > marginal - 3).all()


def test_warning_if_the_approximation_is_poor(model, monkeypatch):
    monkeypatch.setattr("multiDGD.model.decoding._marginal._LOW_SHARE", 0.99)
    with pytest.warns(UserWarning, match="of 100 draws.*Increase `n_mc_samples`"):
        model.get_marginal_ll(indices=range(5), n_mc_samples=100)


def test_held_out_real_cells_are_more_probable_after_training(bmmc_cite):
    order = np.random.default_rng(0).permutation(bmmc_cite.n_obs)
    train, test = bmmc_cite[order[:300]].copy(), bmmc_cite[order[300:330]].copy()
    rates = dict.fromkeys(("lr", "lr_representation", "lr_mixture", "lr_likelihood"), 0.0)
    found = {}
    for name, options in (
        ("initial", {"max_epochs": 1, "plan_kwargs": rates}),
        ("trained", {"max_epochs": 15}),
    ):
        scvi.settings.seed = 0
        model = fitted(
            train.copy(),
            model={"n_latent": 10},
            train={"batch_size": 64, **options},
            batch_key="batch",
        )
        found[name] = {
            "marginal": model.get_marginal_ll(test, n_mc_samples=300, return_mean=False),
            "elbo": model.get_elbo(test, n_mc_samples=50, return_mean=False),
        }
    for values in found.values():
        assert (values["elbo"] < values["marginal"] + 2).all()
        assert values["elbo"].mean() < values["marginal"].mean()
    gain = found["trained"]["marginal"] - found["initial"]["marginal"]
    assert gain.mean() > 100 and (gain > 0).float().mean() > 0.9
