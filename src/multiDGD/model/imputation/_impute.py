"""Imputation of counts in missing modalities."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from anndata import AnnData
from mudata import MuData
from torch import Tensor, nn

from multiDGD._checks import positive, positive_int
from multiDGD.data import CellManager
from multiDGD.model.core._output_array import check_out, new_array, write_rows
from multiDGD.model.core._posterior import DecoderInput
from multiDGD.model.core._random import new_generator, resolve_seed
from multiDGD.stats import ResidualRegression

from ._learning import ImputerMixin, log_normal


class ImputationMixin(ImputerMixin):
    """Expected and sampled counts of missing modalities."""

    @torch.inference_mode()
    def impute(
        self,
        adata: AnnData | MuData | None = None,
        modality: str | None = None,
        indices: Sequence[int] | None = None,
        gene_list: Sequence[str] | None = None,
        n_samples: int | None = None,
        library_size: float | None = None,
        transform_batch: str | int | None = None,
        batch_size: int | None = None,
        return_numpy: bool = False,
        key_added: str | None = None,
        silent: bool = False,
        out: str | Path | None = None,
        feature_list: Sequence[str] | None = None,
    ) -> pd.DataFrame | np.ndarray | None:
        """Impute the counts of one modality, measured or not.

        The representation of each cell is inferred from its measured modalities, and the expected
        counts are decoded from it. Missing library sizes are predicted from the representation
        and the cell's other library sizes, by a regression fitted to training cells.

        For features with a mean of at least one count per cell, the decoded value is combined
        with a kernel ridge regression of log counts. It uses training cells with similar
        representations in which the modality and others were measured. It is fitted at the end of
        training, and its weight is the one that explains held-out cells best. Cells in which the
        modality was measured keep the decoded value. So do all cells if fewer than 20 held-out
        cells have this modality and another one.

        To evaluate imputation, remove the modality from ``adata``; otherwise it contributes to
        the representations.

        Parameters
        ----------
        adata
            Cells; those of the model by default.
        modality
            Name of the modality to impute. It may be omitted if exactly one modality is missing.
        indices
            Positions or a mask of the selected cells; all by default.
        gene_list
            Names of the features to return; all by default.
        n_samples
            Number of draws of counts, with ``scvi.settings.seed``. By default, the expected
            counts are returned. Each draw includes the uncertainty of the representation, of the
            decoder and of the predicted library size, and the variance of held-out cells beyond
            that of the likelihood.
        library_size
            Total count of every cell, or a factor on the count of a modality with one feature. By
            default, the cell's own library size if the modality was
            measured, and the predicted one otherwise.
        transform_batch
            Category of the ``batch_key`` in which all cells are decoded. Default: the cell's own
            batch.
        batch_size
            Number of cells in a minibatch; ``scvi.settings.batch_size`` by default.
        return_numpy
            Return an array instead of a table.
        key_added
            Write the table to ``adata.obsm[key_added]`` and return `None`.
        silent
            Whether to hide the progress bars.
        out
            File or folder for the array, as for :meth:`get_normalized_expression`.
        feature_list
            Former name of ``gene_list``.

        Returns
        -------
        Counts, shape ``(n_cells, n_features)``. Several draws are always an array of shape
        ``(n_samples, n_cells, n_features)``.

        Raises
        ------
        ValueError
            If the modality does not exist, ``modality`` is required, or an argument is invalid.

        Examples
        --------
        >>> proteins = model.impute(rna_only, modality="prot")  # doctest: +SKIP
        """
        if n_samples is not None:
            positive_int("n_samples", n_samples)
        if library_size is not None:
            positive("library_size", library_size)
        if key_added is not None and (indices is not None or (n_samples or 1) > 1):
            raise ValueError(
                "`key_added` requires one table of all cells: omit `indices` and draw at most "
                "one sample."
            )
        if key_added is not None and out is not None:
            raise ValueError("`key_added` and `out` exclude each other: leave out one of them.")
        check_out(out)
        manager = self._manager_of(adata)
        modality = (
            self._missing_modality(manager) if modality is None else self._modality(modality)
        )
        if gene_list is not None and feature_list is not None:
            raise ValueError("`feature_list` is the former name of `gene_list`: pass one of them.")
        wanted = feature_list if gene_list is None else gene_list
        features = self._features(modality, "gene_list", wanted)
        likelihood = self.module.likelihood(modality)
        module = self.module
        is_drawn = n_samples is not None
        _, w = self._representation(manager, indices, batch_size, silent)
        library_nm = self._complete_libraries(manager, indices, batch_size)
        is_missing_n = torch.from_numpy(library_nm[:, module.modalities.index(modality)] == 0)
        regression = self._residual_regression(modality)
        # The residual regression was fitted to means at predicted library sizes.
        library_n, spread_n = self._predicted_libraries(
            library_nm, w, modality, None if regression else library_size
        )
        # Another key than that of the draws of representations.
        key = (resolve_seed(), 1)
        generator = new_generator(*key, device=module.device) if is_drawn else None

        def counts(inputs: Iterable[DecoderInput], output: nn.Linear) -> Iterator[np.ndarray]:
            first = 0
            for w, continuous, _ in inputs:
                here = slice(first, first + len(w))
                first = here.stop
                given = DecoderInput(
                    self._with_batch(w, transform_batch), continuous, library_n[here].to(w)
                )
                is_missing = is_missing_n[here].to(w.device)
                log1p = self._decoded_log1p(modality, given, output)
                if regression is not None:
                    x_np = self._regressors(w, library_nm[here], modality)
                    average = self._average_log1p(modality, given, output, log1p)
                    corrected = regression.corrected(x_np, log1p, average)
                    log1p[is_missing] = corrected[is_missing]
                mean = log1p.expm1()
                if generator is not None:
                    spread = spread_n[here].to(mean)
                    mean = _sample_means(mean, spread, is_missing, regression, generator)
                if library_size is not None:
                    own_n = likelihood.mean_function.library(mean, given.library)
                    mean = mean * (library_size / own_n)[:, None]
                values = likelihood.sample(mean, generator) if is_drawn else mean
                yield values[:, features].cpu().numpy()

        n_draws = n_samples or 1
        shape = (len(w), len(features))
        draws = self._decoder_samples(manager, indices, modality, n_samples, batch_size, silent)
        with new_array((n_draws, *shape) if n_draws > 1 else shape, out) as array:
            for draw, (inputs, output) in enumerate(draws):
                write_rows(array, counts(inputs, output), draw=draw if n_draws > 1 else None)
        if n_draws > 1 or out is not None or (return_numpy and key_added is None):
            return array
        table = self._table(array, manager, indices, modality, features)
        if key_added is None:
            return table
        target = self.adata if adata is None else adata
        target.obsm[key_added] = table
        return None

    def _missing_modality(self, manager: CellManager) -> str:
        """Name of the only modality that was not measured in any cell."""
        missing = [m for m in self.module.modalities if m not in manager.observed]
        if len(missing) != 1:
            n_missing = (manager.libraries == 0).sum(0)
            found = ", ".join(
                f"{m!r} in {n:,}" for m, n in zip(self.module.modalities, n_missing, strict=True)
            )
            raise ValueError(
                "`modality` is required unless exactly one modality is missing from all cells. "
                f"Missing of {len(manager.libraries):,} cells: {found}."
            )
        return missing[0]

    def _predicted_libraries(
        self,
        library_nm: np.ndarray,
        w: Tensor,
        modality: str,
        library_size: float | None,
    ) -> tuple[Tensor, Tensor]:
        """Library sizes in one modality and standard deviations of their logarithms."""
        if library_size is not None:
            given_n = torch.full((len(w),), float(library_size), dtype=torch.float32)
            return given_n, torch.zeros_like(given_n)
        z_nl = w[:, : self.module.n_latent].cpu().numpy()
        imputer = self._learned.imputers.get(modality)
        regression = self._learned.library_regression if imputer is None else imputer.depth
        if regression is None:
            raise ValueError(
                "`library_size` is required: the saved model contains no regression of library "
                "sizes."
            )
        library_n, spread_n = regression.predict(z_nl, library_nm, modality)
        return torch.from_numpy(library_n), torch.from_numpy(spread_n)


def _sample_means(
    mean_nf: Tensor,
    spread_n: Tensor,
    is_missing_n: Tensor,
    regression: ResidualRegression | None,
    generator: torch.Generator,
) -> Tensor:
    """Draw means given the representation and the decoder.

    The log library size has the standard deviation ``spread_n``. If the modality is missing, the
    means also have the excess variance of held-out cells.
    """
    mean_nf = log_normal(mean_nf, spread_n.square()[:, None], generator)
    if regression is not None:
        variance_nf = torch.zeros_like(mean_nf)
        variance_nf[:, regression.features] = regression.scatter
        mean_nf[is_missing_n] = log_normal(mean_nf, variance_nf, generator)[is_missing_n]
    return mean_nf
