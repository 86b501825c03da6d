"""Rows of the speed benchmark: one function per case, which yields its rows.

Both sides of a row run in turn in one process, on the same cells and with the same batch size and
number of threads. They run in float32 unless the row has another precision.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import torch

from benchmarks.shared.data import Dataset, load
from benchmarks.shared.kernels import bare_products, dense_log_prob, random_counts
from benchmarks.shared.simulated import many, read, wide
from benchmarks.shared.timing import Seconds, alternate, device, timed
from benchmarks.shared.training_steps import block, epoch, multidgd, multivi, stepper, totalvi
from benchmarks.speed.memory import above_data
from benchmarks.speed.rows import Row
from benchmarks.speed.time_to_quality import final_rows, time_to
from multiDGD.nn import NegativeBinomial, Workspace

FASTEST = "bf16-mixed"
SNARESEQ = "snareseq_mouse_cortex"
#: Updates representations from the first epoch on, so that a step has all its parts.
WHOLE_STEP = {"plan_kwargs": {"hold": 0.0}}


@dataclass(frozen=True)
class Options:
    """Settings of a run."""

    repeats: int
    n_warmup: int
    n_steps: int
    n_steps_wide: int
    threads: int
    cache: Path
    tiny: bool


@functools.cache
def _data(name: str, cache: Path, tiny: bool) -> Dataset:
    return read(wide(cache, tiny=tiny)) if name == "wide" else load(name)


@functools.cache
def _ours(name: str, cache: Path, tiny: bool) -> Any:
    """MultiDGD after initialisation, which blocks of steps must not include."""
    model = multidgd(_data(name, cache, tiny))
    block(model, 1, 1)
    return model


def _epoch(
    case: str,
    name: str,
    other: Callable[[Dataset], Any],
    against: str,
    targets: tuple[float | None, float | None],
    o: Options,
    batch: int = 128,
) -> Iterator[Row]:
    """Two precisions of MultiDGD against another model, from blocks of steps."""
    size = {"batch_size": batch}
    is_wide = name == "wide" and not o.tiny
    n_warmup, n_steps = (1, o.n_steps_wide) if is_wide else (o.n_warmup, o.n_steps)
    mine, model = _ours(name, o.cache, o.tiny), other(_data(name, o.cache, o.tiny))
    _, n = block(model, 1, 1, **size)
    found = alternate(
        {
            "float32": stepper(mine, o.n_warmup, o.n_steps, **size, **WHOLE_STEP),
            FASTEST: stepper(mine, o.n_warmup, o.n_steps, precision=FASTEST, **size, **WHOLE_STEP),
            "other": stepper(model, n_warmup, n_steps, **size),
        },
        o.repeats,
    )
    per_epoch = {k: [s.times(n) for s in v] for k, v in found.items()}
    for precision, target in zip(("float32", FASTEST), targets, strict=True):
        yield Row(
            f"{case} {precision}",
            "training epoch",
            against,
            per_epoch[precision],
            per_epoch["other"],
            target,
            note=f"{n} steps of {batch} cells, from blocks of {o.n_steps} steps (ours) and "
            f"{n_steps} steps (other)",
        )


def epoch_snareseq(o: Options) -> Iterator[Row]:
    """Training epoch, snareseq_mouse_cortex, against MultiVI."""
    yield from _epoch("epoch-snareseq", SNARESEQ, multivi, "MultiVI", (3, 6), o)


def epoch_wide(o: Options) -> Iterator[Row]:
    """Training epoch, 3,000 simulated cells x (13,000 + 116,000), against MultiVI."""
    yield from _epoch("epoch-wide", "wide", multivi, "MultiVI", (3, 8), o)


def epoch_pbmc10k(o: Options) -> Iterator[Row]:
    """Training epoch, pbmc10k_cite, against totalVI, both with its default batch size."""
    yield from _epoch("epoch-pbmc10k", "pbmc10k_cite", totalvi, "totalVI", (4, None), o, 256)


def _likelihood(
    case: str, f: int, density: float, target: float | None, o: Options
) -> Iterator[Row]:
    f = f // 40 if o.tiny else f
    counts = random_counts(128, f, density)
    x_nf = counts.to_dense()
    nb = NegativeBinomial(f).to(device())
    logits = torch.randn(128, f, device=device()).requires_grad_()
    workspace = Workspace()

    def ours() -> torch.Tensor:
        return nb.log_prob(logits, counts, workspace)

    def dense() -> torch.Tensor:
        return dense_log_prob(logits, x_nf, counts.library, nb.log_r)

    def step(log_prob: Callable[[], torch.Tensor]) -> None:
        logits.grad = nb.log_r.grad = None
        log_prob().sum().backward()

    torch.testing.assert_close(ours(), dense(), rtol=1e-3, atol=0)
    found = alternate(
        {
            "ours": lambda: timed(lambda: step(ours), 3),
            "dense": lambda: timed(lambda: step(dense)),
        },
        o.repeats,
    )
    yield Row(
        case,
        f"NB forward + backward, 128 x {f:,} at {density:.1%}",
        "dense lgamma form, autograd",
        found["ours"],
        found["dense"],
        target,
    )


def likelihood_wide(o: Options) -> Iterator[Row]:
    """NB likelihood, forward and backward, 128 x 116,000 at 3 %, against the dense form."""
    yield from _likelihood("likelihood-wide", 116_000, 0.03, 10, o)


def likelihood_snareseq(o: Options) -> Iterator[Row]:
    """The same at 25,734 features and 0.4 %."""
    yield from _likelihood("likelihood-snareseq", 25_734, 0.004, None, o)


def likelihood_vs_copy(o: Options) -> Iterator[Row]:
    """NB likelihood and derivatives against a copy of the logits."""
    f = 116_000 // (40 if o.tiny else 1)
    counts = random_counts(128, f, 0.03)
    nb = NegativeBinomial(f).to(device())
    logits = torch.randn(128, f, device=device()).requires_grad_()
    destination, workspace = torch.empty_like(logits), Workspace()
    found = alternate(
        {
            "ours": lambda: timed(lambda: nb.log_prob(logits, counts, workspace), 10),
            "copy": lambda: timed(lambda: destination.copy_(logits.detach()), 10),
        },
        o.repeats,
    )
    bandwidth = 2 * destination.nbytes / median(s.wall for s in found["copy"]) / 1e9
    yield Row(
        "likelihood-vs-copy",
        f"NB value and derivatives, 128 x {f:,} at 3 %",
        "copy of the logits",
        found["ours"],
        found["copy"],
        at_most=True,
        note=f"bandwidth of the copy: {bandwidth:,.0f} GB/s",
    )


def step_vs_matmul(o: Options) -> Iterator[Row]:
    """Training step against the bare matrix products of the decoder, forward and backward."""
    for name in (SNARESEQ, "wide"):
        model = _ours(name, o.cache, o.tiny)
        products = bare_products(model.module.decoder, 128)
        found = alternate(
            {
                "ours": stepper(model, o.n_warmup, o.n_steps, **WHOLE_STEP),
                "products": lambda run=products: timed(run, o.n_steps),
            },
            o.repeats,
        )
        yield Row(
            f"step-vs-matmul {name}",
            "training step",
            "bare matrix products",
            found["ours"],
            found["products"],
            2,
            at_most=True,
            note=f"blocks of {o.n_steps} steps of 128 cells",
        )


def bf16(o: Options) -> Iterator[Row]:
    """Training step in bf16 against float32, wide."""
    model = _ours("wide", o.cache, o.tiny)
    found = alternate(
        {
            "bf16": stepper(model, o.n_warmup, o.n_steps, precision=FASTEST, **WHOLE_STEP),
            "float32": stepper(model, o.n_warmup, o.n_steps, **WHOLE_STEP),
        },
        o.repeats,
    )
    note = f"blocks of {o.n_steps} steps of 128 cells"
    both = found["bf16"], found["float32"]
    yield Row("bf16", "training step, wide, bf16", "MultiDGD in float32", *both, 1.5, note=note)


def scaling(o: Options) -> Iterator[Row]:
    """Time per cell and epoch with 100,000 cells against 10,000, 500 + 1,000 features."""
    sizes = (2_000, 1_000) if o.tiny else (100_000, 10_000)
    models = {n: multidgd(read(many(o.cache, n))) for n in sizes}

    def per_thousand_cells(n: int, n_epochs: int) -> Seconds:
        # Several epochs of the small data set, so that both sides take a similar time.
        seconds = [epoch(models[n], **WHOLE_STEP) for _ in range(n_epochs)]
        return Seconds(*(sum(s) / n_epochs for s in zip(*seconds, strict=True))).times(1000 / n)

    found = alternate(
        {
            "large": lambda: per_thousand_cells(sizes[0], 1),
            "small": lambda: per_thousand_cells(sizes[1], 5),
        },
        o.repeats,
    )
    work = f"epoch per 1,000 cells, {sizes[0]:,} cells"
    against = f"MultiDGD, {sizes[1]:,} cells"
    both = found["large"], found["small"]
    yield Row("scaling", work, against, *both, 1.1, at_most=True, note="500 + 1,000 features")


def memory_wide(o: Options) -> Iterator[Row]:
    """Peak memory of training above the data, wide, against MultiVI."""
    path = wide(o.cache, tiny=o.tiny)
    n_steps = 3 if o.tiny else 10

    def peak(model: str, n: int) -> list[Seconds]:
        found = above_data(path, model, n, o.threads)
        return [Seconds(found, found)]

    other = peak("multivi", 3)
    for model, target in (("multidgd", 0.5), ("multidgd-no-initialisation", None)):
        preposition = "with" if model == "multidgd" else "without"
        yield Row(
            f"memory-wide {preposition} spectral initialisation",
            "peak above the data",
            "MultiVI",
            peak(model, n_steps),
            other,
            target,
            at_most=True,
            unit="MiB",
            note=f"one process each, {n_steps} steps (ours) and 3 steps (other)",
        )


def _time_to_quality(case: str, name: str) -> Iterator[Row]:
    targets = final_rows(name, "multivi")
    theirs = [_train_seconds(target) for target in targets]
    epochs = sorted({t["epochs"] for t in targets})
    by_hand = "" if all(t["max_epochs"] is None for t in targets) else " (set by hand)"
    against = f"MultiVI, complete training of {'-'.join(map(str, epochs))} epochs{by_hand}"
    found = [time_to(name, target) for target in targets]
    notes = [
        f"seed {t['seed']}: {note}{'' if seconds else ', not reached'}"
        for t, (seconds, note) in zip(targets, found, strict=True)
    ]
    ours = [seconds for seconds, _ in found if seconds]
    if len(ours) == len(found):
        work = "training until the final scores of MultiVI"
        yield Row(f"{case} reached", work, against, ours, theirs, 5, note="; ".join(notes))
    else:
        print(f"{case}: not reached with every seed. {'; '.join(notes)}", flush=True)
    try:
        whole = final_rows(name, "multidgd")
    except FileNotFoundError:
        return
    ends = [(t["scores"]["knn"], t["scores"]["kmeans_nmi"]) for t in whole]
    note = "kNN / NMI at the end: " + ", ".join(f"{knn:.3f} / {nmi:.3f}" for knn, nmi in ends)
    mine = [_train_seconds(t) for t in whole]
    yield Row(f"{case} whole", "complete training", against, mine, theirs, paired=False, note=note)


def _train_seconds(run: dict[str, Any]) -> Seconds:
    return Seconds(run["wall_seconds"], run["cpu_seconds"])


def time_to_quality(o: Options) -> Iterator[Row]:
    """Time to the final kNN accuracy and NMI of MultiVI, bmmc_multiome."""
    yield from _time_to_quality("time-to-quality", "bmmc_multiome")


def time_to_quality_snareseq(o: Options) -> Iterator[Row]:
    """The same on snareseq_mouse_cortex (slow)."""
    yield from _time_to_quality("time-to-quality-snareseq", SNARESEQ)


#: In the order of the table.
CASES: dict[str, Callable[[Options], Iterator[Row]]] = {
    function.__name__.replace("_", "-"): function
    for function in (
        epoch_snareseq,
        epoch_wide,
        epoch_pbmc10k,
        likelihood_wide,
        likelihood_snareseq,
        likelihood_vs_copy,
        time_to_quality,
        time_to_quality_snareseq,
        step_vs_matmul,
        memory_wide,
        scaling,
        bf16,
    )
}
