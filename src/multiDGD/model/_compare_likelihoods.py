"""Which likelihood fits a modality."""

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
from multiDGD.model.core._representations import RepresentationMixin
from multiDGD.nn import get_likelihood, likelihood_names

# Reads counts above 1 as 1, so that its likelihood is of something else.
_BINARY = "bernoulli"
_Data = TypeVar("_Data", AnnData, MuData)
# As the setup takes them: one of an AnnData, by modality of a MuData.
_Layers = str | Mapping[str, str | None] | None


class ComparisonMixin(RepresentationMixin):
    """Models that differ in a likelihood, on cells and counts that they have not seen."""

    @classmethod
    def compare_likelihoods(
        cls,
        adata: AnnData | MuData,
        likelihoods: Mapping[str, Sequence[str]],
        held_out: float = 0.2,
        thin: bool = True,
        max_epochs: int | None = None,
        seed: int = 0,
        model_kwargs: Mapping[str, Any] | None = None,
        **train_kwargs: Any,
    ) -> pd.DataFrame:
        """Held-out log-likelihood of one modality's counts under several likelihoods.

        The molecules of every cell are split at random in two halves. For each likelihood a
        model is trained on the first halves of most cells; the cells held out are placed by
        their first halves, and what counts is how probable their second halves are, given their
        total. So no cell is scored by the counts that placed it, and all likelihoods have the
        same cells, halves and seed. After few epochs dispersions are far from where they end,
        which makes a likelihood without them look better than it is.

        Parameters
        ----------
        adata
            Registered by :meth:`setup_anndata` or :meth:`setup_mudata`.
        likelihoods
            Names to compare, by modality. While one modality's are compared, the others keep the
            first of theirs, or what ``model_kwargs`` or the default says.
        held_out
            Share of the cells that are held out.
        thin
            Split molecules. If not, models see whole cells, and held-out cells are placed by the
            counts that they are scored on; where reads come in pairs, as ATAC's often do,
            splitting would part these.
        max_epochs
            Of each training; by default as for :meth:`train`.
        seed
            Of the split, the halves and the trainings.
        model_kwargs
            Further arguments of the model.
        **train_kwargs
            Further arguments of :meth:`train`.

        Returns
        -------
        One row for each modality and likelihood:

        - ``log_likelihood``, mean over held-out cells (nats a cell), and its standard error
          ``se``; missing for ``"bernoulli"``, which does not tell counts apart;
        - ``difference`` from the modality's first likelihood, cell by cell, and ``difference_se``;
        - ``detection``, log-likelihood of which features have counts at all, which all can be
          compared by, and ``detection_se``;
        - ``n_cells``, held-out cells with counts in the modality.

        Raises
        ------
        ValueError
            If modality or likelihood are not there, ``held_out`` is no share that leaves cells on
            both sides, or ``adata`` is backed by a file.

        Examples
        --------
        >>> MultiDGD.setup_mudata(mdata)  # doctest: +SKIP
        >>> MultiDGD.compare_likelihoods(  # doctest: +SKIP
        ...     mdata, {"prot": ["nb", "poisson", "protein"]}
        ... )
        """
        if adata.isbacked:
            raise ValueError(
                f"`adata` is backed by the file {adata.filename}, but halves of its counts are made "
                "in memory: read it without `backed`."
            )
        integer("seed", seed)
        manager = cls._get_most_recent_anndata_manager(adata, required=True)
        registry = manager.registry
        modalities = list(manager.summary.features)
        given = dict(model_kwargs or {})
        base = _base(given.pop("likelihoods", None), likelihoods, modalities)
        n_held_out = round(finite("held_out", held_out) * adata.n_obs)
        if not 0 < n_held_out < adata.n_obs:
            raise ValueError(
                f"`held_out` must leave cells on both sides, found {held_out} of {adata.n_obs}."
            )
        generator = np.random.default_rng(seed)
        order = generator.permutation(adata.n_obs)
        cells = np.sort(order[n_held_out:]), np.sort(order[:n_held_out])
        train, held = (_without_registration(adata[c].copy()) for c in cells)
        layers = registry["setup_args"].get("layers" if isinstance(adata, MuData) else "layer")
        place, score = held, held
        if thin:
            train, _ = _halves(train, layers, modalities, generator)
            place, score = _halves(held, layers, modalities, generator)
            kept = [_with_counts(x, layers, modalities) for x in (train, place, score)]
            train = train[kept[0]].copy()
            place, score = (x[kept[1] & kept[2]].copy() for x in (place, score))

        before = settings.seed
        fits: dict[tuple[str, ...], pd.DataFrame] = {}
        rows = []
        try:
            for modality, names in likelihoods.items():
                for name in names:
                    chosen = {**base, modality: name}
                    # The first likelihoods of all modalities together are fitted once.
                    key = tuple(chosen.values())
                    if key not in fits:
                        settings.seed = seed
                        setup = getattr(cls, registry["setup_method_name"])
                        setup(train, **registry["setup_args"])
                        model = cls(train, likelihoods=chosen, **given)
                        model.train(max_epochs=max_epochs, **train_kwargs)
                        fits[key] = model._held_out(place, score)
                    rows.append((modality, name, fits[key]))
        finally:
            settings.seed = before
        return _table(rows, fits[tuple(base.values())])

    @torch.inference_mode()
    def _held_out(self, place: AnnData | MuData, score: AnnData | MuData) -> pd.DataFrame:
        """Log-likelihood of each cell, by modality, of counts and of detection."""
        cells, w = self._representation(self._manager_of(place), None, None)
        module = self.module
        found: dict[tuple[str, str], list[torch.Tensor]] = {}
        for batch, rows in self._batches_with(self._manager_of(score), cells, w, 512):
            for modality, logits in module.generative(rows, batch["continuous"])["logits"].items():
                counts, likelihood = batch["counts"][modality], module.likelihood(modality)
                measured = counts.library > 0
                whole = likelihood.log_prob(logits, counts).where(measured, torch.nan)
                zero = likelihood.log_prob_zero(likelihood.mean(logits, counts.library))
                at = counts.rows, counts.columns
                odds = torch.log(-torch.expm1(zero[at].clamp(max=-1e-12))) - zero[at]
                seen = zero.sum(1).index_add(0, counts.rows, odds).where(measured, torch.nan)
                found.setdefault((modality, "counts"), []).append(whole.cpu())
                found.setdefault((modality, "detection"), []).append(seen.cpu())
        return pd.DataFrame({key: torch.cat(parts).numpy() for key, parts in found.items()})


def _base(
    given: str | Mapping[str, str] | None,
    likelihoods: Mapping[str, Sequence[str]],
    modalities: list[str],
) -> dict[str, str]:
    """The likelihood of each modality while another one's are compared."""
    base = likelihood_names(modalities, given or {})
    if not isinstance(likelihoods, Mapping) or not likelihoods:
        raise ValueError(
            "`likelihoods` must name a modality and what to compare, as in "
            f"{{{modalities[0]!r}: ['nb', 'poisson']}}, found {likelihoods!r}."
        )
    for modality, names in likelihoods.items():
        if modality not in modalities:
            raise ValueError(f"`likelihoods` names {modality!r}, not one of {modalities}.")
        if isinstance(names, str) or not len(names):
            raise ValueError(f"`likelihoods` must list names for {modality!r}, found {names!r}.")
        for name in names:
            get_likelihood(name)
        base[modality] = names[0]
    return base


def _table(rows: list[tuple[str, str, pd.DataFrame]], first: pd.DataFrame) -> pd.DataFrame:
    """Means and standard errors of scores, and of their difference from ``first``.

    ``rows`` has the scores by modality and likelihood; ``first`` those with the first likelihood
    of every modality.
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
    """Forget that a copy was registered, or it would be taken for the original."""
    for key in [k for k in data.uns if k.startswith("_scvi")]:
        del data.uns[key]
    return data


def _parts(
    data: AnnData | MuData, layers: _Layers, modalities: list[str]
) -> list[tuple[AnnData, str | None]]:
    """Each matrix of counts: the object and the layer that hold it."""
    if isinstance(data, MuData):
        by_modality = layers if isinstance(layers, Mapping) else {}
        return [(data.mod[m], by_modality.get(m)) for m in modalities]
    return [(data, cast("str | None", layers))]


def _counts(part: AnnData, layer: str | None) -> sparse.csr_matrix:
    return sparse.csr_matrix(part.X if layer is None else part.layers[layer])


def _halves(
    data: _Data, layers: _Layers, modalities: list[str], generator: np.random.Generator
) -> tuple[_Data, _Data]:
    """Two copies that share the molecules of every cell at random."""
    halves = data.copy(), data.copy()
    pairs = zip(*(_parts(x, layers, modalities) for x in halves), strict=True)
    for (one, layer), (other, _) in pairs:
        whole = _counts(one, layer)
        x = whole.copy()
        x.data = generator.binomial(whole.data.astype(np.int64), 0.5).astype(np.float32)
        for part, half in ((one, x), (other, sparse.csr_matrix(whole - x))):
            half.eliminate_zeros()
            if layer is None:
                part.X = half
            else:
                part.layers[layer] = half
    return halves


def _with_counts(data: AnnData | MuData, layers: _Layers, modalities: list[str]) -> np.ndarray:
    """Mask of the cells that have counts in any modality."""
    total = pd.Series(0.0, index=data.obs_names)
    for part, layer in _parts(data, layers, modalities):
        here = np.asarray(_counts(part, layer).sum(1)).ravel()
        total.loc[part.obs_names] += here
    return (total > 0).to_numpy()
