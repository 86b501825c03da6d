import pytest
import torch

from multiDGD.module import MultiDGDModule
from multiDGD.train import RowAdam


@pytest.mark.parametrize("betas", [(0.5, 0.7), (0.9, 0.999)])
def test_row_updates_equal_the_published_update(betas):
    """The published update accumulates gradients over an epoch, then updates the whole table."""
    torch.manual_seed(0)
    n, d = 23, 4
    target = torch.randn(n, d, dtype=torch.float64)
    weight = torch.rand(n, d, dtype=torch.float64)
    start = torch.randn(n, d, dtype=torch.float64)

    published = torch.nn.Parameter(start.clone())
    adam = torch.optim.Adam([published], lr=0.1, betas=betas)
    table = start.clone()
    rows = RowAdam(table, lr=0.1, betas=betas)

    def loss(z, cells, step):
        # As in training, the loss function changes with every minibatch.
        return (weight[cells] * (z - target[cells] * (1 + 0.1 * step)).pow(4)).sum()

    step = 0
    for _ in range(5):
        adam.zero_grad()
        for cells in torch.randperm(n).split(5):
            leaf = table[cells].requires_grad_()
            (gradient,) = torch.autograd.grad(loss(leaf, cells, step), leaf)
            rows.step(cells, gradient)
            loss(published[cells], cells, step).backward()
            step += 1
        adam.step()
        torch.testing.assert_close(table, published.data)


def test_other_rows_do_not_change():
    table = torch.randn(6, 3)
    before = table.clone()
    optimizer = RowAdam(table, lr=0.1)
    optimizer.step(torch.tensor([4, 1]), torch.ones(2, 3))
    assert optimizer.visits.tolist() == [0, 1, 0, 0, 1, 0]
    changed = (table != before).all(1)
    assert changed.tolist() == [False, True, False, False, True, False]


def test_schedule_factor_scales_the_step():
    one, half = torch.zeros(1, 2), torch.zeros(1, 2)
    RowAdam(one, lr=0.1).step(torch.tensor([0]), torch.ones(1, 2))
    RowAdam(half, lr=0.1).step(torch.tensor([0]), torch.ones(1, 2), lr_factor=0.5)
    torch.testing.assert_close(half, one / 2)


def test_low_precision_gradients():
    table = torch.zeros(2, 2)
    RowAdam(table, lr=0.1).step(torch.tensor([0]), torch.ones(1, 2, dtype=torch.bfloat16))
    assert table.dtype == torch.float32
    assert (table[0] < 0).all()


def test_table_can_be_a_parameter_of_a_module():
    module = MultiDGDModule(4, {"rna": 3}, n_latent=2, n_components=1)
    optimizer = RowAdam(module.representations.z, lr=0.1)
    optimizer.step(torch.tensor([1]), torch.ones(1, 2))
    assert (module.representations.z[1] != 0).all()


def test_defaults_are_those_of_adam():
    """The first steps reveal epsilon, later ones the decay rates."""
    torch.manual_seed(0)
    gradients = torch.randn(30, 4, 3) * torch.logspace(-8, 0, 3)
    table, parameter = torch.zeros(4, 3), torch.zeros(4, 3, requires_grad=True)
    rows, adam = RowAdam(table, lr=0.1), torch.optim.Adam([parameter], lr=0.1)
    for gradient in gradients:
        rows.step(torch.arange(4), gradient)
        parameter.grad = gradient
        adam.step()
        torch.testing.assert_close(table, parameter.detach(), rtol=1e-4, atol=1e-6)
