"""The known truth of one simulated modality: expected proportions, and counts drawn from them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.sparse import csr_matrix, vstack

from ._negative_binomial import sample_negative_binomial

# Expected counts in memory at a time (4 bytes each, in a few arrays).
_CHUNK_ENTRIES = 4_000_000
_DENSITY_SAMPLE = 64


@dataclass(frozen=True)
class Programme:
    """How a modality's expected proportions depend on a cell's latent position and batch.

    Parameters
    ----------
    base
        Log proportions before normalisation at the latent origin, of shape ``(n_features,)``.
    loadings
        Change of the log proportions per latent unit, of shape ``(n_features, n_latent)``.
    batch_effect
        Change of the log proportions in each batch, of shape ``(n_features, n_batches)``.

    Examples
    --------
    >>> import numpy as np
    >>> programme = Programme(np.zeros(4), np.zeros((4, 2)), np.zeros((4, 1)))
    >>> programme.proportions(np.zeros((1, 2)), np.array([0]))
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
    ) -> Programme:
        """Draw one at random, the batch effects centred on zero for each feature."""
        effects = np.zeros((n_features, n_batches))
        if n_batches > 1:
            effects = rng.normal(0.0, batch_effect, (n_features, n_batches))
            effects -= effects.mean(axis=1, keepdims=True)
            # Centring takes one degree of freedom; the stated spread is that of what remains.
            effects *= math.sqrt(n_batches / (n_batches - 1))
        scale = effect_size / math.sqrt(n_latent)
        return cls(
            rng.normal(size=n_features).astype(np.float32),
            rng.normal(0.0, scale, (n_features, n_latent)).astype(np.float32),
            effects.astype(np.float32),
        )

    def proportions(self, latent: NDArray[Any], batch: NDArray[np.intp]) -> NDArray[Any]:
        """Expected proportions ``(n_cells, n_features)``, each row a softmax that sums to 1."""
        logits: NDArray[Any] = latent @ self.loadings.T
        logits += self.base
        logits += self.batch_effect.T[batch]
        logits -= logits.max(axis=1, keepdims=True)
        np.exp(logits, out=logits)
        logits /= logits.sum(axis=1, keepdims=True)
        return logits

    def draw_counts(
        self,
        latent: NDArray[Any],
        batch: NDArray[np.intp],
        library_size: NDArray[Any],
        inverse_dispersion: float,
        rng: np.random.Generator,
        keep_means: bool = False,
    ) -> tuple[csr_matrix, NDArray[Any] | None]:
        """Draw negative binomial counts a block of cells at a time, and the means where asked."""
        n_rows = max(1, _CHUNK_ENTRIES // len(self.base))
        blocks, means = [], []
        for start in range(0, len(latent), n_rows):
            rows = slice(start, start + n_rows)
            mean = self.proportions(latent[rows], batch[rows]) * library_size[rows, None]
            blocks.append(sample_negative_binomial(mean, inverse_dispersion, rng))
            if keep_means:
                means.append(mean)
        return vstack(blocks, format="csr"), np.concatenate(means) if keep_means else None

    def library_size_of_density(
        self,
        latent: NDArray[Any],
        batch: NDArray[np.intp],
        relative_size: NDArray[Any],
        inverse_dispersion: float,
        density: float,
    ) -> float:
        """Factor of the relative library sizes at which this fraction of counts is not zero."""
        sample = np.linspace(0, len(latent) - 1, min(len(latent), _DENSITY_SAMPLE)).astype(int)
        relative = self.proportions(latent[sample], batch[sample]) * relative_size[sample, None]

        def excess(log_size: float) -> float:
            mean = np.float32(math.exp(log_size)) * relative
            zero = np.exp(-inverse_dispersion * np.log1p(mean / inverse_dispersion))
            return float(1.0 - zero.mean(dtype=np.float64)) - density

        return math.exp(brentq(excess, math.log(1e-3), math.log(1e12), xtol=1e-3))
