"""Count splitting of the validation cells during training."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from lightning.fabric.utilities import move_data_to_device
from torch import Tensor

from multiDGD.data import CellManager
from multiDGD.module import FeatureSubset, MultiDGDModule
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
        generator = np.random.default_rng(seed)
        self._panels: list[tuple[Any, dict[str, Tensor], list[tuple[Any, Any]]]] = []
        observed, codes = manager.panels
        for panel in np.unique(codes[validation_cells]):
            cells = validation_cells[codes[validation_cells] == panel]
            fit_cells = train_cells[codes[train_cells] == panel]
            average = _average_profiles(manager, fit_cells if len(fit_cells) else train_cells)
            batches = [_halved(batch, generator) for batch in manager.batches(cells, _BATCH)]
            self._panels.append((observed[panel], average, batches))

    @property
    def _seen(self) -> list[dict[str, Any]]:
        """Minibatches of the first halves."""
        return [seen for _, _, batches in self._panels for seen, _ in batches]

    @torch.no_grad()
    def __call__(self, module: MultiDGDModule) -> dict[str, float]:
        """Mean score of each modality, and the mean of these means (nats per count).

        A modality contributes the cells with counts in both halves, and has no score without any.

        Parameters
        ----------
        module
            The module, left unchanged.
        """
        scores: dict[str, list[Tensor]] = {m: [] for m in module.modalities}
        for observed, average, batches in self._panels:
            subset = FeatureSubset(module, observed)
            _score_panel(scores, subset, average, batches, self._infer)
        means = {m: float(torch.cat(parts).mean()) for m, parts in scores.items() if parts}
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


def _halved(
    batch: dict[str, Any], generator: np.random.Generator
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Minibatches of the first and second halves."""
    halves = {m: _halves(counts, generator) for m, counts in batch["counts"].items()}
    # Without labels, as for the other losses of validation cells.
    unlabelled = {**batch, "labels": torch.full_like(batch["labels"], -1)}
    first, second = ({m: half[i] for m, half in halves.items()} for i in range(2))
    return {**unlabelled, "counts": first}, {**unlabelled, "counts": second}


def _score_panel(
    scores: dict[str, list[Tensor]],
    subset: FeatureSubset,
    average: Mapping[str, Tensor],
    batches: Sequence[tuple[dict[str, Any], dict[str, Any]]],
    infer: Callable[[MultiDGDModule, Sequence[dict[str, Any]]], Tensor],
) -> None:
    """Add the scores of the cells of one panel, by modality."""
    module = subset.module
    pairs = [(subset.batch(seen), subset.batch(unseen)) for seen, unseen in batches]
    w = infer(module, [seen for seen, _ in pairs]).split(_BATCH)
    for (seen, batch), w_bd in zip(pairs, w, strict=True):
        device, unseen = module.device, batch["counts"]
        logits = module.generative(w_bd.to(device), seen["continuous"].to(device))["logits"]
        for m, logits_nf in logits.items():
            average_f = average[m][subset.positions[m]]
            if len(average_f) == 1:
                continue  # a single feature has no profile
            if m in subset.incomplete:
                average_f = average_f / average_f.sum()
            counts = move_data_to_device(unseen[m], device)
            score_n = _score(logits_nf, counts, average_f.to(logits_nf))
            is_scored = (seen["counts"][m].library > 0) & (unseen[m].library > 0)
            scores[m].append(score_n.cpu()[is_scored])


def _halves(counts: Counts, generator: np.random.Generator) -> tuple[Counts, Counts]:
    values = counts.values.numpy()
    first = torch.from_numpy(split_counts(values, 0.5, generator).astype(values.dtype))
    halves = counts.with_values(first), counts.with_values(counts.values - first)
    if counts.n_features > 1:
        return halves
    # The library size of a single feature is an exposure, not a total.
    one, other = (half._replace(library=counts.library / 2) for half in halves)
    return one, other


def _score(logits_nf: Tensor, counts: Counts, average_f: Tensor) -> Tensor:
    """Log-likelihood per count above the average profile, shape ``(n,)``; 0 without counts."""
    share = logits_nf.softmax(1).view(-1)[counts.flat_index]
    average = average_f[counts.columns]
    mixed = (1 - WEIGHT_OF_AVERAGE) * share + WEIGHT_OF_AVERAGE * average
    gain = counts.values * (mixed / average).log()
    total_n = torch.zeros_like(counts.library).index_add_(0, counts.rows, gain)
    return total_n / counts.library.clamp(min=1)
