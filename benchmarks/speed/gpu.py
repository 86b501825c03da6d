"""Epochs and inference on a GPU, with and without recorded steps, meant to take under ten minutes.

``python -m benchmarks.speed.gpu --out benchmarks/speed/results/gpu.json``

Prints a table as ``benchmarks.speed`` does. Times are those of whole training epochs, after epochs
in which kernels are compiled and steps recorded. ``--tiny`` tries the script on any machine.
"""

from __future__ import annotations

import argparse
import logging
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import scvi
import torch
from lightning.pytorch import Callback

from benchmarks.shared.command_line import make_parser
from benchmarks.shared.data import Dataset, load
from benchmarks.shared.results import command, environment, write
from benchmarks.shared.settings import QUIET
from benchmarks.shared.simulated import read, wide
from benchmarks.shared.timing import Seconds, alternate, timed
from benchmarks.shared.training_steps import StopTraining, multidgd, multivi, train
from benchmarks.speed.rows import Row, table

#: Arguments of `train` by name of the variant; all update representations from the first epoch on.
RESIDENT: dict[str, Any] = {"keep_on_device": True, "start": "zero"}
VARIANTS: dict[str, dict[str, Any]] = {
    "ordinary": {"start": "zero", "plan_kwargs": {"hold": 0.0}},
    "on-device": {**RESIDENT, "plan_kwargs": {"hold": 0.0}},
    "captured": {**RESIDENT, "plan_kwargs": {"hold": 0.0, "capture": True}},
    "captured-bf16": {
        **RESIDENT,
        "plan_kwargs": {"hold": 0.0, "capture": True},
        "precision": "bf16-mixed",
    },
    "captured-512": {
        **RESIDENT,
        "plan_kwargs": {"hold": 0.0, "capture": True},
        "batch_size": 512,
    },
}
N_QUERY = 1000


class Epochs(Callback):
    """Mean time of the training steps of some epochs, after others that are not timed."""

    def __init__(self, n_warmup: int, n_timed: int) -> None:
        self.n_warmup, self.n_timed = n_warmup, n_timed
        self.total = Seconds(0.0, 0.0)

    def on_train_epoch_start(self, *args: Any, **kwargs: Any) -> None:
        self._start = Seconds.now()

    def on_train_epoch_end(self, trainer: Any, plan: Any) -> None:
        spent = Seconds.now().since(self._start)
        if trainer.current_epoch >= self.n_warmup:
            self.total = Seconds(*(a + b for a, b in zip(self.total, spent, strict=True)))
        if trainer.current_epoch + 1 == self.n_warmup + self.n_timed:
            raise StopTraining


def epochs(model: Any, n_warmup: int, n_timed: int, **kwargs: Any) -> Callable[[], Seconds]:
    """Function that times some epochs at each call."""

    def run() -> Seconds:
        timer = Epochs(n_warmup, n_timed)
        train(model, timer, max_epochs=n_warmup + n_timed + 1, **kwargs)
        return timer.total.times(1 / n_timed)

    return run


def epoch_rows(name: str, data: Dataset, repeats: int, n_epochs: int) -> Iterator[Row]:
    """Variants of a training epoch against MultiVI."""
    model = multidgd(data)
    functions = {
        variant: epochs(model, n_epochs, n_epochs, **kwargs)
        for variant, kwargs in VARIANTS.items()
    }
    found = alternate({**functions, "other": epochs(multivi(data), 1, 1)}, repeats)
    for variant in VARIANTS:
        yield Row(
            f"epoch-{name} {variant}", "training epoch", "MultiVI", found[variant], found["other"]
        )


def inference_row(name: str, data: Dataset, repeats: int) -> Row:
    """Representations of new cells against one training epoch."""
    model = multidgd(data)
    options = {k: v for k, v in VARIANTS["on-device"].items() if k != "plan_kwargs"}
    model.train(max_epochs=5, early_stopping=False, **options, **QUIET)
    query = data.data[:N_QUERY].copy()
    query.obs_names = [f"new-{cell}" for cell in query.obs_names]
    for part in query.mod.values():
        part.obs_names = query.obs_names

    def infer() -> Seconds:
        # Representations are cached as long as the object exists.
        new = query.copy()
        return timed(lambda: model.get_latent_representation(new))

    found = alternate(
        {"ours": infer, "epoch": epochs(model, 1, 1, **VARIANTS["on-device"])}, repeats
    )
    work = f"representations of {query.n_obs:,} new cells"
    return Row(f"inference-{name}", work, "its own training epoch", found["ours"], found["epoch"])


def main() -> None:
    """Parse the command line, measure, print the table."""
    parser = make_parser("benchmarks.speed.gpu", __doc__)
    parser.add_argument("--threads", type=int, default=4)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--cache", type=Path, default=Path(".cache"), help="simulated data")
    parser.add_argument("--out", type=Path, help="results file")
    parser.add_argument("--tiny", action="store_true", help="small data, for trying the script")
    args = parser.parse_args()
    if not (args.tiny or torch.cuda.is_available()):
        parser.error("torch finds no CUDA device; --tiny tries the script without one")
    warnings.filterwarnings("ignore")
    scvi.settings.verbosity = 30
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    torch.set_num_threads(args.threads)
    sets = {"wide": lambda: read(wide(args.cache, tiny=args.tiny))}
    if not args.tiny:
        sets = {"snareseq": lambda: load("snareseq_mouse_cortex"), **sets}
    rows: list[Row] = []
    for name, data in sets.items():
        rows += epoch_rows(name, data(), args.repeats, 1 if args.tiny else 4)
        rows.append(inference_row(name, data(), args.repeats))
        print(table(rows), flush=True)
        if args.out is not None:
            save(args, rows)


def save(args: argparse.Namespace, rows: list[Row]) -> None:
    """Write the results file."""
    repeats = args.repeats if args.repeats != 3 else None
    named = command("speed.gpu", threads=args.threads, repeats=repeats, out=args.out)
    write(args.out, named, {**environment(args.threads), "rows": [r.as_json() for r in rows]})


if __name__ == "__main__":
    main()
