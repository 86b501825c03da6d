"""Held-out log-likelihoods of counts under different likelihoods."""

from __future__ import annotations

from benchmarks.insight.task import QUIET_CPU, Figures, Task
from benchmarks.shared.data import load
from multiDGD import MultiDGD

#: Likelihoods compared for each modality of each part.
LIKELIHOODS = {
    "pbmc10k_cite": {"prot": ["nb", "protein", "poisson"]},
    "bmmc_cite": {"rna": ["nb", "poisson"], "prot": ["nb", "protein", "poisson"]},
    "bmmc_multiome": {"rna": ["nb", "poisson"], "atac": ["nb", "poisson"]},
}


def likelihoods(part: str, seed: int) -> dict[str, Figures]:
    """Held-out log-likelihoods of each modality."""
    data = load(part).data
    MultiDGD.setup_mudata(data)
    table = MultiDGD.compare_likelihoods(
        data,
        LIKELIHOODS[part],
        seed=seed,
        **QUIET_CPU,
    )
    return {
        f"{row.modality}, {row.likelihood}": {"log_likelihood": float(row.log_likelihood)}
        for row in table.reset_index().itertuples()
    }


TASK = Task(likelihoods, tuple(LIKELIHOODS), {"log_likelihood": "log-likelihood (nats per cell)"})
