"""Representations of cells by maximum a posteriori, with everything else frozen."""

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

#: Cells that descend side by side. As some are done, evaluations of the others stay large.
POOL_CELLS = 1024
#: How much less exact the end of a stand-in's descent may be, which is only a start.
_GUIDE = 10


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
    """Find the representations of cells under a trained module.

    Every cell starts at the component of the mixture that explains its counts best, with the
    mean of its category in every covariate, and goes down from there by quasi-Newton steps until
    the next would gain less than ``tolerance``. Where a likelihood has local optima of its own, as
    the protein mixture has, a second descent begins where one by its stand-in ended
    (:meth:`Likelihood.unimodal <multiDGD.nn.Likelihood.unimodal>`). What is found for a cell depends
    neither on the other cells nor on the minibatch it comes in.

    Parameters
    ----------
    module
        A trained module, left as it is.
    batches
        Minibatches of cells. At most as many cells are decoded at once as the largest has.
    start
        Rows to start from in place of the components, in the order of the cells, shape
        ``(n, n_representation)``.
    use_labels
        Use the cells' labels where they are known. Otherwise representations can be used to
        predict them.
    tolerance
        In nats: what a further step promises to gain where a cell is left.
    max_steps
        Most evaluations of a cell's posterior, not counting that at the start.
    n_starts
        Components to start from, best first. The lowest end is kept; time is in proportion.

    Returns
    -------
    Shape ``(n, n_representation)``, in the order of the batches, on the CPU.

    Raises
    ------
    ValueError
        If ``start`` has another shape, or another argument is not positive.
    """
    positive("tolerance", tolerance)
    positive_int("max_steps", max_steps)
    positive_int("n_starts", n_starts)
    d = module.n_representation
    if start is not None and start.shape[1:] != (d,):
        raise ValueError(f"`start` must have shape (n, {d}), found {tuple(start.shape)}.")
    found: list[Tensor] = []
    n_done = 0
    guide = surrogate_module(module)
    curvature, of_guide = Curvature(module), Curvature(guide)
    with frozen(module):
        for pool in pools(batches, POOL_CELLS):
            batch = move_data_to_device(join(pool), module.device)
            if not use_labels:
                batch = {**batch, "labels": torch.full_like(batch["labels"], -1)}
            n = len(batch["cells"])
            at_once = max(len(b["cells"]) for b in pool)
            how = batch, at_once, tolerance, max_steps
            if start is None:
                starts = ranked_candidates(module, batch, n_starts, curvature)
                if guide is not module:
                    guided = ranked_candidates(guide, batch, n_starts, of_guide)
                    rough = batch, at_once, _GUIDE * tolerance, max_steps
                    guided, _ = _descend(guide, of_guide, guided, *rough)
                    starts = torch.cat([starts, guided], dim=1)
            else:
                starts = start[n_done : n_done + n, None].to(module.mixture.mean)
                if len(starts) != n:
                    raise ValueError(f"`start` has {len(start)} rows, fewer than there are cells.")
            n_done += n
            ends_nsd, value_ns = _descend(module, curvature, starts, *how)
            best = value_ns.argmin(1)
            found.append(ends_nsd[torch.arange(n, device=best.device), best].cpu())
    module.workspace.clear()
    if start is not None and len(start) > n_done:
        raise ValueError(f"`start` has {len(start)} rows for {n_done} cells.")
    return torch.cat(found)


def _descend(
    module: MultiDGDModule,
    curvature: Curvature,
    start_nsd: Tensor,
    batch: dict[str, Any],
    at_once: int,
    tolerance: float,
    max_steps: int,
) -> tuple[Tensor, Tensor]:
    """Where each cell's descents end, shape ``(n, s, d)``, and the values there, ``(n, s)``."""
    n, n_starts, d = start_nsd.shape
    cell = torch.arange(n, device=start_nsd.device).repeat_interleave(n_starts)

    def parts(rows: Tensor, w: Tensor) -> Iterator[tuple[dict[str, Any], Tensor]]:
        for some, w_bd in zip(rows.split(at_once), w.split(at_once), strict=True):
            yield take_cells(batch, cell[some]), w_bd

    def objective(rows: Tensor, w: Tensor) -> tuple[Tensor, Tensor]:
        values, gradients = zip(
            *(cell_losses(module, *part) for part in parts(rows, w)), strict=True
        )
        return torch.cat(values), torch.cat(gradients)

    w = start_nsd.reshape(-1, d)
    every = torch.arange(len(w), device=w.device)
    inverse = torch.cat([torch.linalg.inv(curvature(*part)) for part in parts(every, w)])
    w, value = minimize(objective, w, inverse, tolerance=tolerance, max_steps=max_steps)
    return w.view(n, n_starts, d), value.view(n, n_starts)
