"""Scores of predicted profiles of counts."""

from __future__ import annotations

import numpy as np

#: Weight of the average profile, so that no share is 0.
WEIGHT_OF_AVERAGE = 0.01


class ProfileScores:
    r"""Log-likelihood per count of predicted profiles above the average profile.

    With counts x, predicted shares p and the average profile a, the score is

    .. math::
        \sum_j x_j \log \frac{0.99\, p_j + 0.01\, a_j}{a_j} \Big/ \sum_j x_j.

    Parameters
    ----------
    average_f
        The average profile, positive shares that sum to 1, shape ``(f,)``.
    """

    def __init__(self, average_f: np.ndarray) -> None:
        self._average_f = average_f
        self._tables: list[dict[str, np.ndarray]] = []
        self._moments = {name: np.zeros((5, len(average_f))) for name in ("posterior", "decoded")}
        self._n_cells = 0

    def add(
        self,
        counts_nf: np.ndarray,
        decoded_nf: np.ndarray,
        posterior_nf: np.ndarray,
        is_predicted_n: np.ndarray,
        log_prob_n: np.ndarray,
    ) -> None:
        """Add the predictions of some cells.

        Parameters
        ----------
        counts_nf
            Counts, shape ``(n, f)``.
        decoded_nf, posterior_nf
            Predicted profiles up to a factor, shape ``(n, f)``.
        is_predicted_n
            Mask of the cells whose prediction is scored, shape ``(n,)``.
        log_prob_n
            Log-likelihood of the counts (nats), shape ``(n,)``.
        """
        total_n = counts_nf.sum(1)
        scored = is_predicted_n & (total_n > 0)
        table = {}
        for name, profile_nf in (("posterior", posterior_nf), ("decoded", decoded_nf)):
            table[name] = self._score(name, counts_nf, profile_nf, scored)
        self._n_cells += int(scored.sum())
        table["log_likelihood"] = np.where(scored, log_prob_n, np.nan)
        table["n_counts"] = np.where(scored, total_n, np.nan)
        self._tables.append(table)

    def _score(
        self, name: str, counts_nf: np.ndarray, profile_nf: np.ndarray, scored: np.ndarray
    ) -> np.ndarray:
        total_n1 = counts_nf.sum(1, keepdims=True)
        sums = profile_nf.sum(1, keepdims=True).astype(float)
        share_nf = np.divide(profile_nf, sums, out=np.zeros(profile_nf.shape), where=sums > 0)
        mixed = (1 - WEIGHT_OF_AVERAGE) * share_nf + WEIGHT_OF_AVERAGE * self._average_f
        gain_n = (counts_nf * np.log(mixed / self._average_f)).sum(1)
        x, y = np.log1p(counts_nf[scored]), np.log1p((share_nf * total_n1)[scored])
        self._moments[name] += np.stack([v.sum(0) for v in (x, y, x * x, y * y, x * y)])
        per_count = np.divide(gain_n, total_n1[:, 0], out=np.zeros(len(gain_n)), where=scored)
        return np.where(scored, per_count, np.nan)

    def cells(self) -> dict[str, np.ndarray]:
        """Scores of each cell, NaN for cells that are not scored, shape ``(n,)`` each."""
        names = ("posterior", "decoded", "log_likelihood", "n_counts")
        return {
            name: np.concatenate([np.zeros(0), *(t[name] for t in self._tables)]) for name in names
        }

    def summary(self) -> dict[str, float]:
        """Scores over all counts, and mean correlations of log counts over features."""
        cells = self.cells()
        n_counts = np.nansum(cells["n_counts"])
        found = {
            name: float(np.nansum(cells[name] * cells["n_counts"]) / n_counts)
            if n_counts
            else np.nan
            for name in ("posterior", "decoded")
        }
        return found | {f"{name}_correlation": self._correlation(name) for name in found}

    def _correlation(self, name: str) -> float:
        """Mean over the features with counts; 0 for a feature whose prediction is constant."""
        x, y, xx, yy, xy = self._moments[name] / max(self._n_cells, 1)
        variance_x, variance_y = xx - x * x, yy - y * y
        scale = np.sqrt(np.maximum(variance_x * variance_y, 0))
        varies = variance_x > 1e-12
        if not varies.any():
            return np.nan
        found = np.divide(xy - x * y, scale, out=np.zeros_like(x), where=scale > 1e-12)
        return float(found[varies].mean())
