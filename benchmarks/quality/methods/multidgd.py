"""MultiDGD with its defaults; it is given the batch if there are several."""

from __future__ import annotations

import scvi

from benchmarks.quality.task import Fit, Task
from benchmarks.shared.count_halves import Profiles
from benchmarks.shared.data import BATCH_KEY
from benchmarks.shared.settings import QUIET
from benchmarks.shared.timing import Seconds
from multiDGD import MultiDGD


def multidgd(task: Task) -> Fit:
    """Train; predict second halves by the decoder and by posterior means."""
    scvi.settings.seed = task.seed
    train = task.train
    plain = train.data is train.modalities.get("rna")
    setup = MultiDGD.setup_anndata if plain else MultiDGD.setup_mudata
    clock = Seconds.now()
    setup(train.data, batch_key=BATCH_KEY if task.n_batches > 1 else None)
    model = MultiDGD(train.data)
    model.train(max_epochs=task.max_epochs, **QUIET)
    seconds = Seconds.now().since(clock)
    profiles: dict[str, Profiles] = {"decoder": {}, "posterior": {}}
    for name in train.modalities:
        given = {"adata": task.half.data, "return_numpy": True}
        given |= {} if plain else {"modality": name}
        for key, on in (("decoder", False), ("posterior", True)):
            profiles[key][name] = model.get_normalized_expression(condition_on_counts=on, **given)
    return Fit(
        embedding=model.get_latent_representation(),
        profiles=profiles,
        seconds=seconds,
        epochs=int(model.trainer.current_epoch),
    )
