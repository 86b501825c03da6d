"""What would have been counted in a modality that was not measured."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext

import numpy as np
import pandas as pd
import torch
from anndata import AnnData
from mudata import MuData
from torch import Tensor

from multiDGD._checks import positive, positive_int
from multiDGD.data import CellManager
from multiDGD.model.core._posterior import DecoderInput
from multiDGD.model.core._random import isolated_rng, resolve_seed
from multiDGD.stats import ResidualRegression

from ._learning import ImputerMixin, log_normal


class ImputationMixin(ImputerMixin):
    """Counts of cells in modalities that they lack."""

    @torch.inference_mode()
    def impute(
        self,
        adata: AnnData | MuData | None = None,
        modality: str | None = None,
        indices: Sequence[int] | None = None,
        feature_list: Sequence[str] | None = None,
        n_samples: int | None = None,
        library_size: float | None = None,
        transform_batch: str | int | None = None,
        batch_size: int | None = None,
        return_numpy: bool = False,
        key_added: str | None = None,
    ) -> pd.DataFrame | np.ndarray | None:
        """Counts to be expected of cells in a modality, measured or not.

        Cells are placed by what was measured in them. What they would have counted in the
        modality is the decoder's answer there, for a library of the size that cells with such a
        representation and such libraries in the other modalities had in training.

        For features that are counted at least once a cell on average, this is mixed with what
        training cells that have the modality and others counted at such places: a kernel ridge
        regression of log counts, learned at the end of training, whose share is what explains
        held-out cells best. Cells that have the modality keep the decoder's answer, and so do all
        if fewer than 20 held-out cells have it and another one.

        To see how good this is, leave the modality out of ``adata``: where it is there, it has
        its say in where the cells lie.

        Parameters
        ----------
        adata, indices
            As for :meth:`get_latent_representation`.
        modality
            The one to impute; may be left out if the cells lack exactly one.
        feature_list
            Features to return, all by default.
        n_samples
            Draw counts that often (with ``scvi.settings.seed``) in place of their mean, each time
            from another draw of the cells' places, of the decoder, of the library around what is
            predicted for it, and of what cells at one place scatter beyond their counts'
            likelihood, as far as held-out cells did.
        library_size
            Total count of every cell. By default the cell's own where the modality was measured,
            and else as predicted.
        transform_batch
            Category of the ``batch_key`` in which all cells are decoded; their own by default.
        batch_size
            Cells handled at a time. Defaults to ``scvi.settings.batch_size``.
        return_numpy
            Return an array in place of a table.
        key_added
            Write the table into ``adata.obsm[key_added]`` and return nothing.

        Returns
        -------
        Shape ``(n_cells, n_features)``, in counts; ``(n_samples, n_cells, n_features)``, always
        an array, for several draws.

        Raises
        ------
        ValueError
            If there is no such modality, ``modality`` is needed, or an argument cannot be used.

        Examples
        --------
        >>> proteins = model.impute(rna_only, modality="prot")  # doctest: +SKIP
        """
        if n_samples is not None:
            positive_int("n_samples", n_samples)
        if library_size is not None:
            positive("library_size", library_size)
        if key_added is not None and (indices is not None or (n_samples or 1) > 1):
            raise ValueError("`key_added` needs one table of all cells: leave out `indices`.")
        manager = self._manager_of(adata)
        modality = self._lacking(manager) if modality is None else self._modality(modality)
        features = self._features(modality, "feature_list", feature_list)
        likelihood = self.module.likelihood(modality)
        module = self.module
        is_drawn = n_samples is not None
        _, w = self._representation(manager, indices, batch_size)
        library_nm = self._complete_libraries(manager, indices, batch_size)
        lacks_n = torch.from_numpy(library_nm[:, module.modalities.index(modality)] == 0)
        regression = self._regression(modality)
        # What mends the answer was learned for libraries as predicted.
        library_n, spread_n = self._depth(
            library_nm, w, modality, None if regression else library_size
        )
        tables = []
        with isolated_rng(module.device, resolve_seed()) if is_drawn else nullcontext():
            for inputs, output in self._decoder_samples(
                manager, indices, modality, n_samples, batch_size
            ):
                parts = [np.zeros((0, len(features)), np.float32)]
                first = 0
                for w, continuous, _ in inputs:
                    here = slice(first, first + len(w))
                    first = here.stop
                    given = DecoderInput(
                        self._with_batch(w, transform_batch), continuous, library_n[here].to(w)
                    )
                    lacks = lacks_n[here].to(w.device)
                    log1p = self._decoded_log1p(modality, given, output)
                    if regression is not None:
                        x_np = self._regressors(w, library_nm[here], modality)
                        average = self._average_log1p(modality, given, output, log1p)
                        log1p[lacks] = regression.corrected(x_np, log1p, average)[lacks]
                    mean = log1p.expm1()
                    if is_drawn:
                        mean = _with_scatter(mean, spread_n[here].to(mean), lacks, regression)
                    if library_size is not None:
                        mean = mean * (library_size / mean.sum(1, keepdim=True))
                    values = likelihood.sample(mean) if is_drawn else mean
                    parts.append(values[:, features].cpu().numpy())
                tables.append(np.concatenate(parts))
        array = np.stack(tables)
        if len(array) > 1:
            return array
        if return_numpy and key_added is None:
            return array[0]
        table = self._table(array[0], manager, indices, modality, features)
        if key_added is None:
            return table
        target = self.adata if adata is None else adata
        target.obsm[key_added] = table
        return None

    def _lacking(self, manager: CellManager) -> str:
        """The one modality that was measured in no cell."""
        lacking = [m for m in self.module.modalities if m not in manager.observed]
        if len(lacking) != 1:
            raise ValueError(
                f"`modality` is needed: the cells lack {lacking or 'none'} of "
                f"{self.module.modalities}."
            )
        return lacking[0]

    def _depth(
        self,
        library_nm: np.ndarray,
        w: Tensor,
        modality: str,
        library_size: float | None,
    ) -> tuple[Tensor, Tensor]:
        """Total count of each cell in one modality, and the deviation of its logarithm."""
        if library_size is not None:
            return torch.full((len(w),), float(library_size)), torch.zeros(len(w))
        z_nl = w[:, : self.module.n_latent].cpu().numpy()
        imputer = self._learned.imputers.get(modality)
        depth_model = self._learned.library_regression if imputer is None else imputer.depth
        if depth_model is None:
            raise ValueError("`library_size` is needed: the model was saved without a regression.")
        library_n, spread_n = depth_model.predict(z_nl, library_nm, modality)
        return torch.from_numpy(library_n), torch.from_numpy(spread_n)


def _with_scatter(
    mean_nf: Tensor, spread_n: Tensor, lacks_n: Tensor, regression: ResidualRegression | None
) -> Tensor:
    """Means with a draw of what is not known of them beside place and decoder.

    That is the library, whose logarithm has the deviation ``spread_n``, and in cells that lack the
    modality what cells at one place scatter.
    """
    mean_nf = log_normal(mean_nf, spread_n.square()[:, None])
    if regression is not None:
        variance_nf = torch.zeros_like(mean_nf)
        variance_nf[:, regression.features] = regression.scatter
        mean_nf[lacks_n] = log_normal(mean_nf, variance_nf)[lacks_n]
    return mean_nf
