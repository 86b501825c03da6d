"""Prediction of one half of each cell's molecules from the other half."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil
from typing import Any, Literal, TypeAlias, TypeVar, get_args

import numpy as np
import pandas as pd
import torch
from anndata import AnnData
from lightning.fabric.utilities import move_data_to_device
from mudata import MuData
from torch import Tensor

from multiDGD._checks import choice, finite, integer, positive_int
from multiDGD.data import CellManager
from multiDGD.inference import infer_representations
from multiDGD.model.core._progress import progress
from multiDGD.model.core._representations import as_positions
from multiDGD.module import FeatureSubset, MultiDGDModule
from multiDGD.nn import Counts, Likelihood, MeanFunction
from multiDGD.stats import ProfileScores, split_counts

from ._decoding import DecodingMixin

Thinning: TypeAlias = Literal["binomial", "dirichlet_multinomial"]
_BATCH = 128
T = TypeVar("T", pd.Series, pd.DataFrame)


class CountSplitMixin(DecodingMixin):
    """Scores of predictions by count splitting."""

    def get_count_split_score(
        self,
        adata: AnnData | MuData | None = None,
        indices: Sequence[int] | None = None,
        fraction: float = 0.5,
        n_splits: int = 1,
        thinning: Thinning = "binomial",
        seed: int = 0,
        silent: bool = False,
    ) -> pd.DataFrame:
        r"""Predict a random part of each cell's molecules from the others.

        The molecules of each cell are split at random into two parts. The representation is
        inferred from the first part with the model frozen; the second part is predicted. Unlike
        :meth:`get_reconstruction_error`, the score does not reward noise that the
        representation copies from the counts. With :math:`x_{ij}` counts in the second part and
        the predicted shares :math:`p_{ij}`, the score of a cell is

        .. math::
            \sum_j x_{ij} \log \frac{0.99\, p_{ij} + 0.01\, a_j}{a_j} \Big/ \sum_j x_{ij},

        where a is the average profile of all cells in ``adata``. Shares are predicted in two
        ways: *decoded*, by the decoder alone, and *posterior*, by the posterior mean of each
        feature's rate given the first part of the cell's counts
        (:meth:`multiDGD.nn.Likelihood.posterior_mean`).

        Use cells that were held out from training. The score is that of a multinomial, so that
        features with large counts dominate it; in the correlation, every feature counts alike.

        Parameters
        ----------
        adata, indices
            As for :meth:`get_latent_representation`.
        fraction
            Expected share of the molecules in the first part.
        n_splits
            Number of random splits. Scores are averaged over splits.
        thinning
            ``"binomial"`` assigns each molecule independently. With
            ``"dirichlet_multinomial"``, the parts of negative binomial counts are independent
            given the mean (Neufeld et al., arXiv:2307.12985); it uses the learned dispersions of
            modalities with likelihood ``"nb"`` and is binomial for others.
        seed
            Seed of the splits. Global random generators are not used.
        silent
            Whether to hide the progress bars.

        Returns
        -------
        One row for each cell, with columns by modality and quantity: ``posterior`` and
        ``decoded`` (nats per count above the average profile), ``log_likelihood`` (nats, of the
        second part under the model's likelihood at the decoded mean) and ``n_counts``. Missing
        values mark cells without counts in one of the parts. ``attrs["summary"]`` maps each
        modality to its means: both scores over all counts, and ``posterior_correlation`` and
        ``decoded_correlation``, the mean over features of the correlation of
        :math:`\log(1 + x)` with its prediction over cells.

        Raises
        ------
        ValueError
            If an argument is invalid.

        Examples
        --------
        >>> score = model.get_count_split_score(query)  # doctest: +SKIP
        >>> score.attrs["summary"]["rna"]["posterior"]  # doctest: +SKIP
        """
        if not 0 < finite("fraction", fraction) < 1:
            raise ValueError(f"`fraction` must be between 0 and 1, found {fraction}.")
        positive_int("n_splits", n_splits)
        choice("thinning", thinning, get_args(Thinning))
        if integer("seed", seed) < 0:
            raise ValueError(f"`seed` must not be negative, found {seed}.")
        manager = self._manager_of(adata)
        cells = as_positions(indices, manager.adata.n_obs)
        tables: list[pd.DataFrame] = []
        summaries: list[tuple[int, dict[str, pd.Series]]] = []
        for subset, at in self._panels(manager).groups(cells):
            average = _average_profiles(manager, subset, cells[at])
            splits = [
                _score_split(
                    manager, subset, cells[at], average, fraction, thinning, (seed, split), silent
                )
                for split in range(n_splits)
            ]
            by_modality = {
                m: _mean([pd.DataFrame(s[m].cells(), index=at) for s in splits]) for m in average
            }
            tables.append(pd.concat(by_modality, axis=1))
            summary = {m: _mean([pd.Series(s[m].summary()) for s in splits]) for m in average}
            summaries.append((len(at), summary))
        found = pd.concat(tables).sort_index()
        found.index = manager.adata.obs_names[cells]
        found.attrs["summary"] = _average_summaries(summaries)
        return found


def _average_summaries(
    summaries: list[tuple[int, dict[str, pd.Series]]],
) -> dict[str, dict[str, float]]:
    """Means of the summaries of panels, weighted by their numbers of cells, by modality."""
    if len(summaries) == 1:
        return {m: summary.to_dict() for m, summary in summaries[0][1].items()}
    found = {}
    for modality in dict.fromkeys(m for _, summary in summaries for m in summary):
        parts = [(n, summary[modality]) for n, summary in summaries if modality in summary]
        table = pd.DataFrame([part for _, part in parts])
        weight = table.notna().mul([n for n, _ in parts], axis=0)
        found[modality] = (table.mul(weight).sum() / weight.sum()).to_dict()
    return found


def _mean(tables: list[T]) -> T:
    return sum(tables[1:], start=tables[0]) / len(tables)


def _average_profiles(
    manager: CellManager, subset: FeatureSubset, cells: np.ndarray
) -> dict[str, np.ndarray]:
    """Share of each observed feature in the counts of all cells of a panel, by modality."""
    found = {}
    codes = manager.panels.codes
    is_in_panel = np.isin(codes, codes[cells[:1]]) if len(cells) else codes >= 0
    for modality, at in subset.positions.items():
        total_f, first = np.zeros(len(at)), 0
        for block in manager.blocks(modality):
            here = np.flatnonzero(is_in_panel[first : first + block.shape[0]])
            first += block.shape[0]
            counts = block if len(here) == block.shape[0] else block[here]
            total_f += np.asarray(counts.sum(0)).ravel()[at.numpy()]
        # A fraction of a count keeps the shares of features without counts above 0.
        found[modality] = (total_f + 1e-3) / (total_f + 1e-3).sum()
    return found


@torch.inference_mode(False)
def _score_split(
    manager: CellManager,
    subset: FeatureSubset,
    cells: np.ndarray,
    average: dict[str, np.ndarray],
    fraction: float,
    thinning: Thinning,
    seed: tuple[int, int],
    silent: bool,
) -> dict[str, ProfileScores]:
    module = subset.module
    # One stream for each modality, so that splits do not depend on minibatches.
    streams = {
        m: np.random.default_rng([*seed, number]) for number, m in enumerate(module.modalities)
    }
    first, second = [], []
    for batch in manager.batches(cells, _BATCH):
        batch = subset.batch(batch)
        halves = {
            m: _split(
                batch["counts"][m],
                fraction,
                streams[m],
                _dispersion(module, m, thinning),
                module.likelihood(m).mean_function,
            )
            for m in module.modalities
        }
        first.append({**batch, "counts": {m: half[0] for m, half in halves.items()}})
        second.append({m: half[1] for m, half in halves.items()})
    scores = {m: ProfileScores(a) for m, a in average.items()}
    if not first:
        return scores
    with torch.enable_grad():
        shown = progress(first, "Embedding", ceil(len(cells) / _BATCH), silent)
        w = infer_representations(module, shown)
    for batch, scored, w_bd in zip(first, second, w.split(_BATCH), strict=True):
        _add_batch(scores, module, batch, scored, w_bd)
    return scores


@torch.no_grad()
def _add_batch(
    scores: dict[str, ProfileScores],
    module: MultiDGDModule,
    batch: dict[str, Any],
    scored: dict[str, Counts],
    w: Tensor,
) -> None:
    device = module.device
    logits = module.generative(w.to(device), batch["continuous"].to(device))["logits"]
    for modality, logits_nf in logits.items():
        likelihood: Likelihood = module.likelihood(modality)
        seen, unseen = batch["counts"][modality], scored[modality]
        mean_nf = likelihood.mean(logits_nf, seen.library.to(logits_nf))
        rate_nf = likelihood.posterior_mean(mean_nf, seen.to_dense().to(logits_nf))
        scores[modality].add(
            unseen.to_dense().numpy(),
            likelihood.shares(logits_nf).cpu().numpy(),
            rate_nf.cpu().numpy(),
            (seen.library > 0).cpu().numpy(),
            likelihood.log_prob(logits_nf, move_data_to_device(unseen, device)).cpu().numpy(),
        )


def _dispersion(module: MultiDGDModule, modality: str, thinning: Thinning) -> np.ndarray | None:
    dispersion = getattr(module.likelihood(modality), "dispersion", None)
    if thinning == "binomial" or dispersion is None:
        return None
    return dispersion.detach().cpu().double().numpy()


def _split(
    counts: Counts,
    fraction: float,
    generator: np.random.Generator,
    dispersion_f: np.ndarray | None,
    mean: MeanFunction,
) -> tuple[Counts, Counts]:
    """Two parts of the counts of a minibatch."""
    values = counts.values.numpy()
    r = None if dispersion_f is None else dispersion_f[counts.columns.numpy()]
    drawn = torch.from_numpy(split_counts(values, fraction, generator, r).astype(values.dtype))
    return (
        mean.thinned(counts, drawn, fraction),
        mean.thinned(counts, counts.values - drawn, 1 - fraction),
    )
