"""Posterior predictive samples."""

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
from multiDGD.model.core._random import new_generator, resolve_seed
from multiDGD.model.decoding._decoding import DecodingMixin
from multiDGD.module import FeaturePanels, FeatureSubset


class PredictiveMixin(DecodingMixin):
    """Posterior predictive samples in the format of :mod:`scvi.criticism`."""

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
        """Draw counts from the posterior predictive distribution of each cell.

        A representation is drawn from the posterior of the cell (Laplace approximation). Counts
        are then drawn from the likelihoods, with the cell's own library sizes. Features that the
        cell's panel lacks are drawn as well.

        :class:`scvi.criticism.PosteriorPredictiveCheck` of scvi-tools 1.4 requires sparse counts
        of an integer type: set ``adata.X = adata.X.astype(int)`` before the setup.

        Parameters
        ----------
        adata
            Cells; those of the model by default.
        indices
            Positions or a mask of the selected cells; all by default.
        transform_batch
            Category of the ``batch_key`` in which all cells are decoded. Default: the cell's own
            batch.
        n_samples
            Number of draws of each cell, with ``scvi.settings.seed``.
        gene_list
            Names of the features to return, of any modality; all by default.
        batch_size
            Number of cells in a minibatch; ``scvi.settings.batch_size`` by default. The
            ``n_samples`` draws of a minibatch are dense.
        silent
            Accepted as in scvi-tools; it has no effect, since there is no progress bar.

        Returns
        -------
        :class:`sparse.GCXS` of shape ``(n_cells, n_features)`` for one draw and
        ``(n_cells, n_features, n_samples)`` for several, with features in the order of ``adata``.
        For a MuData, a dictionary of these arrays by modality.

        Raises
        ------
        ValueError
            If a feature or the category does not exist, or ``n_samples`` is not positive.

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
        # A dependency of scvi-tools with a slow import.
        from sparse import GCXS, concatenate  # type: ignore[import-untyped]

        positive_int("n_samples", n_samples)
        manager = self._manager_of(adata)
        columns_by_key = self._output_columns(manager, gene_list)
        device = self.module.device
        found: dict[str, list[Any]] = {key: [] for key in columns_by_key}
        subset = FeatureSubset(self.module, manager.observed)
        panels = self._panels(manager)
        generator = new_generator(resolve_seed(), device=device)
        for batch, posterior in self._posteriors(manager, indices, batch_size):
            shape = (n_samples, *posterior.mean.shape)
            normal = posterior.mean.new_empty(shape).normal_(generator=generator)
            draws = []
            for w in posterior.at(normal):
                w_batch = self._with_batch(w, transform_batch)
                draws.append(self._sample_counts(subset, panels, batch, w_batch, generator))
            for key, columns in columns_by_key.items():
                x = np.stack([columns.select(drawn) for drawn in draws], axis=2)
                x = x[:, :, 0] if n_samples == 1 else x
                found[key].append(GCXS.from_numpy(x, compressed_axes=(0,)))
        arrays = {key: concatenate(parts, axis=0) for key, parts in found.items()}
        return arrays if isinstance(manager.adata, MuData) else next(iter(arrays.values()))

    def _output_columns(
        self, manager: CellManager, wanted: Sequence[str] | None
    ) -> dict[str, Columns]:
        """Columns of each returned array, by modality; for an AnnData, one array of all."""
        measured = {m: self.summary.features[m][at] for m, at in manager.observed.items()}
        data = manager.adata
        if wanted is not None:
            known = set(np.concatenate(list(measured.values())).astype(str))
            unknown = [str(w) for w in wanted if str(w) not in known]
            if unknown:
                near = nearest(unknown[0], known)
                raise ValueError(
                    f"`gene_list`: {unknown[0]!r} was not measured or does not exist. Nearest "
                    f"names: {near}."
                )
        if isinstance(data, MuData):
            return {m: _columns({m: measured[m]}, data.mod[m].var_names, wanted) for m in measured}
        return {"": _columns(measured, data.var_names, wanted)}

    def _sample_counts(
        self,
        subset: FeatureSubset,
        panels: FeaturePanels,
        batch: dict[str, Any],
        w: Tensor,
        generator: torch.Generator,
    ) -> dict[str, np.ndarray]:
        """Draw dense counts of each modality and all features of the object."""
        counts = subset.batch(batch)["counts"]
        logits = subset.module.generative(w, batch["continuous"])["logits"]
        drawn = {}
        for m, a in logits.items():
            likelihood = subset.module.likelihood(m)
            library_n = counts[m].library.to(a)
            mask = panels.measured(batch["cells"].cpu().numpy(), m)[:, subset.positions[m]]
            if not mask.all():
                # The library size of all features, extrapolated from those of the cell's panel.
                mask = mask.to(a)
                shares_nf = likelihood.shares(a)
                own_n = (shares_nf * mask).sum(1).clamp(min=torch.finfo(a.dtype).tiny)
                library_n = library_n * shares_nf.sum(1) / own_n
            mean = likelihood.mean(a, library_n)
            drawn[m] = likelihood.sample(mean, generator).cpu().numpy()
        return drawn


class Columns(NamedTuple):
    """Selection of columns of the joined modalities."""

    modalities: list[str]
    at: np.ndarray

    def select(self, drawn: Mapping[str, np.ndarray]) -> np.ndarray:
        """Select the columns, shape ``(n, len(at))``."""
        return np.concatenate([drawn[m] for m in self.modalities], axis=1)[:, self.at]


def _columns(
    measured: Mapping[str, np.ndarray], order: pd.Index, wanted: Sequence[str] | None
) -> Columns:
    names = pd.Index(np.concatenate(list(measured.values())))
    kept = order[order.isin(names if wanted is None else names.intersection(list(wanted)))]
    return Columns(list(measured), names.get_indexer(kept))
