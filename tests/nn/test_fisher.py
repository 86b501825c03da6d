import pytest
import torch

from multiDGD.nn import Bernoulli, Counts, NegativeBinomial, Poisson, Protein


@pytest.mark.parametrize("kind", [NegativeBinomial, Poisson, Bernoulli])
def test_fisher_is_the_expected_squared_score(kind):
    mean = torch.tensor([1e-3, 0.3, 2.0, 15.0], dtype=torch.float64)
    likelihood = kind(len(mean)).double()
    for parameter in likelihood.parameters():
        parameter.data.add_(torch.linspace(-1, 1, len(mean)))
    n = 2 if kind is Bernoulli else 400
    x = torch.arange(n, dtype=torch.float64)[:, None].expand(n, len(mean))
    log_mean = mean.log().expand_as(x).clone().requires_grad_()
    counts = Counts.from_dense(x)
    ratio = likelihood.log_ratio_to_zero(
        counts.values, log_mean[counts.rows, counts.columns], counts.columns
    )
    log_prob = likelihood.log_prob_zero(log_mean.exp()).index_put(
        (counts.rows, counts.columns), ratio, accumulate=True
    )
    (score,) = torch.autograd.grad(log_prob.sum(), log_mean)
    p = log_prob.detach().exp()
    torch.testing.assert_close(p.sum(0), torch.ones_like(mean))
    found = likelihood.fisher(mean[None])[0].detach()
    torch.testing.assert_close((p * score.square()).sum(0), found, rtol=1e-6, atol=0)


def test_fisher_at_extreme_means():
    mean = torch.tensor([[0.0, 1e-30, 1e6]])
    for kind in (NegativeBinomial, Poisson, Bernoulli):
        found = kind(3).fisher(mean)
        assert found.isfinite().all()
        assert found[0, 0] == 0
        torch.testing.assert_close(found[0, 1].detach(), mean[0, 1])


def test_fisher_of_proteins_at_extreme_means():
    """Mean 0 belongs to a missing modality; the improbable foreground's mean overflows there."""
    protein = Protein(4)
    with torch.no_grad():
        protein.logit_sharpness.fill_(3.0)
        mean = torch.tensor([[0.0, 1e-30, 1.0, 1e6]])
        assert protein._components_at(mean.clamp(min=1e-38).log()).log_mean.exp().isinf().any()
        found = protein.fisher(mean)
        rate = protein.posterior_mean(mean, torch.zeros(1, 4))
    assert found.isfinite().all() and rate.isfinite().all()
    assert found[0, 0] < 1e-30 and rate[0, 0] < 1e-30
