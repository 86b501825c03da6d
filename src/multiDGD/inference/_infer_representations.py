"""MAP estimates of representations, with all other parameters frozen."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import torch
from lightning.fabric.utilities import move_data_to_device
from torch import Tensor

from multiDGD._checks import positive, positive_int
from multiDGD.module import (
    MultiDGDModule,
    frozen,
    join,
    pools,
    surrogate_module,
)

from ._candidates import ranked_candidates
from ._curvature import Curvature
from ._hidden_model import wide_modalities
from ._optimise import optimise

#: Minimum number of cells to optimise jointly. It keeps batches large as cells converge.
POOL_CELLS = 2048
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
    mean of its category in every covariate. Each step minimises a model of the posterior in which
    the likelihood of a modality with many features is quadratic in the inputs of its output
    layer. Steps follow until the next one would gain less than ``tolerance``. Some likelihoods
    have local optima of their own, such as the protein mixture. A second optimisation, or a
    second first step, then starts from an optimum under surrogate likelihoods
    (:meth:`Likelihood.surrogate <multiDGD.nn.Likelihood.surrogate>`). The result for a cell
    depends neither on the other cells nor on its minibatch.

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
        Maximum number of evaluations of a cell's likelihood after the first.
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
    optimum = _Optimum(module, tolerance, max_steps)
    with frozen(module):
        for pool in pools(batches, POOL_CELLS):
            batch = move_data_to_device(join(pool), module.device)
            if not use_labels:
                batch = {**batch, "labels": torch.full_like(batch["labels"], -1)}
            n, at_once = len(batch["cells"]), max(len(b["cells"]) for b in pool)
            if start is None:
                w = optimum.from_candidates(batch, n_starts, at_once)
            else:
                given = start[n_done : n_done + n].to(module.mixture.mean)
                if len(given) != n:
                    raise ValueError(
                        f"`start` must have one row for each cell, found only {len(start)} rows."
                    )
                w, _ = optimum.from_start(batch, given, at_once)
            n_done += n
            representations.append(w.cpu())
    module.workspace.clear()
    if start is not None and len(start) > n_done:
        raise ValueError(
            f"`start` must have one row for each cell, found {len(start)} rows for {n_done} cells."
        )
    return torch.cat(representations)


class _Optimum:
    """Optimisation from components or from given points, with the tolerance of one call."""

    def __init__(self, module: MultiDGDModule, tolerance: float, max_steps: int) -> None:
        self._module, self._surrogate = module, surrogate_module(module)
        self._curvature = Curvature(module)
        self._surrogate_curvature = Curvature(self._surrogate)
        self._tolerance, self._max_steps = tolerance, max_steps

    def from_start(
        self,
        batch: dict[str, Any],
        start: Tensor,
        at_once: int,
        surrogate: MultiDGDModule | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Local optima, shape ``(n, d)``, and their losses, shape ``(n,)``."""
        return optimise(
            self._module,
            self._curvature,
            start,
            batch,
            at_once,
            self._tolerance,
            self._max_steps,
            surrogate,
        )

    def from_candidates(self, batch: dict[str, Any], n_starts: int, at_once: int) -> Tensor:
        """Lowest optimum of each cell from its best candidates, shape ``(n, d)``."""
        found = [
            self.from_start(batch, start, at_once, surrogate)
            for start, surrogate in self._starts(batch, n_starts, at_once)
        ]
        best, lowest = found[0]
        for w, loss in found[1:]:
            is_lower = loss < lowest
            best, lowest = torch.where(is_lower[:, None], w, best), torch.minimum(loss, lowest)
        return best

    def _starts(
        self, batch: dict[str, Any], n_starts: int, at_once: int
    ) -> Iterator[tuple[Tensor, MultiDGDModule | None]]:
        """Yield starting points, each with a surrogate for the first step from them."""
        candidates_nsd = ranked_candidates(self._module, batch, n_starts, self._curvature)
        if self._surrogate is self._module:
            yield from ((start, None) for start in candidates_nsd.unbind(1))
            return
        if wide_modalities(self._module):
            yield from ((start, self._surrogate) for start in candidates_nsd.unbind(1))
            return
        surrogate_nsd = ranked_candidates(
            self._surrogate, batch, n_starts, self._surrogate_curvature
        )
        for start, other in zip(candidates_nsd.unbind(1), surrogate_nsd.unbind(1), strict=True):
            yield start, None
            optimum, _ = optimise(
                self._surrogate,
                self._surrogate_curvature,
                other,
                batch,
                at_once,
                _SURROGATE_TOLERANCE * self._tolerance,
                self._max_steps,
            )
            yield optimum, None
