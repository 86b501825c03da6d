"""Variants of the spectral initialisation, each with one change."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from unittest.mock import patch

import numpy as np
import scipy.sparse as sp

from benchmarks.initialisation.data import Data
from benchmarks.shared.package_internals import (
    init_modality_scores,
    init_normalize,
    init_remove_covariates,
    init_spectral,
)
from benchmarks.shared.settings import N_LATENT
from multiDGD.init import spectral_embedding


@dataclass(frozen=True)
class Variant:
    """Default initialisation with the given changes."""

    title: str
    covariates: bool = True
    normalization: dict[str, str] = field(default_factory=dict)  # replaces the default
    power: float = 0.5  # features are divided by their standard deviation to this power
    library_size: str = "drop"  # or "regress", "keep"
    weight: str = "signal"  # or "equal", "noise", "none"
    spread: float = 1.0  # scores are proportional to singular values to this power
    constants: dict[tuple[object, str], float] = field(default_factory=dict)


def embed(data: Data, variant: Variant) -> np.ndarray:
    """Spectral initialisation in which the variant replaces the block of each modality."""

    def modality_scores(counts, kind, fit, *, seed=0):
        return _variant_block(counts, variant.normalization.get(kind, kind), fit, variant, seed)

    with ExitStack() as stack:
        if replace(variant, title="", covariates=True, constants={}) != Variant(""):
            stack.enter_context(patch.object(init_spectral, "modality_scores", modality_scores))
        stack.enter_context(patch.dict(init_normalize.NORMALIZATIONS, EXTRA))
        for (module, constant), value in variant.constants.items():
            stack.enter_context(patch.object(module, constant, value))
        return spectral_embedding(
            data.counts,
            n_latent=N_LATENT,
            feature_names=data.names,
            covariates=[data.batch] if variant.covariates else [],
        )


def _variant_block(counts, kind, fit, variant, seed):
    totals = init_normalize.row_sums(counts)
    present = totals > 0
    fitted = fit & present
    counts = counts[:, np.flatnonzero(init_normalize.column_sums(counts[fitted]) > 0)]
    values = init_normalize.NORMALIZATIONS[kind](counts, fitted)
    # The block divides its values by the square root of their standard deviation.
    mean = np.asarray(values[fitted].mean(axis=0)).ravel()
    square = np.asarray(values[fitted].multiply(values[fitted]).mean(axis=0)).ravel()
    deviation = np.sqrt(np.maximum(square - mean**2, 1e-8))
    values = sp.csr_matrix(values @ sp.diags_array(deviation ** (1 - 2 * variant.power)))
    scores = init_modality_scores._principal_scores(values.astype(np.float32), fitted, seed)
    scores[~present] = 0
    log_size = np.where(present, np.log(np.maximum(totals, 1)), 0)
    log_size = np.where(present, log_size - log_size[fitted].mean(), 0)
    if variant.library_size == "regress":
        scores = scores - np.outer(
            log_size, log_size[fitted] @ scores[fitted] / (log_size[fitted] ** 2).sum()
        )
    elif variant.library_size == "drop":
        close = np.abs(init_modality_scores._correlation(scores[fitted], log_size[fitted]))
        scores = scores[:, close <= init_modality_scores.MAX_SIZE_CORRELATION]
    scores = scores * scores[fitted].std(axis=0) ** (variant.spread - 1)
    var = scores[fitted].var(axis=0)
    size = {
        "signal": (1 - len(var) * var.min() / var.sum()) / var.sum(),
        "equal": 1 / var.sum(),
        "noise": 1 / var.min(),
        "none": 1.0,
    }[variant.weight]
    return scores * np.sqrt(size), present


def _scale_to_median_library(counts: sp.csr_matrix, fit: np.ndarray) -> sp.csr_matrix:
    totals = init_normalize.row_sums(counts)
    return init_normalize._divide_rows(counts, totals / np.median(totals[totals > 0]))


def _with(
    transform: Callable[[np.ndarray], np.ndarray],
) -> Callable[[sp.csr_matrix, np.ndarray], sp.csr_matrix]:
    """Normalisation: ``transform`` of counts that are scaled to the median library size."""

    def normalize(counts: sp.csr_matrix, fit: np.ndarray) -> sp.csr_matrix:
        out = _scale_to_median_library(counts, fit)
        out.data = transform(out.data).astype(np.float32)
        return out

    return normalize


def _chi(counts: sp.csr_matrix, fit: np.ndarray) -> sp.csr_matrix:
    """Correspondence analysis: ``x_ij / sqrt(n_i p_j)``."""
    out = init_normalize._divide_rows(counts, np.sqrt(init_normalize.row_sums(counts)))
    column = 1 / np.sqrt(np.maximum(init_normalize.column_sums(counts), 1))
    out.data *= column[out.indices].astype(np.float32)
    return out


EXTRA = {
    "plain_log": _with(np.log1p),
    "sqrt": _with(np.sqrt),
    "chi": _chi,
}


PLAIN = Variant(
    "plain: log, equal blocks, no covariates",
    covariates=False,
    normalization={"log": "plain_log", "clr": "plain_log", "tfidf": "plain_log"},
    power=0,
    library_size="keep",
    weight="equal",
)
VARIANTS = {
    "plain": PLAIN,
    "default": Variant("**default**"),
    "no_covariates": Variant("no covariate correction", covariates=False),
    "block50": Variant(
        "50 scores per modality", constants={(init_modality_scores, "N_SCORES"): 50}
    ),
    "depth_keep": Variant("library size component kept", library_size="keep"),
    "depth_regress": Variant("library size regressed out", library_size="regress"),
    "weight_equal": Variant("blocks of equal variance", weight="equal"),
    "weight_noise": Variant("blocks of equal noise", weight="noise"),
    "weight_none": Variant("unweighted blocks", weight="none"),
    "white": Variant("scores whitened", spread=0),
    "power0": Variant("features not scaled", power=0),
    "power1": Variant("features of unit variance", power=1),
    "rna_dominant": Variant(
        "RNA: size factors from all features", normalization={"log": "plain_log"}
    ),
    "rna_sqrt": Variant("RNA: square root", normalization={"log": "sqrt"}),
    "rna_chi": Variant("RNA: correspondence analysis", normalization={"log": "chi"}),
    "atac_log": Variant("ATAC: log", normalization={"tfidf": "plain_log"}),
    "atac_chi": Variant("ATAC: correspondence analysis", normalization={"tfidf": "chi"}),
    "prot_log": Variant("protein: log", normalization={"clr": "plain_log"}),
    "diversity1": Variant(
        "covariates: theta 1", constants={(init_remove_covariates, "DIVERSITY"): 1.0}
    ),
    "shrink1": Variant(
        "covariates: alpha 1", constants={(init_remove_covariates, "SHRINKAGE"): 1.0}
    ),
}
