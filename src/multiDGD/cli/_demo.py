"""``multidgd demo``: train on simulated data and compare with the truth."""

from __future__ import annotations

import argparse
import logging

import scvi

from multiDGD import MultiDGD
from multiDGD._scores import mean_correlation
from multiDGD.datasets import simulate_multiome

from ._io import summarize
from ._results import embed, make_folder, score, table, train, write

logger = logging.getLogger(__name__)


def run_demo(args: argparse.Namespace) -> None:
    """Simulate, train, print what was recovered and write the results.

    Parameters
    ----------
    args
        Arguments as the parser gives them.

    Raises
    ------
    UserError
        If the folder for the results cannot be made.

    Examples
    --------
    >>> run_demo(build_parser().parse_args(["demo"]))  # doctest: +SKIP
    """
    make_folder(args.out)
    logger.info("Simulating %d cells", args.n_cells)
    data = simulate_multiome(n_cells=args.n_cells, true_means=True, seed=args.seed)
    truth = {name: modality.layers.pop("true_mean") for name, modality in data.mod.items()}
    scvi.settings.seed = args.seed
    MultiDGD.setup_mudata(data, batch_key="batch")
    model = MultiDGD(data)
    print(summarize(data, None, None), flush=True)

    print(train(model, args.max_epochs, args.out), flush=True)
    latent = embed(model, data, args.seed)
    scores = score(latent, data.obs["cell_type"], data.obs["batch"])
    for name, means in truth.items():
        estimate = model.get_normalized_expression(modality=name)
        overall, across = mean_correlation(estimate, means)
        scores[f"correlation with the true means, {name}"] = overall
        scores[f"correlation with the true means across cells, {name}"] = across
    written = write(model, data, args.out, ["cell_type", "batch", "multidgd_component"])
    print("recovered (1 is the truth; cell types were not shown to the model):")
    print(table(scores))
    for what, path in written.items():
        print(f"{what}: {path}")
