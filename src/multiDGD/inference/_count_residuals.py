"""Counts of selected features beside their decoded means."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from multiDGD.module import FeaturePanels, MultiDGDModule


@torch.no_grad()
def counts_and_means(
    module: MultiDGDModule,
    panels: FeaturePanels,
    batches: Iterable[tuple[dict[str, Any], Tensor]],
    features: Mapping[str, Tensor],
) -> dict[str, tuple[Tensor, Tensor]]:
    """Counts and decoded means of features in the cells that measured all modalities.

    Parameters
    ----------
    module
        A trained module.
    panels
        Panels of the cells. Cells in which features are missing are left out.
    batches
        Minibatches of cells and their representations.
    features
        Indices of features by modality.

    Returns
    -------
    Counts and means by modality, shape ``(n, len(features))`` each, on the CPU.
    """
    found: dict[str, list[tuple[Tensor, Tensor]]] = {m: [] for m in features}
    for batch, w in batches:
        for here, subset, _, _ in panels.parts(batch, w):
            if not subset.is_complete:
                continue
            libraries = [batch["counts"][m].library[here] for m in features]
            rows = here[(torch.stack(libraries) > 0).all(0)]
            logits = module.generative(w[rows], batch["continuous"][rows], list(features))
            for modality, at in features.items():
                counts = batch["counts"][modality]
                mean = module.likelihood(modality).mean(
                    logits["logits"][modality], counts.library[rows].to(w)
                )
                seen = counts.to_dense()[rows][:, at.to(w.device)]
                found[modality].append((seen.cpu(), mean[:, at.to(w.device)].cpu()))
    return {
        m: (
            torch.cat([seen for seen, _ in parts] or [torch.zeros(0, len(features[m]))]),
            torch.cat([mean for _, mean in parts] or [torch.zeros(0, len(features[m]))]),
        )
        for m, parts in found.items()
    }
