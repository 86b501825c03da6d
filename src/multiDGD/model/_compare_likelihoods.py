"""Comparison of likelihoods by held-out counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar, cast

import numpy as np
import pandas as pd
import torch
from anndata import AnnData
from mudata import MuData
from scipy import sparse
from scvi import settings

from multiDGD._checks import finite, integer
from multiDGD._quiet import quiet_transfer
from multiDGD.model.core._representations import RepresentationMixin
from multiDGD.module import MultiDGDModule
from multiDGD.nn import Counts, Likelihood, get_likelihood, likelihood_names
from multiDGD.stats import split_counts

# The likelihood of binarised counts, which is not comparable with that of counts.
_BINARY = "bernoulli"
_Data = TypeVar("_Data", AnnData, MuData)
# Argument of the setup: one layer of an AnnData, or layers by modality of a MuData.
_Layers = str | Mapping[str, str | None] | None


class ComparisonMixin(RepresentationMixin):
    """Comparison of models with different likelihoods on held-out cells and counts."""

    @classmethod
    @quiet_transfer()  # for the halves of the cells, which are objects of this method
    def compare_likelihoods(
        cls,
        adata: AnnData | MuData,
        likelihoods: Mapping[str, Sequence[str]] | Sequence[str],
        held_out: float = 0.2,
        thin: bool = True,
        max_epochs: int | None = None,
        seed: int = 0,
        model_kwargs: Mapping[str, Any] | None = None,
        **train_kwargs: Any,
    ) -> pd.DataFrame:
        """Compare likelihoods by the log-likelihood of held-out counts.

        The molecules of each cell are split at random into two halves (count splitting). For each
        likelihood, a model is trained on the first halves of most cells. Representations of the
        held-out cells are inferred from their first halves. The score is the log-likelihood of
        their second halves, given the library size. No count is thus used for both inference and
        scoring. All likelihoods have the same cells, halves and seed.

        After few epochs, dispersions are far from convergence, which favours likelihoods without
        dispersions.

        Parameters
        ----------
        adata
            Data registered by :meth:`setup_anndata` or :meth:`setup_mudata`.
        likelihoods
            Names of the likelihoods to compare, by modality, or a list if there is only one. In the comparison for one modality,
            every other modality has the first of its likelihoods here, or else the one in
            ``model_kwargs`` or the default.
        held_out
            Share of the cells to hold out.
        thin
            Split the molecules. If false, models are trained on all counts, and held-out cells are
            scored on the counts from which their representations are inferred. Set it to false for
            counts of paired reads, as in many ATAC data sets, because splitting separates pairs.
        max_epochs
            Epochs of each training; by default as for :meth:`train`.
        seed
            Random seed of the split into cells and halves, and of each training.
        model_kwargs
            Further arguments of the model.
        **train_kwargs
            Further arguments of :meth:`train`.

        Returns
        -------
        Table with a row for each modality and likelihood (columns ``modality`` and
        ``likelihood``):

        - ``log_likelihood``, ``se``: mean over held-out cells (nats per cell) and its standard
          error; missing for ``"bernoulli"``, which does not distinguish non-zero counts;
        - ``difference``, ``difference_se``: mean difference per cell from the first likelihood of
          the modality, and its standard error;
        - ``detection``, ``detection_se``: mean log-likelihood of the detected features (count
          above 0), which is comparable between all likelihoods, and its standard error;
        - ``n_cells``: held-out cells with counts in the modality.

        Raises
        ------
        ValueError
            If a modality or likelihood does not exist, if ``held_out`` leaves no cells for
            training or scoring, or if ``adata`` is backed by a file.

        Examples
        --------
        >>> MultiDGD.setup_mudata(mdata)  # doctest: +SKIP
        >>> MultiDGD.compare_likelihoods(  # doctest: +SKIP
        ...     mdata, {"prot": ["nb", "poisson", "protein"]}
        ... )
        """
        if adata.isbacked:
            raise ValueError(
                f"`adata` is backed by the file {adata.filename}, but the counts are split in "
                "memory: read it without `backed`."
            )
        integer("seed", seed)
        manager = cls._get_most_recent_anndata_manager(adata, required=True)
        registry = manager.registry
        modalities = list(manager.summary.features)
        given = dict(model_kwargs or {})
        likelihoods = _by_modality(likelihoods, modalities)
        baseline = _baseline(given.pop("likelihoods", None), likelihoods, modalities)
        n_held_out = round(finite("held_out", held_out) * adata.n_obs)
        if not 0 < n_held_out < adata.n_obs:
            raise ValueError(
                f"`held_out` must leave cells for training and for scoring, found {held_out} of "
                f"{adata.n_obs} cells."
            )
        generator = np.random.default_rng(seed)
        order = generator.permutation(adata.n_obs)
        cells = np.sort(order[n_held_out:]), np.sort(order[:n_held_out])
        train, test = (_without_registration(adata[c].copy()) for c in cells)
        layers = registry["setup_args"].get("layers" if isinstance(adata, MuData) else "layer")
        query, target = test, test
        if thin:
            train, _ = _split_counts(train, layers, modalities, generator)
            query, target = _split_counts(test, layers, modalities, generator)
            kept = [_has_counts(x, layers, modalities) for x in (train, query, target)]
            train = train[kept[0]].copy()
            query, target = (x[kept[1] & kept[2]].copy() for x in (query, target))

        previous_seed = settings.seed
        fits: dict[tuple[str, ...], pd.DataFrame] = {}
        rows = []
        try:
            for modality, names in likelihoods.items():
                for name in names:
                    chosen = {**baseline, modality: name}
                    # The combination of all first likelihoods occurs once for each modality.
                    key = tuple(chosen.values())
                    if key not in fits:
                        settings.seed = seed
                        setup = getattr(cls, registry["setup_method_name"])
                        setup(train, **registry["setup_args"])
                        model = cls(train, likelihoods=chosen, **given)
                        model.train(max_epochs=max_epochs, **train_kwargs)
                        fits[key] = model._held_out_scores(query, target)
                    rows.append((modality, name, fits[key]))
        finally:
            settings.seed = previous_seed
        return _table(rows, fits[tuple(baseline.values())])

    @torch.inference_mode()
    def _held_out_scores(self, query: AnnData | MuData, target: AnnData | MuData) -> pd.DataFrame:
        """Log-likelihoods of counts and of detection for each cell, by modality.

        Representations are inferred from ``query`` and scored on the counts of ``target``.
        """
        cells, w = self._representation(self._manager_of(query), None, None)
        manager = self._manager_of(target)
        panels = self._panels(manager)
        modalities = self.module.modalities

        def scores(module: MultiDGDModule, part: dict[str, Any], w: torch.Tensor) -> torch.Tensor:
            found = w.new_full((len(w), len(modalities), 2), torch.nan)
            logits = module.generative(w, part["continuous"])["logits"]
            for modality, logits_nf in logits.items():
                likelihood, counts = module.likelihood(modality), part["counts"][modality]
                both = _log_probs(likelihood, logits_nf, counts)
                found[:, modalities.index(modality)] = both
            return found

        batches = self._batches_with(manager, cells, w, 512)
        found = torch.cat([panels.map(scores, batch, w_bd) for batch, w_bd in batches]).cpu()
        keys = [(m, name) for m in modalities for name in ("counts", "detection")]
        return pd.DataFrame(found.flatten(1).numpy(), columns=pd.MultiIndex.from_tuples(keys))


def _log_probs(likelihood: Likelihood, logits_nf: torch.Tensor, counts: Counts) -> torch.Tensor:
    """Log-likelihoods of counts and of detection, NaN where not measured, shape ``(n, 2)``."""
    of_counts = likelihood.log_prob(logits_nf, counts)
    zero = likelihood.log_prob_zero(likelihood.mean(logits_nf, counts.library))
    at = counts.rows, counts.columns
    log_odds = torch.log(-torch.expm1(zero[at].clamp(max=-1e-12))) - zero[at]
    of_detection = zero.sum(1).index_add(0, counts.rows, log_odds)
    both = torch.stack([of_counts, of_detection], dim=1)
    return both.where(counts.library[:, None] > 0, torch.nan)


def _by_modality(
    likelihoods: Mapping[str, Sequence[str]] | Sequence[str], modalities: list[str]
) -> Mapping[str, Sequence[str]]:
    """Likelihoods to compare, by modality."""
    if isinstance(likelihoods, Mapping) and likelihoods:
        return likelihoods
    names = list(likelihoods) if isinstance(likelihoods, (list, tuple)) else []
    if names and len(modalities) == 1:
        return {modalities[0]: names}
    example = {modalities[0]: names or ["nb", "poisson"]}
    raise ValueError(
        f"`likelihoods` must map modalities to lists of names, such as {example}, found "
        f"{likelihoods!r}. Modalities: {modalities}."
    )


def _baseline(
    given: str | Mapping[str, str] | None,
    likelihoods: Mapping[str, Sequence[str]],
    modalities: list[str],
) -> dict[str, str]:
    """Likelihood of each modality in the comparisons for the other modalities."""
    baseline = likelihood_names(modalities, given or {})
    for modality, names in likelihoods.items():
        if modality not in modalities:
            raise ValueError(
                f"`likelihoods`: {modality!r} is not one of the modalities {modalities}."
            )
        if isinstance(names, str) or not len(names):
            raise ValueError(f"`likelihoods` must list names for {modality!r}, found {names!r}.")
        for name in names:
            get_likelihood(name)
        baseline[modality] = names[0]
    return baseline


def _table(rows: list[tuple[str, str, pd.DataFrame]], first: pd.DataFrame) -> pd.DataFrame:
    """Means and standard errors of scores and of their differences from ``first``.

    ``rows`` has the scores by modality and likelihood. ``first`` has the scores with the first
    likelihood of every modality.
    """
    records = []
    for modality, name, scores in rows:
        detection = scores[modality, "detection"].to_numpy()
        counts = scores[modality, "counts"].to_numpy()
        if name == _BINARY:
            counts = np.full_like(counts, np.nan)
        paired = counts - first[modality, "counts"].to_numpy()
        record: dict[str, Any] = {"modality": modality, "likelihood": name}
        for column, values in (
            ("log_likelihood", counts),
            ("difference", paired),
            ("detection", detection),
        ):
            values = values[np.isfinite(values)].astype(float)
            record[column] = values.mean() if len(values) else np.nan
            se = "se" if column == "log_likelihood" else f"{column}_se"
            record[se] = values.std() / np.sqrt(len(values)) if len(values) else np.nan
        records.append({**record, "n_cells": int(np.isfinite(detection).sum())})
    return pd.DataFrame(records)


def _without_registration(data: _Data) -> _Data:
    """Remove the registration of a copy, which scvi-tools would confuse with the original."""
    for key in [k for k in data.uns if k.startswith("_scvi")]:
        del data.uns[key]
    return data


def _locations(
    data: AnnData | MuData, layers: _Layers, modalities: list[str]
) -> list[tuple[AnnData, str | None]]:
    """Object and layer of each count matrix."""
    if isinstance(data, MuData):
        by_modality = layers if isinstance(layers, Mapping) else {}
        return [(data.mod[m], by_modality.get(m)) for m in modalities]
    return [(data, cast("str | None", layers))]


def _counts(part: AnnData, layer: str | None) -> sparse.csr_matrix:
    return sparse.csr_matrix(part.X if layer is None else part.layers[layer])


def _split_counts(
    data: _Data, layers: _Layers, modalities: list[str], generator: np.random.Generator
) -> tuple[_Data, _Data]:
    """Two copies with random halves of the molecules of each cell (binomial thinning)."""
    halves = data.copy(), data.copy()
    pairs = zip(*(_locations(x, layers, modalities) for x in halves), strict=True)
    for (first, layer), (second, _) in pairs:
        x = _counts(first, layer)
        half1 = x.copy()
        half1.data = split_counts(x.data, 0.5, generator).astype(np.float32)
        for part, half in ((first, half1), (second, sparse.csr_matrix(x - half1))):
            half.eliminate_zeros()
            if layer is None:
                part.X = half
            else:
                part.layers[layer] = half
    return halves


def _has_counts(data: AnnData | MuData, layers: _Layers, modalities: list[str]) -> np.ndarray:
    """Mask of the cells that have counts in any modality."""
    total = pd.Series(0.0, index=data.obs_names)
    for part, layer in _locations(data, layers, modalities):
        library_n = np.asarray(_counts(part, layer).sum(1)).ravel()
        total.loc[part.obs_names] += library_n
    return (total > 0).to_numpy()
