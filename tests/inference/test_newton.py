import torch

from multiDGD._newton import minimize


def run(objective, start, *, tolerance=1e-8, max_steps=200):
    n, d = start.shape
    inverse = torch.eye(d, dtype=start.dtype).expand(n, d, d)
    return minimize(objective, start, inverse, tolerance=tolerance, max_steps=max_steps)[:2]


def rosenbrock(rows, x):
    a, b = x.unbind(1)
    value = (1 - a) ** 2 + 100 * (b - a**2) ** 2
    gradient = torch.stack([-2 * (1 - a) - 400 * a * (b - a**2), 200 * (b - a**2)], 1)
    return value, gradient


def test_one_step_minimises_a_parabola():
    torch.manual_seed(0)
    root = torch.randn(5, 4, 4, dtype=torch.float64)
    hessian = root @ root.mT + torch.eye(4)
    centre = torch.randn(5, 4, dtype=torch.float64)
    calls = []

    def parabola(rows, x):
        calls.append(rows)
        g = (hessian[rows] @ (x - centre[rows])[..., None]).squeeze(-1)
        return 0.5 * (g * (x - centre[rows])).sum(1), g

    x, value, _ = minimize(
        parabola, torch.zeros_like(centre), hessian.inverse(), tolerance=1e-9, max_steps=9
    )
    torch.testing.assert_close(x, centre)
    torch.testing.assert_close(value, torch.zeros(5, dtype=torch.float64))
    assert len(calls) == 2


def test_rosenbrock():
    torch.manual_seed(0)
    start = 2 * torch.randn(20, 2, dtype=torch.float64)
    x, value = run(rosenbrock, start)
    torch.testing.assert_close(x, torch.ones_like(x), atol=1e-3, rtol=0)
    assert (value < 1e-7).all()


def test_problems_do_not_depend_on_each_other():
    torch.manual_seed(0)
    start = 2 * torch.randn(20, 2, dtype=torch.float64)
    whole, _ = run(rosenbrock, start, max_steps=15)
    for rows in ([3], [7, 2, 11], list(range(19, -1, -1))):
        part, _ = run(rosenbrock, start[rows], max_steps=15)
        torch.testing.assert_close(part, whole[rows], atol=1e-12, rtol=0)


def test_values_never_rise_and_finished_problems_are_not_evaluated():
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
        _, value = run(quartic, start, max_steps=max_steps)
        first = torch.tensor([v[0] for v in seen])
        lowest = torch.tensor([min(v) for v in seen])
        assert (value <= first).all()
        torch.testing.assert_close(value, lowest, rtol=1e-5, atol=1e-6)
    calls = [len(v) for v in seen]
    assert min(calls) < 4 < max(calls) < 101


def test_minimum_at_a_kink():
    centre = torch.linspace(-1, 1, 9)[:, None]

    def kinked(rows, x):
        deviation = x - centre[rows]
        return (3 * deviation.abs() + 0.5 * x.square()).sum(1), 3 * deviation.sign() + x

    _, value = run(kinked, torch.full((9, 1), 2.5), tolerance=1e-4)
    torch.testing.assert_close(value, 0.5 * centre[:, 0].square(), atol=2e-2, rtol=0)


def test_steps_to_non_finite_values_are_shortened():
    def barrier(rows, x):
        return (x - x.log()).sum(1), 1 - 1 / x

    start = torch.tensor([[0.01], [3.0], [50.0]])
    x, _ = run(barrier, start, tolerance=1e-7)
    torch.testing.assert_close(x, torch.ones(3, 1), atol=1e-2, rtol=0)


def test_search_ends_at_floating_point_precision():
    calls = []

    def offset_parabola(rows, x):
        calls.append(len(rows))
        return 1e6 + x.square().sum(1), 2 * x

    run(offset_parabola, torch.randn(4, 2), tolerance=1e-12)
    assert len(calls) < 5
