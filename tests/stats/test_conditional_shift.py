"""Most probable shifts, against closed forms and at kinks."""

import torch

from multiDGD.stats import conditional_shift


def test_linear_functions_have_the_closed_form():
    generator = torch.Generator().manual_seed(0)
    slopes = torch.randn(2, 4, generator=generator, dtype=torch.float64)
    root = torch.randn(4, 4, generator=generator, dtype=torch.float64)
    covariance = root @ root.T + torch.eye(4)
    start = torch.randn(3, 4, generator=generator, dtype=torch.float64)
    change = torch.tensor([[0.5, -1.0], [0.0, 0.2], [3.0, 0.0]]).double()

    def functions(points, z):
        return z @ slopes.T, slopes.expand(len(z), 2, 4).clone()

    found = conditional_shift(functions, start, change, covariance)
    gain = covariance @ slopes.T
    weights = torch.linalg.inv(slopes @ gain + 0.05**2 * torch.eye(2))
    torch.testing.assert_close(found - start, change @ weights.T @ gain.T)
    same = conditional_shift(functions, start, change[0], covariance)
    torch.testing.assert_close(same[0], found[0])


def test_kinks_are_passed():
    """The function decreases along the first dimension beyond a kink, and rises along the other."""

    def functions(points, z):
        x, y = z.unbind(1)
        eta = torch.where(x < 0.1, x, 0.2 - x) + 0.2 * y
        slopes = torch.stack([torch.where(x < 0.1, 1.0, -1.0), torch.full_like(y, 0.2)], dim=1)
        return eta[:, None], slopes[:, None]

    start = torch.zeros(1, 2)
    found = conditional_shift(functions, start, torch.tensor([0.5]), torch.eye(2))
    # The optimum is at the kink: 0.1 from x, the rest from y.
    eta, _ = functions(None, found)
    assert abs(float(found[0, 0]) - 0.1) < 0.03
    assert abs(float(eta) - 0.5) < 0.1


def test_no_points():
    def functions(points, z):
        return z[:, :1], torch.ones(len(z), 1, 1)

    found = conditional_shift(functions, torch.zeros(0, 1), torch.tensor([1.0]), torch.eye(1))
    assert found.shape == (0, 1)
