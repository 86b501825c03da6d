"""What the spectral warm start was chosen from: one change at a time, on every data set.

``python benchmarks/warm_start.py`` scores every variant and writes ``warm_start.md`` beside this
file; ``--only NAME ...`` prints the named variants and writes nothing. The data are looked for as
:func:`_data.data_dir` says. Scores are of 20 dimensions, of the cells whose type is known.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from unittest.mock import patch

import anndata as ad
import mudata as md
import numpy as np
import scipy.sparse as sp
from _data import UNKNOWN, data_dir
from sklearn.neighbors import KNeighborsClassifier

from multiDGD import _scores
from multiDGD.init import _modality_scores, _normalize, _remove_covariates, spectral_embedding
from multiDGD.init import _spectral as spectral

FILES = {
    "bmmc_multiome": "bmmc_multiome.h5mu",
    "bmmc_cite": "bmmc_cite.h5mu",
    "pbmc10k_cite": "pbmc10k_cite.h5mu",
    "snareseq": "snareseq_mouse_cortex.h5mu",
    "sc_mixology": "sc_mixology_5batch_rna.h5ad",
    "mosaic": "pbmc_cite_mosaic.h5mu",
}
N_LATENT = 20


@dataclass
class Data:
    """A data set as the warm start takes it, with what is known of its cells."""

    counts: dict[str, sp.csr_matrix]
    names: dict[str, list[str]]
    types: np.ndarray
    batch: np.ndarray


@dataclass(frozen=True)
class Variant:
    """The chosen warm start with something changed."""

    what: str
    covariates: bool = True
    normalization: dict[str, str] = field(default_factory=dict)  # instead of what is chosen
    power: float = 0.5  # features divided by their standard deviation to this power
    depth: str = "drop"  # or regress, keep
    weight: str = "signal"  # or equal, noise, none
    spread: float = 1.0  # scores proportional to singular values to this power
    constants: dict[tuple[object, str], float] = field(default_factory=dict)


def read(name: str) -> Data:
    """Counts in the rows of all cells, empty where a cell lacks the modality."""
    path = data_dir() / FILES[name]
    data = ad.read_h5ad(path) if path.suffix == ".h5ad" else md.read_h5mu(path)
    parts = {"rna": data} if isinstance(data, ad.AnnData) else data.mod
    types, batch = np.full(data.n_obs, "", object), np.full(data.n_obs, "", object)
    counts = {}
    for modality, part in parts.items():
        rows = data.obs_names.get_indexer(part.obs_names)
        x = sp.coo_matrix(part.X)
        counts[modality] = sp.csr_matrix(
            (x.data.astype(np.float32), (rows[x.row], x.col)), (data.n_obs, part.n_vars)
        )
        obs = part.obs if "celltype" in part.obs else data.obs
        types[rows] = obs["celltype" if "celltype" in obs else "cell_type"].astype(str)
        batch[rows] = obs["batch"].astype(str)
    names = {modality: list(part.var_names) for modality, part in parts.items()}
    return Data(counts, names, types.astype(str), np.unique(batch, return_inverse=True)[1])


def embed(data: Data, variant: Variant) -> np.ndarray:
    """The warm start, its block step replaced by one that knows the variants."""

    def modality_scores(counts, kind, fit, *, seed=0):
        return _variant_block(counts, variant.normalization.get(kind, kind), fit, variant, seed)

    with ExitStack() as stack:
        if replace(variant, what="", covariates=True, constants={}) != Variant(""):
            stack.enter_context(patch.object(spectral, "modality_scores", modality_scores))
        stack.enter_context(patch.dict(_normalize.NORMALIZATIONS, EXTRA))
        for (module, constant), value in variant.constants.items():
            stack.enter_context(patch.object(module, constant, value))
        return spectral_embedding(
            data.counts,
            n_latent=N_LATENT,
            feature_names=data.names,
            covariates=[data.batch] if variant.covariates else [],
        )


def _variant_block(counts, kind, fit, variant, seed):
    totals = _normalize.row_sums(counts)
    present = totals > 0
    learn = fit & present
    counts = counts[:, np.flatnonzero(_normalize.column_sums(counts[learn]) > 0)]
    values = _normalize.NORMALIZATIONS[kind](counts, learn)
    # The block itself divides by the square root of the deviation of what it is given.
    mean = np.asarray(values[learn].mean(axis=0)).ravel()
    square = np.asarray(values[learn].multiply(values[learn]).mean(axis=0)).ravel()
    deviation = np.sqrt(np.maximum(square - mean**2, 1e-8))
    values = sp.csr_matrix(values @ sp.diags_array(deviation ** (1 - 2 * variant.power)))
    scores = _modality_scores._principal_scores(values.astype(np.float32), learn, seed)
    scores[~present] = 0
    depth = np.where(present, np.log(np.maximum(totals, 1)), 0)
    depth = np.where(present, depth - depth[learn].mean(), 0)
    if variant.depth == "regress":
        scores = scores - np.outer(depth, depth[learn] @ scores[learn] / (depth[learn] ** 2).sum())
    elif variant.depth == "drop":
        close = np.abs(_modality_scores._correlation(scores[learn], depth[learn]))
        scores = scores[:, close <= _modality_scores.MAX_SIZE_CORRELATION]
    scores = scores * scores[learn].std(axis=0) ** (variant.spread - 1)
    var = scores[learn].var(axis=0)
    size = {
        "signal": (1 - len(var) * var.min() / var.sum()) / var.sum(),
        "equal": 1 / var.sum(),
        "noise": 1 / var.min(),
        "none": 1.0,
    }[variant.weight]
    return scores * np.sqrt(size), present


def _rows_over_size(counts: sp.csr_matrix, fit: np.ndarray) -> sp.csr_matrix:
    totals = _normalize.row_sums(counts)
    return _normalize._divide_rows(counts, totals / np.median(totals[totals > 0]))


def _with(
    transform: Callable[[np.ndarray], np.ndarray],
) -> Callable[[sp.csr_matrix, np.ndarray], sp.csr_matrix]:
    """A normalisation: ``transform`` of the counts at median size."""

    def normalize(counts: sp.csr_matrix, fit: np.ndarray) -> sp.csr_matrix:
        out = _rows_over_size(counts, fit)
        out.data = transform(out.data).astype(np.float32)
        return out

    return normalize


def _chi(counts: sp.csr_matrix, fit: np.ndarray) -> sp.csr_matrix:
    """Correspondence analysis: ``x_ij / sqrt(n_i p_j)``."""
    out = _normalize._divide_rows(counts, np.sqrt(_normalize.row_sums(counts)))
    column = 1 / np.sqrt(np.maximum(_normalize.column_sums(counts), 1))
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
    depth="keep",
    weight="equal",
)
VARIANTS = {
    "plain": PLAIN,
    "chosen": Variant("**chosen**"),
    "no_covariates": Variant("covariates left in", covariates=False),
    "block50": Variant("50 scores a modality", constants={(_modality_scores, "N_SCORES"): 50}),
    "depth_keep": Variant("depth kept", depth="keep"),
    "depth_regress": Variant("depth regressed out", depth="regress"),
    "weight_equal": Variant("blocks of equal variance", weight="equal"),
    "weight_noise": Variant("blocks of equal noise", weight="noise"),
    "weight_none": Variant("blocks as they are", weight="none"),
    "white": Variant("scores whitened", spread=0),
    "power0": Variant("features not scaled", power=0),
    "power1": Variant("features of unit variance", power=1),
    "rna_dominant": Variant("RNA: sizes with all features", normalization={"log": "plain_log"}),
    "rna_sqrt": Variant("RNA: square root", normalization={"log": "sqrt"}),
    "rna_chi": Variant("RNA: correspondence analysis", normalization={"log": "chi"}),
    "atac_log": Variant("ATAC: log", normalization={"tfidf": "plain_log"}),
    "atac_chi": Variant("ATAC: correspondence analysis", normalization={"tfidf": "chi"}),
    "prot_log": Variant("protein: log", normalization={"clr": "plain_log"}),
    "diversity1": Variant(
        "covariates: theta 1", constants={(_remove_covariates, "DIVERSITY"): 1.0}
    ),
    "shrink1": Variant("covariates: alpha 1", constants={(_remove_covariates, "SHRINKAGE"): 1.0}),
}


def score(data: Data, z: np.ndarray) -> dict[str, float]:
    """Scores of one embedding; k-means over three seeds."""
    means = np.mean([_scores.kmeans_nmi_ari(z, data.types, seed=s) for s in range(3)], axis=0)
    out = {
        "knn": _scores.knn_accuracy(z, data.types),
        "nmi": float(means[0]),
        "ari": float(means[1]),
        "mixing": _mixing(data, z),
    }
    has = np.stack([_normalize.row_sums(x) > 0 for x in data.counts.values()], axis=1)
    if not has.all():
        known = ~np.isin(data.types, UNKNOWN)
        only = [known & has[:, m] & (has.sum(axis=1) == 1) for m in range(2)]
        for name, a, b in (("first to second", *only), ("second to first", *only[::-1])):
            knn = KNeighborsClassifier(15).fit(z[a], data.types[a])
            out[name] = float((knn.predict(z[b]) == data.types[b]).mean())
    return out


def _mixing(data: Data, z: np.ndarray) -> float:
    """Batch mixing, without cells that are the only one of their type in their batch.

    Where there is but one other batch, chance cannot mix such a cell either: 0 / 0.
    """
    pairs = np.char.add(np.char.add(data.types, "|"), data.batch.astype(str))
    _, pair, sizes = np.unique(pairs, return_inverse=True, return_counts=True)
    kept = sizes[pair] > 1
    return _scores.batch_mixing(z[kept], data.batch[kept], data.types[kept])


def _cell(result: dict[str, float]) -> str:
    shown = [f"{result[key]:.3f}" for key in ("knn", "nmi", "ari")]
    if np.isfinite(result["mixing"]):
        shown.append(f"{result['mixing']:.2f}")
    if "first to second" in result:
        shown += [f"{result['first to second']:.3f}", f"{result['second to first']:.3f}"]
    return " / ".join(shown)


def main() -> None:
    """Score the variants and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=VARIANTS, help="variants to print")
    chosen = parser.parse_args().only
    data = {name: read(name) for name in FILES}
    rows, results = [], {}
    for key in chosen or VARIANTS:
        results[key] = {}
        for name, one in data.items():
            results[key][name] = score(one, embed(one, VARIANTS[key]))
        every = results[key].values()
        mean = [np.mean([r[what] for r in every]) for what in ("knn", "nmi", "ari")]
        cells = [_cell(result) for result in results[key].values()]
        cells.append(" / ".join(f"{m:.3f}" for m in mean))
        rows.append(f"| {VARIANTS[key].what} | " + " | ".join(cells) + " |")
        print(rows[-1], flush=True)
    if not chosen:
        head = "| variant | " + " | ".join([*FILES, "mean"]) + " |"
        rule = "|" + "---|" * (len(FILES) + 2)
        text = (Path(__file__).parent / "warm_start.md").read_text().split("<!-- table -->")[0]
        table = "\n".join([head, rule, *rows])
        Path(__file__).with_suffix(".md").write_text(f"{text}<!-- table -->\n\n{table}\n")


if __name__ == "__main__":
    main()
