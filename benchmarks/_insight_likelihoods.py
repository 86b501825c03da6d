"""Which likelihood describes counts best that were not seen?"""

from __future__ import annotations

from _data import load
from _insight import Figures, Task

from multiDGD import MultiDGD

ASKED = {
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
        ASKED[part],
        seed=seed,
        enable_progress_bar=False,
        accelerator="cpu",
        logger=False,
    )
    return {
        f"{row.modality}, {row.likelihood}": {"log_likelihood": float(row.log_likelihood)}
        for row in table.reset_index().itertuples()
    }


TASKS = {
    "likelihoods": Task(
        likelihoods,
        tuple(ASKED),
        {"log_likelihood": "log-likelihood (nats a cell)"},
        "`MultiDGD.compare_likelihoods`: half of the molecules of held-out cells, which are "
        "placed by the other half.",
    )
}
