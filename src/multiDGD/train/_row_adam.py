"""Adam for tables in which each step updates only a few rows."""

from __future__ import annotations

import torch
from torch import Tensor


class RowAdam:
    r"""Adam that updates only the visited rows of a table.

    Each cell is visited once per epoch. Updating its row right after its minibatch is therefore
    equivalent to collecting gradients over the epoch and then updating the whole table, as
    published. The cost depends on the size of the minibatch and not on the number of cells. Each
    row has its own moments and step count (Kingma & Ba, 2015, applied to each row separately).

    Parameters
    ----------
    table
        Parameters to optimise in place, shape ``(n, d)``.
    lr
        Learning rate.
    betas
        Decay rates of the first and second moment.
    eps
        Added to the square root of the second moment.

    Examples
    --------
    >>> import torch
    >>> from multiDGD.train import RowAdam
    >>> table = torch.zeros(4, 2)
    >>> RowAdam(table, lr=0.1).step(torch.tensor([2]), torch.ones(1, 2))
    >>> table[2]
    tensor([-0.1000, -0.1000])
    """

    def __init__(
        self,
        table: Tensor,
        lr: float,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
    ) -> None:
        self.table = table.detach()
        self.lr = lr
        self.betas = betas
        self.eps = eps
        self.first = torch.zeros_like(self.table)
        self.second = torch.zeros_like(self.table)
        self.visits = torch.zeros(len(table), dtype=torch.int64, device=table.device)

    def state_dict(self) -> dict[str, Tensor]:
        """Moments and number of visits of each row."""
        return {"first": self.first, "second": self.second, "visits": self.visits}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Continue from the moments and visits of a former optimisation.

        Parameters
        ----------
        state
            Result of :meth:`state_dict` for a table of the same shape.
        """
        for name, values in state.items():
            getattr(self, name).copy_(values)

    @torch.no_grad()
    def step(self, rows: Tensor, gradient: Tensor, lr_factor: float | Tensor = 1.0) -> None:
        """Update the visited rows.

        Parameters
        ----------
        rows
            Indices of the rows, without duplicates, shape ``(b,)``.
        gradient
            Gradient of the loss with respect to the rows, shape ``(b, d)``.
        lr_factor
            Factor on the learning rate in this step, for a schedule; a number or a scalar tensor.
        """
        beta1, beta2 = self.betas
        gradient = gradient.to(self.table)
        visits = self.visits[rows] + 1
        first = torch.lerp(gradient, self.first[rows], beta1)
        second = torch.lerp(gradient.square(), self.second[rows], beta2)
        t = visits.to(self.table)[:, None]
        unbiased = (second / (1 - beta2**t)).sqrt_().add_(self.eps)
        step = first / (1 - beta1**t) / unbiased
        self.table[rows] -= self.lr * lr_factor * step
        self.visits[rows] = visits
        self.first[rows] = first
        self.second[rows] = second
