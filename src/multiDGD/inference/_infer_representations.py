"""MAP estimates of representations, with all other parameters frozen."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import torch
from lightning.fabric.utilities import move_data_to_device
from torch import Tensor

from multiDGD._checks import positive, positive_int
from multiDGD._newton import minimize
from multiDGD.module import (
    MultiDGDModule,
    cell_losses,
    frozen,
    join,
    pools,
    surrogate_module,
    take_cells,
)

from ._candidates import ranked_candidates
from ._curvature import Curvature

#: Minimum number of cells to optimise jointly. It keeps batches large as cells converge.
POOL_CELLS = 1024
# Relative tolerance of the optimisation under a surrogate, whose result is a starting point only.
_SURROGATE_TOLERANCE = 10


def infer_representations(
    module: MultiDGDModule,
    batches: Iterable[dict[str, Any]],
    *,
    start: Tensor | None = None,
    use_labels: bool = False,
    tolerance: float = 0.05,
    max_steps: int = 100,
    n_starts: int = 1,
) -> Tensor:
    """Infer the representations of cells under a trained module.

    The starting point of a cell is the mixture component that best explains its counts, with the
    mean of its category in every covariate. Quasi-Newton steps follow until the next step would
    gain less than ``tolerance``. Some likelihoods have local optima of their own, such as the
    protein mixture. A second optimisation then starts from the MAP estimate under surrogate
    likelihoods (:meth:`Likelihood.surrogate <multiDGD.nn.Likelihood.surrogate>`). The result for
    a cell depends neither on the other cells nor on its minibatch.

    Parameters
    ----------
    module
        A trained module, left unchanged.
    batches
        Minibatches of cells. The largest size is the maximum number of cells decoded at once.
    start
        Starting points to use instead of the components, in the order of the cells, shape
        ``(n, n_representation)``.
    use_labels
        Whether to condition on known labels. Without them, the representations can be used to
        predict the labels.
    tolerance
        Expected gain of the next step, in nats, below which the optimisation of a cell stops.
    max_steps
        Maximum number of evaluations of a cell's posterior after the first.
    n_starts
        Number of components to start from, best first. The best optimum is kept. Run time is
        proportional to this number.

    Returns
    -------
    Shape ``(n, n_representation)``, in the order of the batches, on the CPU.

    Raises
    ------
    ValueError
        If the shape of ``start`` is wrong, or another argument is not positive.
    """
    positive("tolerance", tolerance)
    positive_int("max_steps", max_steps)
    positive_int("n_starts", n_starts)
    d = module.n_representation
    if start is not None and start.shape[1:] != (d,):
        raise ValueError(f"`start` must have shape (n, {d}), found {tuple(start.shape)}.")
    representations: list[Tensor] = []
    n_done = 0
    surrogate = surrogate_module(module)
    curvature, surrogate_curvature = Curvature(module), Curvature(surrogate)
    with frozen(module):
        for pool in pools(batches, POOL_CELLS):
            batch = move_data_to_device(join(pool), module.device)
            if not use_labels:
                batch = {**batch, "labels": torch.full_like(batch["labels"], -1)}
            n = len(batch["cells"])
            at_once = max(len(b["cells"]) for b in pool)
            if start is None:
                starts = ranked_candidates(module, batch, n_starts, curvature)
                if surrogate is not module:
                    candidates = ranked_candidates(surrogate, batch, n_starts, surrogate_curvature)
                    optima, _ = _optimise(
                        surrogate,
                        surrogate_curvature,
                        candidates,
                        batch,
                        at_once,
                        _SURROGATE_TOLERANCE * tolerance,
                        max_steps,
                    )
                    starts = torch.cat([starts, optima], dim=1)
            else:
                starts = start[n_done : n_done + n, None].to(module.mixture.mean)
                if len(starts) != n:
                    raise ValueError(
                        f"`start` must have one row for each cell, found only {len(start)} rows."
                    )
            n_done += n
            optima_nsd, loss_ns = _optimise(
                module, curvature, starts, batch, at_once, tolerance, max_steps
            )
            best = loss_ns.argmin(1)
            representations.append(optima_nsd[torch.arange(n, device=best.device), best].cpu())
    module.workspace.clear()
    if start is not None and len(start) > n_done:
        raise ValueError(
            f"`start` must have one row for each cell, found {len(start)} rows for {n_done} cells."
        )
    return torch.cat(representations)


def _optimise(
    module: MultiDGDModule,
    curvature: Curvature,
    start_nsd: Tensor,
    batch: dict[str, Any],
    at_once: int,
    tolerance: float,
    max_steps: int,
) -> tuple[Tensor, Tensor]:
    """Local optima of each cell, shape ``(n, s, d)``, and their losses, ``(n, s)``."""
    n, n_starts, d = start_nsd.shape
    cell = torch.arange(n, device=start_nsd.device).repeat_interleave(n_starts)

    def parts(rows: Tensor, w: Tensor) -> Iterator[tuple[dict[str, Any], Tensor]]:
        for block, w_bd in zip(rows.split(at_once), w.split(at_once), strict=True):
            yield take_cells(batch, cell[block]), w_bd

    def objective(rows: Tensor, w: Tensor) -> tuple[Tensor, Tensor]:
        losses, gradients = zip(
            *(cell_losses(module, *part) for part in parts(rows, w)), strict=True
        )
        return torch.cat(losses), torch.cat(gradients)

    w = start_nsd.reshape(-1, d)
    rows = torch.arange(len(w), device=w.device)
    inverse = torch.cat([torch.linalg.inv(curvature(*part)) for part in parts(rows, w)])
    w, loss = minimize(objective, w, inverse, tolerance=tolerance, max_steps=max_steps)
    return w.view(n, n_starts, d), loss.view(n, n_starts)
