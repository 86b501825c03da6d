"""Count splitting of the validation cells during training."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from lightning.fabric.utilities import move_data_to_device
from torch import Tensor

from multiDGD.data import CellManager
from multiDGD.module import MultiDGDModule
from multiDGD.nn import Counts
from multiDGD.stats import split_counts
from multiDGD.stats._profile_scores import WEIGHT_OF_AVERAGE

_BATCH = 128


class CountSplitValidation:
    r"""Score of validation cells by count splitting, for the current state of a module.

    Each molecule of a validation cell belongs to one of two halves, drawn once. A score infers the
    representations from the first halves, and compares the decoded shares p with the average
    profile a of the training cells on the second halves x:

    .. math::
        \sum_j x_j \log \frac{0.99\, p_j + 0.01\, a_j}{a_j} \Big/ \sum_j x_j.

    The representations of training do not take part, because their initial values depend on all
    counts of a cell.

    Parameters
    ----------
    manager
        Manager of the registered cells, whose counts stay unchanged.
    train_cells, validation_cells
        Positions of the cells.
    infer
        Function of a module and minibatches that returns representations, such as
        :func:`multiDGD.inference.infer_representations`.
    seed
        Seed of the halves.
    """

    def __init__(
        self,
        manager: CellManager,
        train_cells: np.ndarray,
        validation_cells: np.ndarray,
        infer: Callable[[MultiDGDModule, Sequence[dict[str, Any]]], Tensor],
        seed: int = 0,
    ) -> None:
        self._infer = infer
        self._average = _average_profiles(manager, train_cells)
        generator = np.random.default_rng(seed)
        self._seen: list[dict[str, Any]] = []
        self._unseen: list[dict[str, Counts]] = []
        for batch in manager.batches(validation_cells, _BATCH):
            halves = {m: _halves(counts, generator) for m, counts in batch["counts"].items()}
            counts = {m: first for m, (first, _) in halves.items()}
            # Without labels, as for the other losses of validation cells.
            labels = torch.full_like(batch["labels"], -1)
            self._seen.append({**batch, "counts": counts, "labels": labels})
            self._unseen.append({m: second for m, (_, second) in halves.items()})

    @torch.no_grad()
    def __call__(self, module: MultiDGDModule) -> dict[str, float]:
        """Mean score of each modality, and the mean of these means (nats per count).

        A modality contributes the cells with counts in both halves, and has no score without any.

        Parameters
        ----------
        module
            The module, left unchanged.
        """
        w = self._infer(module, self._seen).split(_BATCH)
        scores: dict[str, list[Tensor]] = {m: [] for m in module.modalities}
        for seen, unseen, w_bd in zip(self._seen, self._unseen, w, strict=True):
            device = module.device
            logits = module.generative(w_bd.to(device), seen["continuous"].to(device))["logits"]
            for m, logits_nf in logits.items():
                score_n = _score(
                    logits_nf,
                    move_data_to_device(unseen[m], device),
                    self._average[m].to(logits_nf),
                )
                is_scored = (seen["counts"][m].library > 0) & (unseen[m].library > 0)
                scores[m].append(score_n.cpu()[is_scored])
        means = {m: float(torch.cat(parts).mean()) for m, parts in scores.items()}
        found = {f"count_split_{m}_validation": v for m, v in means.items() if v == v}
        mean = sum(found.values()) / len(found) if found else float("nan")
        return {"count_split_validation": mean, **found}


def _average_profiles(manager: CellManager, cells: np.ndarray) -> dict[str, Tensor]:
    """Share of each feature in the counts of some cells, by modality."""
    totals: dict[str, Tensor] = {}
    for batch in manager.batches(cells):
        for m, counts in batch["counts"].items():
            # A fraction of a count keeps the shares of features without counts above 0.
            total = totals.setdefault(m, torch.full((counts.n_features,), 1e-3).double())
            total.index_add_(0, counts.columns, counts.values.double())
    return {m: total / total.sum() for m, total in totals.items()}


def _halves(counts: Counts, generator: np.random.Generator) -> tuple[Counts, Counts]:
    values = counts.values.numpy()
    first = torch.from_numpy(split_counts(values, 0.5, generator).astype(values.dtype))
    return counts.with_values(first), counts.with_values(counts.values - first)


def _score(logits_nf: Tensor, counts: Counts, average_f: Tensor) -> Tensor:
    """Log-likelihood per count above the average profile, shape ``(n,)``; 0 without counts."""
    share = logits_nf.softmax(1).view(-1)[counts.flat_index]
    average = average_f[counts.columns]
    mixed = (1 - WEIGHT_OF_AVERAGE) * share + WEIGHT_OF_AVERAGE * average
    gain = counts.values * (mixed / average).log()
    total_n = torch.zeros_like(counts.library).index_add_(0, counts.rows, gain)
    return total_n / counts.library.clamp(min=1)
