"""Densities of samples against distributions of torch."""

import pytest
import torch
from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal, StudentT

from multiDGD.stats import SampleDensities


@pytest.fixture
def cells():
    """Means, variances and samples of 60 cells in five dimensions, and points."""
    generator = torch.Generator().manual_seed(0)

    def normal(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    mean, variance = 3 + normal(60, 5), normal(60, 5).exp()
    sample = torch.arange(60) % 3
    return mean, variance, sample, 3 + normal(20, 5)


def mixture(mean, scale, dof=None):
    cells = Normal(mean, scale) if dof is None else StudentT(dof, mean, scale)
    return MixtureSameFamily(
        Categorical(logits=torch.zeros(len(mean), dtype=mean.dtype)), Independent(cells, 1)
    )


@pytest.mark.parametrize("dof", [None, 3.0])
def test_log_density_is_that_of_torch(cells, dof):
    mean, variance, sample, z = cells
    found = SampleDensities(mean, variance, sample, 3).log_density(z, dof)
    for s in range(3):
        at = sample == s
        torch.testing.assert_close(
            found[:, s], mixture(mean[at], variance[at].sqrt(), dof).log_prob(z)
        )


def test_distant_and_certain_cells_are_exact():
    mean = torch.tensor([[1000.0], [1001.0]], dtype=torch.float64)
    variance = torch.full((2, 1), 1e-6, dtype=torch.float64)
    found = SampleDensities(mean, variance, torch.tensor([0, 1]), 2).log_density(mean)
    torch.testing.assert_close(found[0, 0], Normal(0.0, 1e-3).log_prob(torch.tensor(0.0)).double())


def test_smoothed_density_is_a_mixture_with_a_common_bandwidth(cells):
    mean, _, sample, _ = cells
    variance = torch.full_like(mean, 1e-4)
    densities = SampleDensities(mean, variance, sample, 3)
    z, n_neighbors = mean[:1], 15
    found = densities.smoothed(z, torch.tensor([0]), n_neighbors)[0]
    # The bandwidth is the only unknown: the best one explains all samples.
    errors = []
    for bandwidth in torch.logspace(-1, 1, 2000, dtype=torch.float64):
        scale = (variance + bandwidth**2).sqrt()
        others = torch.arange(60) > 0
        log = Independent(Normal(mean, scale), 1).log_prob(z)[others]
        effective = log.exp().sum() ** 2 / log.exp().square().sum()
        by_sample = torch.stack([log[sample[others] == s].exp().mean() for s in range(3)])
        counts = torch.bincount(sample[others]).double()
        expected = by_sample + 0.5 * by_sample.mean() / (effective * counts / 60)
        errors.append((float((expected.log() - found).abs().max()), float(effective)))
    error, effective = min(errors)
    assert error < 0.02
    assert abs(effective - n_neighbors) < 2


def test_own_cell_has_no_part_in_its_density(cells):
    mean, variance, sample, _ = cells
    moved = mean.clone()
    moved[0] += 5
    z = mean[:1]

    def smoothed(means, own):
        return SampleDensities(means, variance, sample, 3).smoothed(z, torch.tensor([own]), 10)

    torch.testing.assert_close(smoothed(mean, 0), smoothed(moved, 0))
    assert (smoothed(mean, -1) - smoothed(moved, -1)).abs().max() > 0.1


def test_wide_posteriors_are_not_widened(cells):
    mean, _, sample, z = cells
    variance = torch.full_like(mean, 100.0)
    densities = SampleDensities(mean, variance, sample, 3)
    found = densities.smoothed(z, torch.full((20,), -1), 5)
    plain = densities.log_density(z)
    # 60 cells are in the density: half a cell of 20 is added to each sample.
    torch.testing.assert_close(
        found, plain + torch.log1p(torch.tensor(0.5 / 20)), rtol=0, atol=1e-2
    )


def test_distant_points_and_identical_cells_are_finite(cells):
    mean, variance, sample, z = cells
    far = SampleDensities(mean, variance, sample, 3).smoothed(z + 1e4, torch.full((20,), -1), 10)
    assert far.isfinite().all()
    same = SampleDensities(torch.zeros_like(mean), variance, sample, 3)
    assert same.smoothed(torch.zeros_like(z), torch.arange(20), 30).isfinite().all()


def test_a_sample_of_one_cell_has_a_finite_density():
    mean = torch.randn(9, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    sample = torch.tensor([0] + [1] * 4 + [2] * 4)
    densities = SampleDensities(mean, torch.ones_like(mean), sample, 3)
    assert densities.smoothed(mean, torch.arange(9), 3).isfinite().all()
