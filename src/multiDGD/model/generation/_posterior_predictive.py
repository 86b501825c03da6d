"""Counts that the model would have drawn in the cells' place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from anndata import AnnData
from mudata import MuData
from torch import Tensor

from multiDGD._checks import positive_int
from multiDGD._names import nearest
from multiDGD.data import CellManager
from multiDGD.model.core._random import isolated_rng, resolve_seed
from multiDGD.model.decoding._decoding import DecodingMixin
from multiDGD.module import FeatureSubset


class PredictiveMixin(DecodingMixin):
    """Posterior predictive samples, with which :mod:`scvi.criticism` works."""

    @torch.inference_mode(False)
    @torch.no_grad()
    def posterior_predictive_sample(
        self,
        adata: AnnData | MuData | None = None,
        indices: Sequence[int] | None = None,
        transform_batch: str | int | None = None,
        n_samples: int = 1,
        gene_list: Sequence[str] | None = None,
        batch_size: int | None = None,
        silent: bool = True,
    ) -> Any:
        """Draw counts of cells like these.

        A representation is drawn from each cell's posterior (by Laplace's approximation), then
        counts from the likelihoods, with the cell's own libraries.

        :class:`scvi.criticism.PosteriorPredictiveCheck` of scvi-tools 1.4 takes sparse counts
        only if their type is an integer: ``adata.X = adata.X.astype(int)`` before the setup.

        Parameters
        ----------
        adata, indices
            As for :meth:`get_latent_representation`.
        transform_batch
            Category of the ``batch_key`` in which all cells are decoded; their own by default.
        n_samples
            Draws of each cell, with ``scvi.settings.seed``.
        gene_list
            Features to return, of any modality; all by default.
        batch_size
            Cells handled at a time, of each of which ``n_samples`` dense draws are held. Defaults
            to ``scvi.settings.batch_size``.
        silent
            Accepted as in scvi-tools; there is no progress bar.

        Returns
        -------
        :class:`sparse.GCXS` of shape ``(n_cells, n_features)`` with one draw, else
        ``(n_cells, n_features, n_samples)``, the features in the order of ``adata``; for a MuData
        a dictionary of these by modality.

        Raises
        ------
        ValueError
            If features or category are not there, or ``n_samples`` is not positive.

        Examples
        --------
        >>> from multiDGD import MultiDGD
        >>> from multiDGD.datasets import simulate_multiome
        >>> adata = simulate_multiome(n_cells=60, n_genes=30, n_peaks=40)["rna"].copy()
        >>> MultiDGD.setup_anndata(adata)
        >>> model = MultiDGD(adata, n_latent=3)
        >>> model.train(max_epochs=2, enable_progress_bar=False)
        >>> model.posterior_predictive_sample(n_samples=3).shape
        (60, 30, 3)
        """
        # Comes with scvi-tools, and takes a while to import.
        from sparse import GCXS, concatenate  # type: ignore[import-untyped]

        positive_int("n_samples", n_samples)
        manager = self._manager_of(adata)
        chosen = self._chosen(manager, gene_list)
        device = self.module.device
        found: dict[str, list[Any]] = {key: [] for key in chosen}
        seen = FeatureSubset(self.module, manager.observed)
        with isolated_rng(device, resolve_seed()):
            for batch, posterior in self._posteriors(manager, indices, batch_size):
                shape = (n_samples, *posterior.mean.shape)
                rows_snd = posterior.at(torch.randn(shape, device=device))
                draws = [
                    self._draw_like(seen, batch, self._with_batch(w, transform_batch))
                    for w in rows_snd
                ]
                for key, columns in chosen.items():
                    x = np.stack([columns.of(drawn) for drawn in draws], axis=2)
                    x = x[:, :, 0] if n_samples == 1 else x
                    found[key].append(GCXS.from_numpy(x, compressed_axes=(0,)))
        arrays = {key: concatenate(parts, axis=0) for key, parts in found.items()}
        return arrays if isinstance(manager.adata, MuData) else next(iter(arrays.values()))

    def _chosen(self, manager: CellManager, wanted: Sequence[str] | None) -> dict[str, Columns]:
        """What to return by key: for an AnnData all modalities together."""
        seen = {m: self.summary.features[m][at] for m, at in manager.observed.items()}
        data = manager.adata
        if wanted is not None:
            known = set(np.concatenate(list(seen.values())).astype(str))
            unknown = [str(w) for w in wanted if str(w) not in known]
            if unknown:
                near = nearest(unknown[0], known)
                raise ValueError(f"`gene_list`: no feature {unknown[0]!r}. Nearest names: {near}.")
        if isinstance(data, MuData):
            return {m: _columns({m: seen[m]}, data.mod[m].var_names, wanted) for m in seen}
        return {"": _columns(seen, data.var_names, wanted)}

    def _draw_like(
        self, seen: FeatureSubset, batch: dict[str, Any], w: Tensor
    ) -> dict[str, np.ndarray]:
        """Dense counts of each measured modality."""
        counts = seen.batch(batch)["counts"]
        logits = seen.module.generative(w, batch["continuous"])["logits"]
        drawn = {}
        for m, a in logits.items():
            likelihood = seen.module.likelihood(m)
            drawn[m] = likelihood.sample(likelihood.mean(a, counts[m].library.to(a))).cpu().numpy()
        return drawn


class Columns(NamedTuple):
    """Some columns of the modalities put side by side."""

    modalities: list[str]
    at: np.ndarray

    def of(self, drawn: Mapping[str, np.ndarray]) -> np.ndarray:
        """Take them, shape ``(n, len(at))``."""
        return np.concatenate([drawn[m] for m in self.modalities], axis=1)[:, self.at]


def _columns(
    seen: Mapping[str, np.ndarray], order: pd.Index, wanted: Sequence[str] | None
) -> Columns:
    names = pd.Index(np.concatenate(list(seen.values())))
    kept = order[order.isin(names if wanted is None else names.intersection(list(wanted)))]
    return Columns(list(seen), names.get_indexer(kept))
