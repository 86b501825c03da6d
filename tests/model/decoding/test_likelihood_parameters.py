"""Parameters of likelihoods, library sizes and correlations of features."""

import numpy as np
import pandas as pd
import pytest
import scvi
import torch
from scipy.stats import spearmanr
from tests.model.fitting import fitted
from tests.toy import toy_mudata


@pytest.fixture(scope="module")
def model():
    scvi.settings.seed = 0
    return fitted(toy_mudata(names=("rna", "prot"), rate=4), batch_key="batch")


class TestParameters:
    def test_of_a_negative_binomial(self, model):
        found = model.get_likelihood_parameters(modality="rna")
        expected = model.get_normalized_expression(
            modality="rna", library_size="latent", return_numpy=True
        )
        np.testing.assert_allclose(found["mean"], expected, rtol=1e-5)
        r = model.module.likelihood("rna").dispersion.detach()
        np.testing.assert_allclose(found["dispersions"], np.broadcast_to(r, (40, 12)))
        assert set(found) == {"mean", "dispersions"}

    def test_of_both_components_of_proteins(self, model):
        found = model.get_likelihood_parameters(modality="prot")
        mixing = found["mixing"]
        mean = mixing * found["mean_background"] + (1 - mixing) * found["mean_foreground"]
        np.testing.assert_allclose(mean, found["mean"], rtol=1e-3)
        assert (found["mean_background"] <= found["mean_foreground"]).all()

    def test_draws(self, model):
        given = {"indices": [1, 2], "modality": "rna"}
        draws = model.get_likelihood_parameters(n_samples=3, **given)
        mean = model.get_likelihood_parameters(n_samples=3, give_mean=True, **given)
        one = model.get_likelihood_parameters(n_samples=1, **given)
        for name in ("mean", "dispersions"):
            assert draws[name].shape == (3, 2, 12) and one[name].shape == (2, 12)
            np.testing.assert_allclose(mean[name], draws[name].mean(0), rtol=1e-6)
        assert draws["mean"].std(0).min() > 0


def test_library_sizes(model):
    totals = np.asarray(model.adata["prot"].X.sum(1))
    found = model.get_latent_library_size(modality="prot", indices=[3, 1])
    np.testing.assert_array_equal(found, totals[[3, 1]])


@pytest.mark.parametrize("name", ["nb", "protein", "poisson", "bernoulli"])
def test_rates_have_the_decoded_mean(name):
    from multiDGD.nn import get_likelihood

    likelihood = get_likelihood(name)(3).requires_grad_(False)
    mean = torch.tensor([[0.5, 5.0, 40.0]]).expand(20_000, -1)
    rates = likelihood.sample_rate(mean, torch.Generator().manual_seed(0))
    torch.testing.assert_close(rates.mean(0), mean[0], rtol=0.05, atol=0)


class TestCorrelations:
    def test_of_several_modalities(self, model):
        found = model.get_feature_correlation_matrix(modality=["rna", "prot"], n_samples=4)
        names = [f"rna{j}" for j in range(12)] + [f"prot{j}" for j in range(15)]
        assert list(found.index) == list(found.columns) == names
        np.testing.assert_allclose(np.diag(found), 1, atol=1e-5)
        np.testing.assert_allclose(found, found.T, atol=1e-6)
        assert found.abs().to_numpy().max() <= 1
        again = model.get_feature_correlation_matrix(modality=["rna", "prot"], n_samples=4)
        pd.testing.assert_frame_equal(found, again)

    def test_types(self, model, monkeypatch):
        rates = np.random.default_rng(0).poisson(3, (160, 12)).astype(np.float32)
        monkeypatch.setattr(type(model), "_rates", lambda *args: rates)
        given = {"n_samples": 4, "modality": "rna"}
        spearman = model.get_feature_correlation_matrix(**given)
        np.testing.assert_allclose(spearman, spearmanr(rates)[0], atol=1e-5)
        pearson = model.get_feature_correlation_matrix(correlation_type="pearson", **given)
        np.testing.assert_allclose(pearson, np.corrcoef(rates.T), atol=1e-5)
        logs = model.get_feature_correlation_matrix(
            correlation_type="pearson", log_transform=True, **given
        )
        np.testing.assert_allclose(logs, np.corrcoef(np.log1p(rates).T), atol=1e-5)

    def test_batches_are_averaged(self, model):
        one, two, both = (
            model.get_feature_correlation_matrix(transform_batch=b, n_samples=2)
            for b in ("b0", "b1", ["b0", "b1"])
        )
        pd.testing.assert_frame_equal((one + two) / 2, both)

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"correlation_type": "kendall"}, "`correlation_type` must be one of 'spearman'"),
            ({"n_samples": 0}, "`n_samples`"),
            ({"indices": [3]}, "at least two cells, found 1"),
            ({"modality": ["rna", "prot"], "gene_list": ["rna1"]}, "`gene_list` needs a single"),
            ({"modality": ["rna", "rna"]}, "`modality` must name .* each once"),
        ],
    )
    def test_errors(self, model, arguments, message):
        with pytest.raises(ValueError, match=message):
            model.get_feature_correlation_matrix(**arguments)
