"""Which counts are more than background."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from anndata import AnnData
from mudata import MuData
from torch import Tensor

from multiDGD.model.core._representations import as_positions
from multiDGD.nn import Likelihood

from ._decoding import DecodingMixin


class ForegroundMixin(DecodingMixin):
    """Background and foreground, where the likelihood tells them apart."""

    @torch.inference_mode()
    def get_protein_foreground_probability(
        self,
        adata: AnnData | MuData | None = None,
        indices: Sequence[int] | None = None,
        transform_batch: str | Sequence[str] | None = None,
        protein_list: Sequence[str] | None = None,
        n_samples: int | None = None,
        batch_size: int | None = None,
        return_mean: bool = True,
        return_numpy: bool = False,
        modality: str | None = None,
        out: str | Path | None = None,
    ) -> pd.DataFrame | np.ndarray:
        """Probability that each protein of a cell is more than background.

        Given what was counted of it: the share of the foreground in the likelihood of the count
        at the decoded mean. Where a protein was not measured, and in other batches than the
        cell's own, there is no count; then it is the share that is expected of one, at the cell's
        depth or, where it has none, the training cells' median.

        Parameters
        ----------
        adata, indices
            As for :meth:`get_latent_representation`.
        transform_batch
            Category of the ``batch_key`` in which all cells are decoded, or several, over which
            probabilities are averaged; their own by default.
        protein_list
            Proteins to return, all by default.
        n_samples
            Average over draws from the posterior of the cells' representations and of the
            decoder, as many (with ``scvi.settings.seed``), in place of decoding the estimate.
        batch_size
            Cells handled at a time. Defaults to ``scvi.settings.batch_size``.
        return_mean
            Return the mean of the draws; otherwise all of them, as an array.
        return_numpy
            Return an array in place of a table.
        modality
            Its name; by default the first one whose likelihood has a background.
        out
            As for :meth:`get_normalized_expression`.

        Returns
        -------
        Shape ``(n_cells, n_proteins)``, between 0 and 1; ``(n_samples, n_cells, n_proteins)`` for
        all draws.

        Raises
        ------
        ValueError
            If the modality's likelihood has no background, or modality, proteins or category are
            not there.

        Examples
        --------
        >>> from mudata import MuData
        >>> from multiDGD import MultiDGD
        >>> from multiDGD.datasets import simulate_multiome
        >>> mdata = simulate_multiome(n_cells=100, n_genes=15, n_peaks=20)
        >>> mdata = MuData({"rna": mdata["rna"], "prot": mdata["atac"]})
        >>> MultiDGD.setup_mudata(mdata)
        >>> model = MultiDGD(mdata, n_latent=5, likelihoods={"prot": "protein"})
        >>> model.train(max_epochs=2, enable_progress_bar=False)
        >>> model.get_protein_foreground_probability().shape
        (100, 20)
        """
        modality = self._modality_with_background(modality)
        features = self._features(modality, "protein_list", protein_list)
        manager = self._manager_of(adata)
        cells = as_positions(indices, manager.adata.n_obs)
        library_nm = manager.libraries[cells]
        depth_n = self._library_or_median(library_nm, modality)
        counts = manager.matrix(modality)
        place = self.module.modalities.index(modality)
        is_measured_n1 = torch.from_numpy(library_nm[:, [place]] > 0)
        is_observed_f = torch.zeros(counts.shape[1], dtype=torch.bool)
        is_observed_f[manager.observed.get(modality, [])] = True

        def value(likelihood: Likelihood, share_nf: Tensor, here: slice) -> Tensor:
            x_nf = torch.from_numpy(counts[cells[here]].toarray()).to(share_nf)
            seen_f, seen_n1 = is_observed_f.to(x_nf.device), is_measured_n1[here].to(x_nf.device)
            # A library is the total of the features that were measured.
            of_seen_n1 = (share_nf * seen_f).sum(1, keepdim=True).where(seen_n1, 1)
            mean_nf = share_nf * depth_n[here].to(x_nf)[:, None] / of_seen_n1
            expected_nf = likelihood.foreground_probability(mean_nf)
            if transform_batch is not None:
                return expected_nf
            given_nf = likelihood.foreground_probability(mean_nf, x_nf)
            return torch.where(seen_f & seen_n1, given_nf, expected_nf)

        return self._decoded_table(
            value,
            modality,
            features,
            adata=adata,
            indices=indices,
            library_size=1,
            transform_batch=transform_batch,
            n_samples=n_samples,
            return_mean=return_mean,
            batch_size=batch_size,
            return_numpy=return_numpy,
            out=out,
        )

    def _modality_with_background(self, modality: str | None) -> str:
        if modality is not None:
            self._require_background(self._modality(modality))
            return modality
        likelihoods = {m: self.module.likelihood(m) for m in self.module.modalities}
        found = [m for m, likelihood in likelihoods.items() if likelihood.has_background]
        if found:
            return found[0]
        names = ", ".join(f"{m!r} has {x.name!r}" for m, x in likelihoods.items())
        raise ValueError(
            f"No modality has a likelihood that knows a background: {names}. Make the model with "
            f"`likelihoods={{{next(reversed(likelihoods))!r}: 'protein'}}`, or whichever modality "
            "holds the proteins."
        )
