"""Random subset of the training cells, for simulated cells and for labels of neighbours."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from multiDGD._record import Record
from multiDGD.latent import GaussianMixture

_N_NEIGHBOURS = 10
# The default of scanpy's neighbour graphs.
_N_LABEL_NEIGHBOURS = 15
# Weight of the component's own variances, in cells.
_PSEUDO_CELLS = 5.0
_CHUNK = 1_024


@dataclass(frozen=True)
class CellSubset(Record):
    """Random subset of the training cells, without their counts.

    Attributes
    ----------
    representation
        Representations of z and all covariates, shape ``(n_subset, n_representation)``.
    library
        Total counts, shape ``(n_subset, modalities)``; 0 where a modality was not measured.
    labels
        Codes, -1 if unknown, shape ``(n_subset,)``.
    covariates
        Codes of all registered categorical covariates, shape ``(n_subset, covariates)``.
    continuous
        Continuous covariates, shape ``(n_subset, n_continuous)``.
    """

    representation: np.ndarray
    library: np.ndarray
    labels: np.ndarray
    covariates: np.ndarray
    continuous: np.ndarray

    def within(self, categories: Mapping[int, int]) -> np.ndarray:
        """Mask of the cells in all given categories; of all cells if there are none.

        Parameters
        ----------
        categories
            Code by column of ``covariates``.
        """
        mask = np.ones(len(self.labels), dtype=bool)
        for column, code in categories.items():
            mask &= self.covariates[:, column] == code
        return mask if mask.any() else np.ones_like(mask)

    def covariances(self, mixture: GaussianMixture) -> Tensor:
        """Covariance of the cells of each component around its mean, shape ``(K, L, L)``.

        The component's own covariance is diagonal, and depends on its prior and on the course of
        training. The covariance of its cells is neither diagonal nor equally wide.

        Parameters
        ----------
        mixture
            Mixture over z.
        """
        z_nl = torch.from_numpy(self.representation[:, : mixture.dim]).to(mixture.mean)
        covariances = []
        for mean, stddev, p in zip(
            mixture.mean,
            mixture.stddev,
            mixture.component_log_prob(z_nl).softmax(1).T,
            strict=True,
        ):
            deviation = z_nl - mean
            own = _PSEUDO_CELLS * torch.diag(stddev.expand(mixture.dim).square())
            scatter = deviation.T @ (p[:, None] * deviation)
            covariances.append((scatter + own) / (p.sum() + _PSEUDO_CELLS))
        return torch.stack(covariances)

    def from_components(
        self,
        component: np.ndarray,
        subset_component: np.ndarray,
        z_nl: Tensor,
        is_eligible: np.ndarray,
        generator: np.random.Generator,
    ) -> np.ndarray:
        """Draw a template cell of the same component for each point, shape ``(n,)``.

        Cells are drawn at random and then assigned to the points of their component so that the
        sum of squared distances is minimal. Nearest neighbours would underrepresent cells with
        few counts: these lie close to the mean and are rarely the nearest cell of a random point.
        If a component has no eligible cells, each point gets a random neighbour.

        Parameters
        ----------
        component
            Component of each point, shape ``(n,)``.
        subset_component
            Component of each cell of the subset, shape ``(n_subset,)``.
        z_nl
            Points, shape ``(n, n_latent)``.
        is_eligible
            Mask of the cells to choose from, shape ``(n_subset,)``.
        generator
            Random generator.
        """
        templates = np.zeros(len(component), dtype=np.int64)
        for k in np.unique(component):
            points = np.flatnonzero(component == k)
            cells = np.flatnonzero(is_eligible & (subset_component == k))
            z_points = z_nl[torch.from_numpy(points)]
            if len(cells):
                drawn = generator.choice(cells, len(points))
                templates[points] = self._assign_to_points(drawn, z_points)
            else:
                templates[points] = self.random_neighbours(z_points, is_eligible, generator)
        return templates

    def _assign_to_points(self, cells: np.ndarray, z_nl: Tensor) -> np.ndarray:
        """Permute cells so that the sum of squared distances to as many points is minimal."""
        assigned = cells.copy()
        for first in range(0, len(cells), _CHUNK):
            chunk = slice(first, first + _CHUNK)
            cells_ml = torch.from_numpy(self.representation[cells[chunk], : z_nl.shape[1]])
            distance = torch.cdist(z_nl[chunk], cells_ml.to(z_nl)).square().cpu().numpy()
            assigned[chunk] = cells[chunk][linear_sum_assignment(distance)[1]]
        return assigned

    def random_neighbours(
        self, z_nl: Tensor, is_eligible: np.ndarray, generator: np.random.Generator
    ) -> np.ndarray:
        """Draw one of the 10 nearest cells of each point, shape ``(n,)``.

        Parameters
        ----------
        z_nl
            Points, shape ``(n, n_latent)``.
        is_eligible
            Mask of the cells to choose from, shape ``(n_subset,)``.
        generator
            Random generator.
        """
        nearest_nk = self._nearest(z_nl, np.flatnonzero(is_eligible), _N_NEIGHBOURS)
        drawn = generator.integers(0, nearest_nk.shape[1], len(nearest_nk))
        return nearest_nk[np.arange(len(nearest_nk)), drawn]

    def _nearest(self, z_nl: Tensor, cells: np.ndarray, k: int) -> np.ndarray:
        """The k nearest of the given cells for each point, shape ``(n, k)``."""
        cells_ml = torch.from_numpy(self.representation[cells, : z_nl.shape[1]]).to(z_nl)
        k = min(k, len(cells))
        nearest = [
            torch.cdist(z, cells_ml).topk(k, largest=False).indices for z in z_nl.split(_CHUNK)
        ]
        nearest_nk = torch.cat([torch.zeros(0, k, dtype=torch.int64), *(x.cpu() for x in nearest)])
        return cells[nearest_nk.numpy()]

    def label_shares(self, z_nl: Tensor, n_labels: int) -> np.ndarray:
        """Shares of the labels among the 15 nearest labelled cells of each point, above 0.

        A pseudo-neighbour is added, with all labels in proportion to their frequency.

        Parameters
        ----------
        z_nl
            Points, shape ``(n, n_latent)``.
        n_labels
            Number of labels.

        Returns
        -------
        Shape ``(n, n_labels)``.
        """
        cells = np.flatnonzero(self.labels >= 0)
        labels_nk = self.labels[self._nearest(z_nl, cells, _N_LABEL_NEIGHBOURS)]
        votes_nc = np.zeros((len(labels_nk), n_labels))
        votes_nc += (np.bincount(self.labels[cells], minlength=n_labels) + 1) / (
            len(cells) + n_labels
        )
        np.add.at(votes_nc, (np.arange(len(labels_nk))[:, None], labels_nk), 1)
        return votes_nc / (labels_nk.shape[1] + 1)

    def libraries(
        self,
        z_nl: Tensor,
        templates: np.ndarray,
        is_eligible: np.ndarray,
        generator: np.random.Generator,
    ) -> np.ndarray:
        """Total counts of template cells, or of neighbours if modalities are missing.

        Parameters
        ----------
        z_nl
            Points, shape ``(n, n_latent)``.
        templates
            Template cell of each point, shape ``(n,)``.
        is_eligible
            Mask of the preferred neighbours, shape ``(n_subset,)``. If none of these cells has
            all modalities, all cells with the missing modality are candidates.
        generator
            Random generator.

        Returns
        -------
        Shape ``(n, modalities)``.
        """
        library_nm = self.library[templates].copy()
        is_missing = (library_nm == 0).any(axis=1)
        complete = (self.library > 0).all(axis=1)
        if is_missing.any() and (complete & is_eligible).any():
            points = torch.from_numpy(is_missing)
            neighbours = self.random_neighbours(z_nl[points], complete & is_eligible, generator)
            library_nm[is_missing] = self.library[neighbours]
        for m in range(library_nm.shape[1]):
            is_missing = library_nm[:, m] == 0
            measured = self.library[:, m] > 0
            if is_missing.any() and measured.any():
                points = torch.from_numpy(is_missing)
                neighbours = self.random_neighbours(z_nl[points], measured, generator)
                library_nm[is_missing, m] = self.library[neighbours, m]
        return library_nm
