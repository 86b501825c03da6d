"""What is kept of the training cells, to draw new ones like them and to label others."""

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
# As scanpy's graphs have.
_N_LABEL_NEIGHBOURS = 15
# Cells' worth of belief in the component's own variances.
_PSEUDO_CELLS = 5.0
_CHUNK = 1_024


@dataclass(frozen=True)
class CellSubset(Record):
    """A random part of the training cells, without their counts.

    Attributes
    ----------
    representation
        Their rows of the table, shape ``(n, n_representation)``.
    library
        Total counts, shape ``(n, modalities)``; 0 where a modality was not measured.
    labels
        Codes, -1 where unknown, shape ``(n,)``.
    covariates
        Codes of all registered categorical covariates, shape ``(n, covariates)``.
    continuous
        Continuous covariates, shape ``(n, n_continuous)``.
    """

    representation: np.ndarray
    library: np.ndarray
    labels: np.ndarray
    covariates: np.ndarray
    continuous: np.ndarray

    def within(self, categories: Mapping[int, int]) -> np.ndarray:
        """Mask of the cells in given categories; of all cells if none is in all of them.

        Parameters
        ----------
        categories
            Code by column of ``covariates``.
        """
        mask = np.ones(len(self.labels), dtype=bool)
        for column, code in categories.items():
            mask &= self.covariates[:, column] == code
        return mask if mask.any() else np.ones_like(mask)

    def spread(self, mixture: GaussianMixture) -> Tensor:
        """Covariance of the known cells around each component's mean, shape ``(K, L, L)``.

        A component is independent in its dimensions, and as wide as its prior and the paths of
        training have made it; its cells are neither.

        Parameters
        ----------
        mixture
            That over z.
        """
        z_nl = torch.from_numpy(self.representation[:, : mixture.dim]).to(mixture.mean)
        found = []
        for mean, stddev, p in zip(
            mixture.mean,
            mixture.stddev,
            mixture.component_log_prob(z_nl).softmax(1).T,
            strict=True,
        ):
            away = z_nl - mean
            own = _PSEUDO_CELLS * torch.diag(stddev.expand(mixture.dim).square())
            found.append((away.T @ (p[:, None] * away) + own) / (p.sum() + _PSEUDO_CELLS))
        return torch.stack(found)

    def from_components(
        self,
        component: np.ndarray,
        owner: np.ndarray,
        z_nl: Tensor,
        among: np.ndarray,
        generator: np.random.Generator,
    ) -> np.ndarray:
        """For each new cell a known one of its component, shape ``(n,)``.

        They are drawn at random, and then dealt out so that they are close to the new cells. Not
        the nearest of all: cells of few counts lie close to the mean, and would hardly ever be
        the nearest to a random point.

        Parameters
        ----------
        component
            Of the new cells, shape ``(n,)``.
        owner
            Component of each known cell, shape ``(n_known,)``.
        z_nl
            Places of the new cells, which choose where a component owns none.
        among
            Mask of the cells to choose from, shape ``(n_known,)``.
        generator
            Which draws them.
        """
        found = np.zeros(len(component), dtype=np.int64)
        for k in np.unique(component):
            here = np.flatnonzero(component == k)
            cells = np.flatnonzero(among & (owner == k))
            if len(cells):
                drawn = generator.choice(cells, len(here))
                found[here] = self._matched(drawn, z_nl[torch.from_numpy(here)])
            else:
                found[here] = self.neighbours(z_nl[torch.from_numpy(here)], among, generator)
        return found

    def _matched(self, cells: np.ndarray, z_nl: Tensor) -> np.ndarray:
        """As many cells as there are points, in the order that brings them closest to these."""
        found = cells.copy()
        for first in range(0, len(cells), _CHUNK):
            here = slice(first, first + _CHUNK)
            known_ml = torch.from_numpy(self.representation[cells[here], : z_nl.shape[1]])
            distance = torch.cdist(z_nl[here], known_ml.to(z_nl)).square().cpu().numpy()
            found[here] = cells[here][linear_sum_assignment(distance)[1]]
        return found

    def neighbours(
        self, z_nl: Tensor, among: np.ndarray, generator: np.random.Generator
    ) -> np.ndarray:
        """For each point one of the 10 cells nearest to it, at random, shape ``(n,)``.

        Parameters
        ----------
        z_nl
            Points, shape ``(n, n_latent)``.
        among
            Mask of the cells to choose from, shape ``(n_known,)``.
        generator
            Which draws them.
        """
        cells = np.flatnonzero(among)
        near_nk = self._nearest(z_nl, cells, _N_NEIGHBOURS)
        drawn = generator.integers(0, near_nk.shape[1], len(near_nk))
        return near_nk[np.arange(len(near_nk)), drawn]

    def _nearest(self, z_nl: Tensor, cells: np.ndarray, k: int) -> np.ndarray:
        """The k of some cells that are nearest to each point, shape ``(n, k)``."""
        known_ml = torch.from_numpy(self.representation[cells, : z_nl.shape[1]]).to(z_nl)
        k = min(k, len(cells))
        near = [
            torch.cdist(z, known_ml).topk(k, largest=False).indices for z in z_nl.split(_CHUNK)
        ]
        near_nk = torch.cat([torch.zeros(0, k, dtype=torch.int64), *(x.cpu() for x in near)])
        return cells[near_nk.numpy()]

    def label_shares(self, z_nl: Tensor, n_labels: int) -> np.ndarray:
        """Shares of the labels among the 15 labelled cells nearest to each point, above 0.

        One more neighbour has all labels, as often as they are.

        Parameters
        ----------
        z_nl
            Points, shape ``(n, n_latent)``.
        n_labels
            How many labels there are.

        Returns
        -------
        Shape ``(n, n_labels)``.
        """
        cells = np.flatnonzero(self.labels >= 0)
        near_nk = self.labels[self._nearest(z_nl, cells, _N_LABEL_NEIGHBOURS)]
        votes_nc = np.zeros((len(near_nk), n_labels))
        votes_nc += (np.bincount(self.labels[cells], minlength=n_labels) + 1) / (
            len(cells) + n_labels
        )
        np.add.at(votes_nc, (np.arange(len(near_nk))[:, None], near_nk), 1)
        return votes_nc / (near_nk.shape[1] + 1)

    def libraries(
        self, z_nl: Tensor, donors: np.ndarray, among: np.ndarray, generator: np.random.Generator
    ) -> np.ndarray:
        """Total counts of donors; of other neighbours where donors lack a modality.

        Parameters
        ----------
        z_nl
            Points, shape ``(n, n_latent)``.
        donors
            The known cell of each, shape ``(n,)``.
        among
            Mask of the cells to choose from where a donor lacks a modality; where none of these
            has all modalities, any cell that has the modality will do.
        generator
            Which draws them.

        Returns
        -------
        Shape ``(n, modalities)``.
        """
        found = self.library[donors].copy()
        lacking = (found == 0).any(axis=1)
        complete = (self.library > 0).all(axis=1)
        if lacking.any() and (complete & among).any():
            others = self.neighbours(z_nl[torch.from_numpy(lacking)], complete & among, generator)
            found[lacking] = self.library[others]
        for m in range(found.shape[1]):
            lacking = found[:, m] == 0
            measured = self.library[:, m] > 0
            if lacking.any() and measured.any():
                here = torch.from_numpy(lacking)
                others = self.neighbours(z_nl[here], measured, generator)
                found[lacking, m] = self.library[others, m]
        return found
