"""Summary of the components of the mixture."""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch
from anndata import AnnData
from mudata import MuData
from torch import Tensor

from multiDGD._checks import integer
from multiDGD.latent import GaussianMixtureSupervised
from multiDGD.model.core._columns import column_of
from multiDGD.module import category_means

from ._latent import LatentMixin

# Pseudo-share, relative to equal shares of all features. Without it, the largest fold changes
# would be those of features with hardly any counts.
_PSEUDO_SHARE = 0.1


class ComponentMixin(LatentMixin):
    """Table of the components of the mixture."""

    @torch.inference_mode()
    def get_component_summary(
        self,
        adata: AnnData | MuData | None = None,
        label_key: str | None = None,
        n_top_features: int = 5,
    ) -> pd.DataFrame:
        """Summarise the size, labels, position and markers of each mixture component.

        Parameters
        ----------
        adata
            Cells to count; those of the model by default.
        label_key
            Column of ``adata.obs`` with labels; the registered ``labels_key`` by default.
        n_top_features
            Number of top features of each modality.

        Returns
        -------
        Table with one row for each component and the columns:

        - ``label_of_component``, label of the component in a supervised mixture;
        - ``weight``, its weight in the mixture;
        - ``n_cells``, number of cells for which it is the most probable component;
        - ``top_label``, ``top_share`` and ``label_entropy``, the most frequent label of these
          cells, its share, and the entropy of their labels (nats; 0 for a single label), if labels
          are available;
        - ``sd``, geometric mean of its standard deviations over the dimensions;
        - ``nearest`` and ``distance``, the component with the nearest mean and the distance to it;
        - ``top_<modality>``, names and log2 fold changes of the top features. The fold change of a
          feature compares its share of the counts at the mean of the component with the average
          over all components. Covariates are at the average of their categories.

        Raises
        ------
        ValueError
            If the column is missing, or ``n_top_features`` is not an integer of at least 0.

        Examples
        --------
        >>> model.get_component_summary(label_key="cell_type")  # doctest: +SKIP
        """
        integer("n_top_features", n_top_features)
        data = self.adata if adata is None else adata
        labels = self._labels_of(data, label_key)
        component = self.get_cluster_assignments(adata)
        mixture = self.module.mixture
        n = mixture.n_mix_comp
        table = pd.DataFrame(index=pd.RangeIndex(n, name="component"))
        if isinstance(mixture, GaussianMixtureSupervised):
            table["label_of_component"] = np.repeat(self.summary.labels, mixture.Ncompperclass)
        table["weight"] = mixture.mixture_probs().cpu().numpy()
        table["n_cells"] = np.bincount(component, minlength=n)
        if labels is not None:
            table = table.join(_label_composition(component, labels, n))
        table["sd"] = mixture.stddev.log().mean(1).exp().cpu().numpy()
        distance = torch.cdist(mixture.mean, mixture.mean).fill_diagonal_(torch.inf)
        nearest = distance.min(1)
        table["nearest"] = nearest.indices.cpu().numpy() if n > 1 else -1
        table["distance"] = nearest.values.cpu().numpy()
        if n_top_features:
            for modality, lfc_kf in self._fold_changes().items():
                names = self.summary.features[modality]
                table[f"top_{modality}"] = [
                    _top_features(row, names, n_top_features) for row in lfc_kf
                ]
        return table

    def _labels_of(self, data: AnnData | MuData | None, label_key: str | None) -> pd.Series | None:
        """Labels of cells, missing if unknown; `None` without a column of labels."""
        key = label_key or self.registry_["setup_args"].get("labels_key")
        if label_key is not None:
            if data is None:
                raise ValueError(
                    "`label_key` requires `adata`: the model was loaded without data."
                )
            column_of(data.obs, "label_key", label_key)
        if key is None or data is None or key not in data.obs:
            return None
        labels = data.obs[key].astype(object)
        unknown = self.registry_["setup_args"].get("unlabeled_category")
        return labels.where(labels != unknown)

    def _fold_changes(self) -> dict[str, np.ndarray]:
        """Log2 fold changes of each component to the average, shape ``(K, f)``, by modality."""
        module = self.module
        mean_kl = module.mixture.mean
        unknown = torch.full((1, len(self.summary.covariates)), -1, device=module.device)
        u = category_means(module, unknown).expand(len(mean_kl), -1)
        continuous = module.continuous_mean.expand(len(mean_kl), -1)
        logits = module.generative(torch.cat([mean_kl, u], 1), continuous)["logits"]
        weight = module.mixture.mixture_probs()
        shares = {m: module.likelihood(m).shares(a) for m, a in logits.items()}
        return {m: _log2_ratio(y, weight).cpu().numpy() for m, y in shares.items()}


def _log2_ratio(share_kf: Tensor, weight_k: Tensor) -> Tensor:
    pseudo = _PSEUDO_SHARE / share_kf.shape[1]
    return torch.log2((share_kf + pseudo) / (weight_k @ share_kf + pseudo))


def _top_features(lfc_f: np.ndarray, names: np.ndarray, n_top: int) -> str:
    top = np.argsort(-lfc_f, kind="stable")[:n_top]
    return ", ".join(f"{names[j]} ({lfc_f[j]:.1f})" for j in top)


def _label_composition(
    component: np.ndarray, labels: pd.Series, n_components: int
) -> pd.DataFrame:
    """Most frequent label of the cells of each component, its share, and the label entropy."""
    known = labels.notna().to_numpy()
    counts = pd.crosstab(component[known], labels[known].astype(str).to_numpy())
    counts = counts.reindex(range(n_components), fill_value=0)
    if counts.empty:  # no cell has a label
        empty = {"top_label": None, "top_share": np.nan, "label_entropy": np.nan}
        return pd.DataFrame(empty, index=counts.index)
    total = counts.sum(axis=1)
    share = counts.div(total.where(total > 0), axis=0)
    logs = np.log(share.where(share > 0, 1))
    table = pd.DataFrame(index=counts.index)
    table["top_label"] = counts.idxmax(axis=1).where(total > 0)
    table["top_share"] = share.max(axis=1)
    table["label_entropy"] = (share * logs).sum(axis=1).abs().where(total > 0)
    return table
