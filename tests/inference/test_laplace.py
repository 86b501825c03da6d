"""Posteriors of representations and of the output layer, compared to their definitions."""

import math

import pytest
import torch
from scipy import stats

from multiDGD.inference import (
    Laplace,
    OutputPosterior,
    component_log_evidence,
    hidden_jacobians,
    laplace,
    log_mean_jacobian,
    output_posteriors,
)
from multiDGD.inference import _laplace as laplace_module
from multiDGD.inference._curvature import prior_precision
from multiDGD.inference._laplace import fisher_information
from multiDGD.module import FeatureSubset, MultiDGDModule, take_cells
from multiDGD.nn import Counts

DECODERS = [
    {"n_hidden": 1, "n_hidden_modality": 1},
    {"n_hidden": 2, "n_hidden_modality": 3},
]
N = 5


def make(decoder=None, likelihood="nb", **kwargs):
    torch.manual_seed(0)
    module = MultiDGDModule(
        1,
        {"rna": 30, "adt": 10},
        n_latent=3,
        n_continuous=1,
        covariates={"batch": 3},
        likelihoods=likelihood,
        decoder_kwargs={"n_units": 16, **(decoder or DECODERS[0])},
        **{"n_components": 4, **kwargs},
    ).double()
    module.mixture.initialize(torch.randn_like(module.mixture.mean))
    for mixture in (module.mixture, *module.mixtures_of_covariates):
        mixture.neglogvar.data.normal_()
        mixture.mean.data.normal_()
    for likelihood in module.likelihoods:
        for parameter in likelihood.parameters():
            parameter.data.normal_()
    return module


def batch_of(module, libraries=(50.0, 400.0, 1000.0, 3.0, 7.0), counts=None, **kwargs):
    n = len(libraries)
    library = torch.as_tensor(libraries, dtype=torch.float64)
    generator = torch.Generator().manual_seed(1)
    dense = counts or {
        m: torch.randint(
            4, (n, module.likelihood(m).n_features), generator=generator
        ).double() * (library > 0)[:, None]
        for m in module.modalities
    }  # fmt: skip
    return {
        "cells": torch.arange(n),
        "counts": {m: Counts.from_dense(x, library) for m, x in dense.items()},
        "labels": torch.full((n,), -1),
        "covariates": torch.arange(n)[:, None] % 3,
        "continuous": torch.linspace(-1, 1, n).double()[:, None],
        **kwargs,
    }


def rows_of(module, n=N):
    generator = torch.Generator().manual_seed(2)
    return torch.randn(n, module.n_representation, generator=generator, dtype=torch.float64)


def means_of(module, batch, w, modality):
    logits = module.generative(w, batch["continuous"], [modality])["logits"][modality]
    return module.likelihood(modality).mean(logits, batch["counts"][modality].library)


class TestInformation:
    @pytest.mark.parametrize("decoder", DECODERS)
    @pytest.mark.parametrize("likelihood", ["nb", "poisson", "bernoulli"])
    def test_finite_differences_of_the_log_means(self, decoder, likelihood):
        module = make(decoder, likelihood)
        batch, w = batch_of(module), rows_of(module)
        step = 1e-6
        with torch.no_grad():
            expected = 0
            for m in module.modalities:
                columns = []
                for i in range(w.shape[1]):
                    moved = [w.clone(), w.clone()]
                    moved[0][:, i] += step
                    moved[1][:, i] -= step
                    up, down = (means_of(module, batch, x, m).log() for x in moved)
                    columns.append((up - down) / (2 * step))
                jacobian = torch.stack(columns, dim=2)
                d = module.likelihood(m).fisher(means_of(module, batch, w, m))
                expected = expected + jacobian.mT @ (d[..., None] * jacobian)
        found = fisher_information(module, batch, w)
        torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6)

    @pytest.mark.parametrize("decoder", DECODERS)
    def test_hessian_of_poisson_counts_equal_to_their_means(self, decoder):
        module = make(decoder, "poisson")
        w = rows_of(module)
        batch = batch_of(module)
        means = {m: means_of(module, batch, w, m).detach() for m in module.modalities}
        batch = batch_of(module, counts=means)
        found = fisher_information(module, batch, w)
        for i in range(N):
            one = take_cells(batch, torch.tensor([i]))

            def loss(row, one=one):
                logits = module.generative(row[None], one["continuous"])["logits"]
                terms = [
                    means_of(module, one, row[None], m).sum()
                    - (one["counts"][m].to_dense() * logits[m].log_softmax(-1)).sum()
                    for m in module.modalities
                ]
                return torch.stack(terms).sum()

            expected = torch.autograd.functional.hessian(loss, w[i])
            torch.testing.assert_close(found[i], expected, rtol=1e-8, atol=1e-8)

    def test_expected_square_of_the_score(self):
        module = make()
        batch, w = batch_of(module, [80.0] * 3), rows_of(module, 1).expand(3, -1).clone()
        batch["continuous"] = torch.zeros(3, 1).double()
        n = 20_000
        many = take_cells(batch, torch.zeros(n, dtype=torch.int64))
        leaf = w[:1].expand(n, -1).clone().requires_grad_()
        score = 0
        for m in module.modalities:
            likelihood = module.likelihood(m)
            logits = module.generative(leaf, many["continuous"], [m])["logits"][m]
            mean = likelihood.mean(logits, many["counts"][m].library).detach()
            drawn = Counts.from_dense(likelihood.sample(mean), many["counts"][m].library)
            score = score + likelihood.log_prob(logits, drawn).sum()
        (score,) = torch.autograd.grad(score, leaf)
        found = fisher_information(module, batch, w)[0]
        expected = score.T @ score / n
        assert (found - expected).abs().max() < 0.05 * found.diagonal().max()

    def test_results_depend_neither_on_minibatch_nor_order_nor_blocks(self, monkeypatch):
        module = make()
        batch, w = batch_of(module), rows_of(module)
        whole = laplace(module, batch, w)
        order = torch.tensor([3, 1, 4])
        part = laplace(module, take_cells(batch, order), w[order])
        torch.testing.assert_close(part.factor, whole.factor[order])
        monkeypatch.setattr(laplace_module, "BLOCK_ELEMENTS", 7)
        monkeypatch.setattr(laplace_module, "_BLOCK_CELLS", 2)
        torch.testing.assert_close(laplace(module, batch, w).factor, whole.factor)

    def test_missing_modalities_do_not_contribute(self):
        module = make()
        w = rows_of(module)
        full, partial = batch_of(module), batch_of(module)
        partial["counts"]["adt"] = Counts.from_dense(torch.zeros(N, 10).double())
        alone = FeatureSubset(module, {"rna": torch.arange(30).numpy()})
        found = fisher_information(module, partial, w)
        torch.testing.assert_close(found, fisher_information(alone.module, alone.batch(full), w))
        gain = fisher_information(module, full, w) - found
        assert (torch.linalg.eigvalsh(gain) > -1e-8).all()
        empty = batch_of(module, [0.0] * N)
        prior = prior_precision(module, empty, w)
        posterior = laplace(module, empty, w)
        torch.testing.assert_close(posterior.covariance, torch.diag_embed(1 / prior))

    def test_no_cells(self):
        module = make()
        found = laplace(module, batch_of(module, []), rows_of(module, 0))
        assert found.variance.shape == (0, 5)


class TestLaplace:
    def posterior(self):
        generator = torch.Generator().manual_seed(0)
        root = torch.randn(2, 4, 4, generator=generator, dtype=torch.float64)
        precision = root @ root.mT + torch.eye(4)
        mean = torch.randn(2, 4, generator=generator, dtype=torch.float64)
        return Laplace(mean, torch.linalg.cholesky(precision)), torch.linalg.inv(precision)

    def test_moments(self):
        found, covariance = self.posterior()
        torch.testing.assert_close(found.covariance, covariance)
        torch.testing.assert_close(found.variance, covariance.diagonal(dim1=1, dim2=2))
        direction = torch.randn(2, 4, 3, dtype=torch.float64)
        expected = (direction.mT @ covariance @ direction).diagonal(dim1=1, dim2=2)
        torch.testing.assert_close(found.variance_along(direction), expected)

    def test_draws(self):
        found, covariance = self.posterior()
        draws = found.at(torch.randn(50_000, 2, 4, dtype=torch.float64))
        assert draws.shape == (50_000, 2, 4)
        torch.testing.assert_close(draws.mean(0), found.mean, atol=0.02, rtol=0)
        for i in range(2):
            torch.testing.assert_close(draws[:, i].T.cov(), covariance[i], atol=0.02, rtol=0.05)

    def test_jacobian_of_selected_features(self):
        module = make(DECODERS[1])
        batch, w = batch_of(module), rows_of(module)
        logits = module.generative(w, batch["continuous"])["logits"]["rna"]
        hidden = hidden_jacobians(module, batch, w)["rna"]
        (_, whole), = log_mean_jacobian(module, "rna", logits, hidden)  # fmt: skip
        features = torch.tensor([4, 1])
        (_, part), = log_mean_jacobian(module, "rna", logits, hidden, features)  # fmt: skip
        torch.testing.assert_close(part, whole[:, :, features])
        share = logits.softmax(1)
        # Shares sum to 1 at every representation.
        torch.testing.assert_close(
            (whole @ share[..., None]).abs().max(), torch.zeros(()).double(), atol=1e-12, rtol=0
        )


class TestEvidence:
    @pytest.mark.parametrize("df", [math.inf, 4.0])
    @pytest.mark.parametrize("labels", [0, 2])
    def test_empty_cells_have_the_mixture_probabilities(self, labels, df):
        module = make(n_labels=labels, n_components_per_class=2 if labels else 1)
        w = rows_of(module)
        mixture = module.mixture
        found = component_log_evidence(module, batch_of(module, [0.0] * N), w, df=df)
        expected = mixture.mixture_probs().log().expand(N, -1)
        torch.testing.assert_close(found.log_softmax(1), expected, rtol=1e-6, atol=1e-6)

    def test_numerical_integral(self):
        # With one dimension in total, a grid is fine enough for the integral.
        torch.manual_seed(0)
        module = MultiDGDModule(
            1, {"rna": 20}, n_latent=1, n_components=3, likelihoods="poisson",
            decoder_kwargs={"n_units": 8, **DECODERS[0]},
        ).double()  # fmt: skip
        module.mixture.mean.data = torch.tensor([[-1.0], [0.5], [2.0]]).double()
        module.mixture.neglogvar.data = torch.tensor([[1.0], [3.0], [0.0]]).double()
        module.mixture.weight.data = torch.tensor([0.3, -0.2, 0.0]).double()
        batch = batch_of(module, [40.0], covariates=torch.zeros(1, 0, dtype=torch.int64))
        batch["continuous"] = torch.zeros(1, 0).double()
        w = torch.tensor([[0.2]]).double()
        found = component_log_evidence(module, batch, w)[0]

        leaf = w.clone().requires_grad_()
        loss = module.objective(batch, leaf).reconstruction_loss["reconstruction_loss_rna"].sum()
        (slope,) = torch.autograd.grad(loss, leaf)
        curvature = fisher_information(module, batch, w)[0, 0, 0]
        grid = torch.linspace(-15, 15, 200_001).double()
        deviation = grid - w[0, 0]
        likelihood = -slope[0, 0] * deviation - curvature * deviation.square() / 2
        joint = module.mixture.component_log_prob(grid[:, None]).detach()
        expected = (likelihood[:, None] + joint).logsumexp(0) + math.log(float(grid[1] - grid[0]))
        torch.testing.assert_close(found - found[0], expected - expected[0], rtol=1e-6, atol=1e-6)

    @staticmethod
    def two_dimensional(mean_kl):
        """Module, a cell, its representation, and gradient and curvature of its likelihood."""
        torch.manual_seed(0)
        module = MultiDGDModule(
            1, {"rna": 20}, n_latent=2, n_components=2, likelihoods="poisson",
            decoder_kwargs={"n_units": 8, **DECODERS[0]},
        ).double()  # fmt: skip
        module.mixture.mean.data = torch.tensor(mean_kl).double()
        module.mixture.neglogvar.data = torch.tensor([[1.0, 0.5], [1.5, 0.0]]).double()
        module.mixture.weight.data = torch.tensor([0.3, -0.2]).double()
        batch = batch_of(module, [40.0], covariates=torch.zeros(1, 0, dtype=torch.int64))
        batch["continuous"] = torch.zeros(1, 0).double()
        w = torch.tensor([[0.2, -0.1]]).double()
        leaf = w.clone().requires_grad_()
        loss = module.objective(batch, leaf).reconstruction_loss["reconstruction_loss_rna"].sum()
        (slope,) = torch.autograd.grad(-loss, leaf)
        return module, batch, w, slope[0], fisher_information(module, batch, w)[0]

    correlation = torch.tensor([[1.0, 0.8], [0.8, 1.0]]).double()

    def components(self, module):
        """Log probability, mean and covariance of each component, with the correlation."""
        sd_kl = module.mixture.stddev.detach()
        log_pi_k = module.mixture.mixture_probs().detach().log()
        covariance_k = [sd[:, None] * self.correlation * sd for sd in sd_kl]
        return zip(log_pi_k, module.mixture.mean.detach(), covariance_k, strict=True)

    def test_numerical_integral_with_correlated_dimensions(self):
        module, batch, w, slope, curvature = self.two_dimensional([[-1.0, 0.4], [0.6, 0.2]])
        found = component_log_evidence(module, batch, w, self.correlation)[0]
        side = torch.linspace(-7, 7, 701).double()
        grid = torch.cartesian_prod(side, side)
        deviation = grid - w
        quadratic = 0.5 * ((deviation @ curvature) * deviation).sum(1)
        likelihood = deviation @ slope - quadratic
        expected = []
        for log_pi, mean, covariance in self.components(module):
            prior = torch.distributions.MultivariateNormal(mean, covariance)
            expected.append(log_pi + (likelihood + prior.log_prob(grid)).logsumexp(0))
        expected = torch.stack(expected).detach()
        torch.testing.assert_close(found - found[0], expected - expected[0], rtol=1e-5, atol=1e-5)
        plain = component_log_evidence(module, batch, w)[0]
        assert abs((plain - plain[0] - found + found[0])[1]) > 0.01

    @pytest.mark.parametrize("df", [3.0, 16.0])
    def test_tails(self, df):
        # scipy's density at the maximum likelihood estimate of a cell far from both components.
        module, batch, w, slope, curvature = self.two_dimensional([[-9.0, 0.4], [0.6, 7.0]])
        found = component_log_evidence(module, batch, w, self.correlation, df)[0]
        covariance_w = curvature.inverse()
        estimate = w[0] + covariance_w @ slope
        expected = []
        for log_pi, mean, covariance in self.components(module):
            density = stats.multivariate_t(
                mean.numpy(), (covariance + covariance_w).numpy(), df=df
            )
            expected.append(float(log_pi) + density.logpdf(estimate.numpy()))
        assert float(found[1] - found[0]) == pytest.approx(expected[1] - expected[0], rel=1e-4)
        normal = component_log_evidence(module, batch, w, self.correlation)[0]
        assert abs(normal[1] - normal[0]) > 1.4 * abs(found[1] - found[0])

    def test_directions_without_information(self):
        # The shares of two features determine only one of four dimensions.
        torch.manual_seed(0)
        module = MultiDGDModule(
            1, {"rna": 2}, n_latent=4, n_components=2, likelihoods="poisson"
        ).double()
        batch = batch_of(module, covariates=torch.zeros(N, 0, dtype=torch.int64))
        batch["continuous"] = torch.zeros(N, 0).double()
        assert component_log_evidence(module, batch, rows_of(module), df=4.0).isfinite().all()

    def test_the_module_is_unchanged(self):
        module = make()
        component_log_evidence(module, batch_of(module), rows_of(module))
        assert all(p.requires_grad and p.grad is None for p in module.parameters())


class TestOutputPosterior:
    """Comparison to separate weighted regressions of each feature."""

    def found(self, module, batch, w, prior=3.0):
        parts = [torch.tensor([0, 1]), torch.tensor([2, 3, 4])]
        cells = [(take_cells(batch, p), w[p]) for p in parts]
        return output_posteriors(module, cells, prior)

    def test_separate_regressions(self):
        # With equal shares in all cells, the common matrix equals that of each feature.
        module = make(likelihood="poisson")
        for head in module.decoder.heads:
            head.output.weight.data.zero_()
        batch, w = batch_of(module), rows_of(module)
        layer = self.found(module, batch, w)["rna"]
        h = module.decoder.hidden(module.decoder_input(w, batch["continuous"]))["rna"].detach()
        share = module.decoder.head("rna").output(h).softmax(-1)
        d = batch["counts"]["rna"].library[:, None] * share
        one = torch.cat([torch.ones(N, 1), h], dim=1).double()
        prior = torch.diag(torch.tensor([0.0] + [3.0] * 16)).double()
        new = torch.cat([torch.ones(N, 1), 2 * h], dim=1).double()
        logit_variance = torch.stack(
            [
                (new * torch.linalg.solve(one.T @ (d[:, [j]] * one) + prior, new.T).T).sum(1)
                for j in range(30)
            ],
            dim=1,
        )
        normaliser = (share.square() * logit_variance).sum(1, keepdim=True)
        expected = logit_variance * (1 - 2 * share) + normaliser
        layer = OutputPosterior(
            *(x.double() for x in (layer.centre, layer.basis, layer.spread, layer.information)),
            layer.prior_precision,
        )
        found = layer.variance(2 * h, share)
        torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-5)

    def test_multinomial(self):
        # Without effects of hidden units, only shares are estimated: (1 - p) / (n p).
        module = make(likelihood="poisson")
        for head in module.decoder.heads:
            head.output.weight.data.zero_()
        batch, w = batch_of(module), rows_of(module)
        layer = self.found(module, batch, w)["adt"]
        share = module.decoder.head("adt").output.bias.softmax(0)[None].detach()
        total = batch["counts"]["adt"].library.sum()
        found = layer.variance(layer.centre[None], share)
        torch.testing.assert_close(
            found, (1 - share) / (total * share), rtol=1e-4, atol=0, check_dtype=False
        )

    def test_draws_have_the_variance(self):
        module = make()
        batch, w = batch_of(module), rows_of(module)
        layer = self.found(module, batch, w)["adt"]
        h = module.decoder.hidden(module.decoder_input(w, batch["continuous"]))["adt"].float()
        logits = module.decoder.head("adt").output(h.double()).float()
        generator = torch.Generator().manual_seed(0)
        drawn = []
        for _ in range(4000):
            weight, bias = layer.deviation(generator)
            drawn.append(h @ weight.T + bias)
        spread = torch.stack(drawn).var(0)
        torch.testing.assert_close(
            spread, layer.variance(h, torch.zeros_like(logits)), rtol=0.15, atol=0
        )

    def test_more_cells_carry_more_information(self):
        module = make()
        batch, w = batch_of(module), rows_of(module)
        twice = take_cells(batch, torch.arange(N).repeat(2))
        one = output_posteriors(module, [(batch, w)], 3.0)["rna"]
        two = output_posteriors(module, [(twice, w.repeat(2, 1))], 3.0)["rna"]
        torch.testing.assert_close(two.information, 2 * one.information)
        torch.testing.assert_close(two.spread, one.spread, rtol=1e-4, atol=1e-6)
        sample = output_posteriors(module, [(batch, w)], 3.0, n_cells=2 * N)["rna"]
        torch.testing.assert_close(sample.information, two.information)
