"""Log-linear model of one simulated modality: expected proportions and counts."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.sparse import csr_matrix, vstack
from scipy.special import softmax

from ._negative_binomial import sample_negative_binomial

# Largest number of expected counts in memory at once (4 bytes each, in a few arrays).
_CHUNK_ENTRIES = 4_000_000
_DENSITY_SAMPLE = 64


@dataclass(frozen=True)
class LogLinearModel:
    """Expected proportions of features as a softmax of the representation and batch of a cell.

    Parameters
    ----------
    base
        Logits at the origin of the latent space, shape ``(n_features,)``.
    loadings
        Change of the logits per latent unit, shape ``(n_features, n_latent)``.
    batch_effect
        Change of the logits in each batch, shape ``(n_features, n_batches)``.

    Examples
    --------
    >>> import numpy as np
    >>> model = LogLinearModel(np.zeros(4), np.zeros((4, 2)), np.zeros((4, 1)))
    >>> model.proportions(np.zeros((1, 2)), np.array([0]))
    array([[0.25, 0.25, 0.25, 0.25]])
    """

    base: NDArray[Any]
    loadings: NDArray[Any]
    batch_effect: NDArray[Any]

    @classmethod
    def draw(
        cls,
        n_features: int,
        n_latent: int,
        n_batches: int,
        effect_size: float,
        batch_effect: float,
        rng: np.random.Generator,
    ) -> LogLinearModel:
        """Draw parameters at random, with batch effects that sum to zero over batches."""
        effects = np.zeros((n_features, n_batches))
        if n_batches > 1:
            effects = rng.normal(0.0, batch_effect, (n_features, n_batches))
            effects -= effects.mean(axis=1, keepdims=True)
            # Centring removes one degree of freedom; rescale to the requested standard deviation.
            effects *= math.sqrt(n_batches / (n_batches - 1))
        scale = effect_size / math.sqrt(n_latent)
        return cls(
            rng.normal(size=n_features).astype(np.float32),
            rng.normal(0.0, scale, (n_features, n_latent)).astype(np.float32),
            effects.astype(np.float32),
        )

    def proportions(self, latent: NDArray[Any], batch: NDArray[np.intp]) -> NDArray[Any]:
        """Expected proportions, shape ``(n_cells, n_features)``; each row sums to 1."""
        logits = latent @ self.loadings.T + self.base + self.batch_effect.T[batch]
        return np.asarray(softmax(logits, axis=1))

    def draw_counts(
        self,
        latent: NDArray[Any],
        batch: NDArray[np.intp],
        library_size: NDArray[Any],
        inverse_dispersion: float,
        rng: np.random.Generator,
        keep_means: bool = False,
    ) -> tuple[csr_matrix, NDArray[Any] | None]:
        """Draw negative binomial counts in blocks of cells; return them and optionally the means."""
        n_rows = max(1, _CHUNK_ENTRIES // len(self.base))
        blocks, means = [], []
        for start in range(0, len(latent), n_rows):
            rows = slice(start, start + n_rows)
            mean = self.proportions(latent[rows], batch[rows]) * library_size[rows, None]
            blocks.append(sample_negative_binomial(mean, inverse_dispersion, rng))
            if keep_means:
                means.append(mean)
        return vstack(blocks, format="csr"), np.concatenate(means) if keep_means else None

    def library_size_for_density(
        self,
        latent: NDArray[Any],
        batch: NDArray[np.intp],
        relative_size: NDArray[Any],
        inverse_dispersion: float,
        density: float,
    ) -> float:
        """Factor of the relative library sizes that gives this fraction of non-zero counts."""
        sample = np.linspace(0, len(latent) - 1, min(len(latent), _DENSITY_SAMPLE)).astype(int)
        relative = self.proportions(latent[sample], batch[sample]) * relative_size[sample, None]

        def excess(log_size: float) -> float:
            mean = np.float32(math.exp(log_size)) * relative
            zero = np.exp(-inverse_dispersion * np.log1p(mean / inverse_dispersion))
            return float(1.0 - zero.mean(dtype=np.float64)) - density

        return math.exp(brentq(excess, math.log(1e-3), math.log(1e12), xtol=1e-3))
