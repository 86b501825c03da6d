"""What would have been counted in a modality that was not measured."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd
import torch
from anndata import AnnData
from mudata import MuData

from multiDGD.data import CellManager

from ._depth import DepthModel
from ._expression import ExpressionMixin
from ._random import given_seed, own_stream


class ImputationMixin(ExpressionMixin):
    """Counts of modalities that cells lack."""

    depth_model_: dict[str, Any] | None

    def _on_trained(self) -> None:
        super()._on_trained()
        manager = self.adata_manager
        cells = self.train_indices_
        z_nl = self.module.representations.z.detach().cpu().numpy()[cells, : self.module.n_latent]
        library_nm = manager.libraries[cells]
        found = DepthModel.fit(z_nl, library_nm, self.module.modalities)
        # Saved models hold plain values, which no version of this package needs to be there for.
        self.depth_model_ = asdict(found)

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
            from another draw of the cells' places and of the decoder. The library is as predicted
            in all of them.
        library_size
            Total count of every cell. By default the cell's own where the modality was measured,
            and else as predicted.
        transform_batch
            As for :meth:`get_normalized_expression`.
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
        if n_samples is not None and n_samples < 1:
            raise ValueError(f"`n_samples` must be at least 1, found {n_samples}.")
        if library_size is not None and not library_size > 0:
            raise ValueError(f"`library_size` must be above 0, found {library_size}.")
        if key_added is not None and (indices is not None or (n_samples or 1) > 1):
            raise ValueError("`key_added` needs one table of all cells: leave out `indices`.")
        manager = self._manager_of(adata)
        modality = self._lacking(manager) if modality is None else self._modality(modality)
        features = self._features(modality, feature_list)
        likelihood = self.module.likelihood(modality)
        module = self.module
        is_drawn = n_samples is not None
        cells, w = self._representation(manager, indices, batch_size)
        library_n = self._depth(manager.libraries[cells], w, modality, library_size)
        tables = []
        with own_stream(module.device, given_seed()) if is_drawn else nullcontext():
            for inputs, output in self._draws(manager, indices, modality, n_samples, batch_size):
                parts = [np.zeros((0, len(features)), np.float32)]
                first = 0
                for w, continuous, _ in inputs:
                    library = library_n[first : first + len(w)]
                    first += len(w)
                    latent = module.decoder_input(self._as_batch(w, transform_batch), continuous)
                    logits = output(module.decoder.hidden(latent, [modality])[modality])
                    mean = likelihood.mean(logits, library.to(logits))
                    values = likelihood.sample(mean) if is_drawn else mean
                    parts.append(values[:, features].cpu().numpy())
                tables.append(np.concatenate(parts))
        array = np.stack(tables)
        if len(array) > 1:
            return array
        if return_numpy:
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
        w: torch.Tensor,
        modality: str,
        library_size: float | None,
    ) -> torch.Tensor:
        """Total count of each cell in one modality, given those that were measured."""
        if library_size is not None:
            return torch.full((len(w),), float(library_size))
        if self.depth_model_ is None:
            raise ValueError("`library_size` is needed: the model does not know any.")
        z_nl = w[:, : self.module.n_latent].cpu().numpy()
        depth = DepthModel(**self.depth_model_)
        return torch.from_numpy(depth.predict(z_nl, library_nm, modality))
