"""``multidgd demo``: train on simulated data and compare the results with the truth."""

from __future__ import annotations

import argparse
import sys
from contextlib import redirect_stdout

import numpy as np
import scvi

from multiDGD import MultiDGD
from multiDGD._log import logger
from multiDGD._scores import mean_correlation
from multiDGD.cli._describe_data import summarize_counts
from multiDGD.cli._linear import linear_representations
from multiDGD.cli._output import (
    make_folder,
    print_paths,
    refuse_results,
    write_training_results,
)
from multiDGD.cli._scores import EXPLANATION, format_table, score
from multiDGD.cli._training import train
from multiDGD.cli._umap import add_umap
from multiDGD.datasets import simulate_multiome


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
    with redirect_stdout(sys.stderr):
        model.annotate()
    add_umap(data, args.seed)
    annotations = data.obs["cell_type"], data.obs["batch"]
    scores = score(data.obsm["X_multidgd"], *annotations)
    linear = linear_representations(data, "batch", args.seed)
    for name, means in truth.items():
        estimate = np.asarray(model.get_normalized_expression(modality=name))
        overall, across = mean_correlation(estimate, means)
        scores[f"correlation with the true means, {name}"] = overall
        scores[f"correlation with the true means across cells, {name}"] = across
    colors = ["cell_type", "batch", "multidgd_component"]
    with redirect_stdout(sys.stderr):
        paths = write_training_results(model, data, args.out, colors, "cell_type")
    print("agreement with the truth (1 is perfect; cell types were not used for training):")
    others = {method: score(latent, *annotations) for method, latent in linear.items()}
    print(format_table({"multiDGD": scores, **others}))
    print(EXPLANATION)
    print_paths(paths)
