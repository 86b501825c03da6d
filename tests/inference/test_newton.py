import torch

from multiDGD._newton import minimize


def descend(objective, start, *, tolerance=1e-8, max_steps=200):
    n, d = start.shape
    inverse = torch.eye(d, dtype=start.dtype).expand(n, d, d)
    return minimize(objective, start, inverse, tolerance=tolerance, max_steps=max_steps)


def rosenbrock(rows, x):
    a, b = x.unbind(1)
    value = (1 - a) ** 2 + 100 * (b - a**2) ** 2
    gradient = torch.stack([-2 * (1 - a) - 400 * a * (b - a**2), 200 * (b - a**2)], 1)
    return value, gradient


def test_newton_step_of_a_parabola_is_the_minimum():
    torch.manual_seed(0)
    root = torch.randn(5, 4, 4, dtype=torch.float64)
    hessian = root @ root.mT + torch.eye(4)
    centre = torch.randn(5, 4, dtype=torch.float64)
    calls = []

    def parabola(rows, x):
        calls.append(rows)
        g = (hessian[rows] @ (x - centre[rows])[..., None]).squeeze(-1)
        return 0.5 * (g * (x - centre[rows])).sum(1), g

    x, value = minimize(
        parabola, torch.zeros_like(centre), hessian.inverse(), tolerance=1e-9, max_steps=9
    )
    torch.testing.assert_close(x, centre)
    torch.testing.assert_close(value, torch.zeros(5, dtype=torch.float64))
    assert len(calls) == 2


def test_curved_valley():
    torch.manual_seed(0)
    start = 2 * torch.randn(20, 2, dtype=torch.float64)
    x, value = descend(rosenbrock, start)
    torch.testing.assert_close(x, torch.ones_like(x), atol=1e-3, rtol=0)
    assert (value < 1e-7).all()


def test_problems_do_not_depend_on_each_other():
    torch.manual_seed(0)
    start = 2 * torch.randn(20, 2, dtype=torch.float64)
    whole, _ = descend(rosenbrock, start, max_steps=15)
    for rows in ([3], [7, 2, 11], list(range(19, -1, -1))):
        part, _ = descend(rosenbrock, start[rows], max_steps=15)
        torch.testing.assert_close(part, whole[rows], atol=1e-12, rtol=0)


def test_values_never_rise_and_the_finished_are_left_alone():
    torch.manual_seed(0)
    start = torch.randn(30, 3)
    scale = torch.logspace(-3, 3, 30)[:, None]
    seen = [[] for _ in start]

    def quartic(rows, x):
        value = (scale[rows] * x).pow(4).sum(1) + x.square().sum(1)
        for row, v in zip(rows.tolist(), value.tolist(), strict=True):
            seen[row].append(v)
        return value, 4 * scale[rows].pow(4) * x**3 + 2 * x

    for max_steps in (0, 1, 2, 5, 100):
        seen = [[] for _ in start]
        _, value = descend(quartic, start, max_steps=max_steps)
        first = torch.tensor([v[0] for v in seen])
        lowest = torch.tensor([min(v) for v in seen])
        assert (value <= first).all()
        torch.testing.assert_close(value, lowest, rtol=1e-5, atol=1e-6)
    calls = [len(v) for v in seen]
    assert min(calls) < 4 < max(calls) < 101


def test_a_minimum_at_a_kink():
    centre = torch.linspace(-1, 1, 9)[:, None]

    def kinked(rows, x):
        away = x - centre[rows]
        return (3 * away.abs() + 0.5 * x.square()).sum(1), 3 * away.sign() + x

    _, value = descend(kinked, torch.full((9, 1), 2.5), tolerance=1e-4)
    torch.testing.assert_close(value, 0.5 * centre[:, 0].square(), atol=2e-2, rtol=0)


def test_values_that_are_not_finite_are_stepped_back_from():
    def barrier(rows, x):
        return (x - x.log()).sum(1), 1 - 1 / x

    start = torch.tensor([[0.01], [3.0], [50.0]])
    x, _ = descend(barrier, start, tolerance=1e-7)
    torch.testing.assert_close(x, torch.ones(3, 1), atol=1e-2, rtol=0)


def test_where_floating_point_ends_the_search_does():
    def deep(rows, x):
        return 1e6 + x.square().sum(1), 2 * x

    calls = []

    def counted(rows, x):
        calls.append(len(rows))
        return deep(rows, x)

    descend(counted, torch.randn(4, 2), tolerance=1e-12)
    assert len(calls) < 5
