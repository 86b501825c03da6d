"""Probability that counts are foreground and not background."""

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
    """Foreground probabilities of modalities whose likelihood has a background component."""

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
        silent: bool = True,
    ) -> pd.DataFrame | np.ndarray:
        """Compute the probability that each protein count is foreground and not background.

        For an observed count, this is the posterior probability of the foreground component of
        the likelihood, at the decoded mean. Otherwise it is the prior probability at the decoded
        mean, for the cell's own library size or the median of the training cells. This applies to
        proteins that were not measured, and to all proteins with ``transform_batch``.

        Parameters
        ----------
        adata
            Cells; those of the model by default.
        indices
            Positions or a mask of the selected cells; all by default.
        transform_batch
            Category of the ``batch_key`` in which all cells are decoded. The probabilities are
            averaged over several categories. Default: the cell's own batch.
        protein_list
            Names of the proteins to return; all by default.
        n_samples
            Number of draws from the posterior of representations and decoder, with
            ``scvi.settings.seed``. By default, the MAP estimate is decoded.
        batch_size
            Number of cells in a minibatch; ``scvi.settings.batch_size`` by default.
        return_mean
            Return the mean of the draws; if `False`, return an array with all draws.
        return_numpy
            Return an array instead of a table.
        modality
            Name of the modality; by default the first one whose likelihood has a background
            component.
        out
            As for :meth:`get_normalized_expression`.
        silent
            Whether to hide the progress bars.

        Returns
        -------
        Probabilities, shape ``(n_cells, n_proteins)``. All draws have shape
        ``(n_samples, n_cells, n_proteins)``.

        Raises
        ------
        ValueError
            If the likelihood of the modality has no background component, or the modality, a
            protein or the category does not exist.

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
        library_n = self._library_or_median(library_nm, modality)
        column = self.module.modalities.index(modality)
        is_measured_n1 = torch.from_numpy(library_nm[:, [column]] > 0)
        panels = self._panels(manager)

        def value(likelihood: Likelihood, share_nf: Tensor, one_n: Tensor, here: slice) -> Tensor:
            x_nf = torch.from_numpy(manager.matrix(modality, cells[here]).toarray()).to(share_nf)
            observed_nf = panels.measured(cells[here], modality).to(x_nf.device)
            measured_n1 = is_measured_n1[here].to(x_nf.device)
            # The library size is the total of the measured features only.
            observed_n = likelihood.mean_function.library(share_nf * observed_nf, one_n)
            observed_share_n1 = observed_n[:, None].where(measured_n1, 1)
            mean_nf = share_nf * library_n[here].to(x_nf)[:, None] / observed_share_n1
            prior_nf = likelihood.foreground_probability(mean_nf)
            if transform_batch is not None:
                return prior_nf
            posterior_nf = likelihood.foreground_probability(mean_nf, x_nf)
            return torch.where(observed_nf & measured_n1, posterior_nf, prior_nf)

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
            silent=silent,
        )

    def _modality_with_background(self, modality: str | None) -> str:
        """Check that a modality has a background component; the default is the first one."""
        if modality is not None:
            self._require_background(self._modality(modality))
            return modality
        likelihoods = {m: self.module.likelihood(m) for m in self.module.modalities}
        found = [m for m, likelihood in likelihoods.items() if likelihood.has_background]
        if found:
            return found[0]
        names = ", ".join(f"{m!r} has {x.name!r}" for m, x in likelihoods.items())
        raise ValueError(
            f"No modality has a likelihood with a background component: {names}. Create the model "
            f"with `likelihoods={{{next(reversed(likelihoods))!r}: 'protein'}}`, or with the name "
            "of the modality that contains the proteins."
        )
