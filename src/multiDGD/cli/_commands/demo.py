"""``multidgd demo``: train on simulated data and compare the results with the truth."""

from __future__ import annotations

import argparse
import logging

import numpy as np
import scvi

from multiDGD import MultiDGD
from multiDGD._scores import mean_correlation
from multiDGD.cli._describe_data import summarize_counts
from multiDGD.cli._output import (
    make_folder,
    print_paths,
    refuse_results,
    write_training_results,
)
from multiDGD.cli._scores import format_scores, score
from multiDGD.cli._shared_arguments import Commands, IntegerFrom, add_command, add_training
from multiDGD.cli._training import train
from multiDGD.cli._umap import add_umap
from multiDGD.datasets import simulate_multiome

logger = logging.getLogger(__name__)

_EPILOG = """\
examples:
  multidgd demo
  multidgd demo --n-cells 500 --seed 1 --out demo

files written to the --out folder:
  embedding.h5mu           the data with obsm `X_multidgd`, `X_multidgd_batch` and `X_umap`, and
                           obs `multidgd_component`
  history.png, umap.png    training history; UMAP by cell type, batch and component
  report.html              report: quality, cells, components and training, for any browser
  cellxgene.h5ad           log-normalised counts and UMAP, for cellxgene
  model/                   the model, for MultiDGD.load and the other commands
"""


def add_parser(commands: Commands[argparse.ArgumentParser]) -> None:
    """Add ``multidgd demo``."""
    parser = add_command(
        commands,
        "demo",
        run,
        help="train on simulated data and compare the results with the truth",
        description="Simulate a paired multiome, train a model, and compare the results with the "
        "simulated truth.",
        epilog=_EPILOG,
    )
    parser.add_argument(
        "--n-cells",
        type=IntegerFrom(20),
        default=1000,
        metavar="N",
        help="number of cells to simulate (default 1000)",
    )
    add_training(parser, "multidgd_demo")


def run(args: argparse.Namespace) -> None:
    """Simulate cells, train, print the scores and write the results.

    Raises
    ------
    UserError
        If the output folder cannot be made or written to, or contains results and
        ``--overwrite`` was not given.
    """
    refuse_results(args.out, args.overwrite)
    make_folder(args.out)
    logger.info("Simulating %d cells", args.n_cells)
    data = simulate_multiome(n_cells=args.n_cells, true_means=True, seed=args.seed)
    truth = {name: modality.layers.pop("true_mean") for name, modality in data.mod.items()}
    scvi.settings.seed = args.seed
    MultiDGD.setup_mudata(data, batch_key="batch")
    model = MultiDGD(data)
    print(summarize_counts(data, None, None), flush=True)

    print(train(model, args.max_epochs, args.out), flush=True)
    model.annotate()
    add_umap(data, args.seed)
    scores = score(data.obsm["X_multidgd"], data.obs["cell_type"], data.obs["batch"])
    for name, means in truth.items():
        estimate = np.asarray(model.get_normalized_expression(modality=name))
        overall, across = mean_correlation(estimate, means)
        scores[f"correlation with the true means, {name}"] = overall
        scores[f"correlation with the true means across cells, {name}"] = across
    colors = ["cell_type", "batch", "multidgd_component"]
    paths = write_training_results(model, data, args.out, colors, "cell_type")
    print("agreement with the truth (1 is perfect; cell types were not used for training):")
    print(format_scores(scores))
    print_paths(paths)
