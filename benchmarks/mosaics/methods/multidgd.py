"""MultiDGD with its defaults; it is given the batch if there are several."""

from __future__ import annotations

import numpy as np
import scvi

from benchmarks.mosaics.task import Fit, Task
from benchmarks.shared.data import BATCH_KEY
from benchmarks.shared.settings import QUIET
from benchmarks.shared.timing import Seconds
from multiDGD import MultiDGD


def multidgd(task: Task) -> Fit:
    """Train on the mosaic, and impute missing modalities."""
    scvi.settings.seed = task.seed
    data = task.data.data
    clock = Seconds.now()
    MultiDGD.setup_mudata(data, batch_key=BATCH_KEY if task.n_batches > 1 else None)
    model = MultiDGD(data)
    model.train(**task.limit, **QUIET)
    fit = Fit(
        seconds=Seconds.now().since(clock),
        embedding=model.get_latent_representation(),
        epochs=int(model.trainer.current_epoch),
    )
    if task.imputes:
        for name in task.single:
            counts = model.impute(modality=name, indices=task.lacking(name), return_numpy=True)
            # Of a Poisson distribution, the probability of a count above 0.
            fit.imputed[name] = -np.expm1(-counts) if name == "atac" else counts
    return fit
