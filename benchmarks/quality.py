"""How good is MultiDGD beside MultiVI, totalVI, scVI and PCA/LSI on real data?

``python benchmarks/quality.py bmmc_multiome --seeds 0 1 2 --out results.json``

Every method is trained on the same 90 % of the cells (by seed), without labels, and scored on

- knn: label accuracy of 15 neighbours, 5-fold cross-validation over the training cells
- knn new: labels of the held-out cells, mapped after training, from 15 training neighbours
- nmi, ari: k-means of the training cells at the true number of types
- mixing: how well batches mix within a type (1 is perfect)
- rna r, rmse: held-out cells, log1p of counts per 10,000, observed against predicted; r is
  Pearson's over genes, averaged over cells, ``r/gene`` the same over cells, averaged over genes
- auprc: held-out accessibility (count above 0), pooled over a fixed random choice of cells
- prot r: held-out cells, log1p of protein counts, as for RNA; ``r/prot`` over cells by protein
- epochs and seconds of training (wall, and processor in brackets)

Held-out cells are placed by their own counts, so the predictions measure reconstruction of new
cells, not imputation: a reduction with nearly as many dimensions as features (PCA of 14 proteins)
reproduces them almost by definition.

MultiDGD and the others take their own default epochs unless ``--max-epochs`` is given; epochs are
marked ``*`` where it was. With ``--cache`` fits are kept and only scored again the next time.
"""

from __future__ import annotations

import argparse
import json
import pickle
import platform
import warnings
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import scvi
import torch
from _data import DATASETS, Dataset, load
from _evaluate import evaluate
from _methods import METHODS, Fit, suits
from threadpoolctl import threadpool_limits

COLUMNS = {
    "knn": "knn",
    "knn_held_out": "knn new",
    "nmi": "nmi",
    "ari": "ari",
    "batch_mixing": "mixing",
    "rna_r": "rna r",
    "rna_r_by_gene": "r/gene",
    "rna_rmse": "rmse",
    "atac_auprc": "auprc",
    "prot_r": "prot r",
    "prot_r_by_protein": "r/prot",
}


def fit_method(
    method: str,
    train: Dataset,
    held_out: Dataset,
    seed: int,
    max_epochs: int | None,
    cache: Path | None,
) -> Fit:
    """One fit, from the cache if it is there."""
    epochs = "default" if max_epochs is None else max_epochs
    path = cache / f"{train.name}.{method}.{epochs}.{seed}.pkl" if cache else None
    if path is not None and path.exists():
        return pickle.loads(path.read_bytes())
    fit = METHODS[method][1](train, held_out, seed, max_epochs)
    fit.predictions = {k: np.asarray(v, dtype=np.float32) for k, v in fit.predictions.items()}
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(pickle.dumps(fit))
    return fit


def table(rows: list[dict[str, Any]]) -> list[list[str]]:
    """Mean over seeds (and standard deviation where there are several), a line a method."""
    names = list(dict.fromkeys(row["method"] for row in rows))
    keys = [k for k in COLUMNS if any(k in row["scores"] for row in rows)]
    lines = [["method", *(COLUMNS[k] for k in keys), "epochs", "seconds"]]
    for name in names:
        mine = [row for row in rows if row["method"] == name]
        cells = [f"{METHODS[name][0]} ({len(mine)})"]
        for key in keys:
            values = [row["scores"][key] for row in mine if key in row["scores"]]
            spread = f"±{np.std(values):.3f}" if len(values) > 1 else ""
            cells.append(f"{np.mean(values):.3f}{spread}" if values else "-")
        epochs = [row["epochs"] for row in mine if row["epochs"] is not None]
        star = "" if all(row["default_epochs"] for row in mine) else "*"
        cells.append(f"{np.mean(epochs):.0f}{star}" if epochs else "-")
        times = [row["times"] for row in mine if "train_seconds" in row["times"]]
        wall, cpu = ([t[f"train_{k}seconds"] for t in times] for k in ("", "cpu_"))
        cells.append(f"{np.mean(wall):.1f} ({np.mean(cpu):.1f})" if times else "-")
        lines.append(cells)
    return lines


def aligned(lines: list[list[str]]) -> str:
    """A table for the terminal."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    aligns = [str.ljust] + [str.rjust] * (len(widths) - 1)
    return "\n".join(
        "  ".join(align(*cell) for align, *cell in zip(aligns, line, widths, strict=True))
        for line in lines
    )


def write(path: Path, name: str, threads: int, rows: list[dict[str, Any]]) -> None:
    """Everything measured so far, as JSON."""
    packages = {p: version(p) for p in ("scvi-tools", "torch", "numpy", "scikit-learn")}
    path.parent.mkdir(parents=True, exist_ok=True)
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else platform.processor()
    settings = {"threads": threads, "device": device or platform.machine(), "versions": packages}
    path.write_text(json.dumps({"data": name, **settings, "rows": rows}, indent=1) + "\n")


def main() -> None:
    """Parse the command line, run, print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", choices=DATASETS)
    parser.add_argument("--methods", nargs="+", choices=METHODS, help="default: all that suit")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--max-epochs", type=int, help="default: each method's own")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, help="JSON, rewritten after every fit")
    parser.add_argument("--cache", type=Path, help="folder that keeps fits between runs")
    args = parser.parse_args()

    warnings.filterwarnings("ignore")
    scvi.settings.verbosity = 30
    torch.set_num_threads(args.threads)
    data = load(args.data)
    methods = [m for m in args.methods or METHODS if suits(m, data)]
    for method in set(args.methods or ()) - set(methods):
        print(f"{method} is not for {args.data}: left out", flush=True)

    rows: list[dict[str, Any]] = []
    with threadpool_limits(args.threads):
        for seed in args.seeds:
            train, held_out = data.split(seed)
            for method in methods:
                fit = fit_method(method, train, held_out, seed, args.max_epochs, args.cache)
                row = {
                    "method": method,
                    "seed": seed,
                    "epochs": fit.epochs,
                    "default_epochs": fit.default_epochs,
                    "times": fit.times,
                    "scores": evaluate(fit, train, held_out),
                }
                rows.append(row)
                print(json.dumps(row), flush=True)
                if args.out is not None:
                    write(args.out, args.data, args.threads, rows)
    print(f"\n{args.data}: mean over seeds (how many: in brackets), {args.threads} thread(s)")
    print(aligned(table(rows)))


if __name__ == "__main__":
    main()
