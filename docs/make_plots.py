"""Draw the example plots of the documentation from simulated data.

``python docs/make_plots.py`` writes ``docs/_static/plots/*.png`` in two minutes. To draw only some
plots, pass their names. A fixed seed makes the cells reproducible.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Callable
from functools import cache
from pathlib import Path

import matplotlib as mpl
import numpy as np
import scanpy as sc
import scvi
from mudata import MuData

import multiDGD
from multiDGD import MultiDGD, pl

FOLDER = Path(__file__).parent / "_static" / "plots"
QUIET = {"enable_progress_bar": False, "accelerator": "cpu"}


def simulated(**kwargs: float) -> MuData:
    """Simulate cells of six overlapping types in two batches, with three linked peaks per gene."""
    size = {"n_cells": 1500, "n_genes": 200, "n_peaks": 1000, "n_types": 6, "n_linked_peaks": 3}
    library = {"rna_library_size": 600, "atac_library_size": 500}
    overlap = {"type_separation": 0.6, "batch_effect": 0.1}
    return multiDGD.datasets.simulate_multiome(
        **{**size, **library, **overlap, "seed": 1, **kwargs}
    )


@cache
def cells() -> tuple[MuData, MuData]:
    """Simulate training cells and as many new cells."""
    mdata = simulated(n_cells=3000)
    return mdata[:1500].copy(), mdata[1500:].copy()


@cache
def trained(*, supervised: bool) -> MultiDGD:
    """Train a model on the simulated cells, with or without their types as labels."""
    scvi.settings.seed = 0
    mdata = cells()[0].copy()
    labels = {"labels_key": "cell_type"} if supervised else {}
    MultiDGD.setup_mudata(mdata, batch_key="batch", **labels)
    model = MultiDGD(mdata, n_latent=10, n_components=None if supervised else 12)
    model.train(**QUIET)
    return model


@cache
def mosaic() -> MuData:
    """Simulate a mosaic: one batch without ATAC, and another in which half of the cells lack RNA."""
    mdata = simulated(n_batches=3)
    batch = mdata.obs["batch"].astype(str).to_numpy()
    half = np.arange(mdata.n_obs) % 2 == 0
    missing = {"rna": (batch == "batch_1") & half, "atac": batch == "batch_0"}
    parts = {m: mdata[m][~missing[m]].copy() for m in mdata.mod}
    mixed = MuData(parts)
    mixed.obs["batch"] = mdata.obs["batch"].reindex(mixed.obs_names)
    return mixed


def history(save: Path) -> None:
    pl.history(trained(supervised=True), save=save)


def representation(save: Path) -> None:
    pl.representation(trained(supervised=True), "cell_type", save=save)


def representation_components(save: Path) -> None:
    pl.representation(trained(supervised=False), "component", save=save)


def covariate_representation(save: Path) -> None:
    pl.covariate_representation(trained(supervised=True), "batch", save=save)


def composition(save: Path) -> None:
    pl.composition(trained(supervised=False), "cell_type", save=save)


def uncertainty(save: Path) -> None:
    model = trained(supervised=False)
    model.adata.obsm["X_multidgd"] = model.get_latent_representation()
    sc.pp.neighbors(model.adata, use_rep="X_multidgd")
    sc.tl.umap(model.adata)
    pl.uncertainty(model, save=save)


def counts_vs_predicted(save: Path) -> None:
    pl.counts_vs_predicted(trained(supervised=False), "atac", save=save)


def calibration(save: Path) -> None:
    """Draw the calibration on new cells."""
    new = cells()[1]
    probabilities = trained(supervised=True).predict(new, soft=True)
    pl.calibration(probabilities, new.obs["cell_type"], save=save)


def volcano(save: Path) -> None:
    table = trained(supervised=False).differential_expression(
        groupby="cell_type", group1="type_0", group2="type_1", silent=True
    )
    pl.volcano(table, save=save)


def perturbation(save: Path) -> None:
    model = trained(supervised=False)
    table = model.perturb("gene_3", groupby="cell_type", n_cells=20, n_controls=20, n_samples=2)
    pl.perturbation(table, save=save)


def locus(save: Path) -> None:
    model = trained(supervised=False)
    types = model.adata.obs["cell_type"].astype(str).to_numpy()
    tables = {
        name: model.gene2peak("gene_3", indices=np.flatnonzero(types == name), n_cells=100)
        for name in np.unique(types)[:4]
    }
    pl.locus(tables, "gene_3", window=400_000, save=save)


def likelihoods(save: Path) -> None:
    mdata = simulated(n_cells=400, n_genes=100, n_peaks=300)
    MultiDGD.setup_mudata(mdata, batch_key="batch")
    names = {"rna": ["nb", "poisson"], "atac": ["nb", "poisson", "bernoulli"]}
    table = MultiDGD.compare_likelihoods(mdata, names, max_epochs=15, **QUIET)
    pl.likelihoods(table, save=save)


def modalities(save: Path) -> None:
    pl.modalities(mosaic(), "batch", save=save)


PLOTS: dict[str, Callable[[Path], None]] = {
    f.__name__: f
    for f in (
        history, representation, representation_components, covariate_representation, composition,
        uncertainty, counts_vs_predicted, calibration, volcano, perturbation, locus, likelihoods,
        modalities,
    )
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(PLOTS))
    names = parser.parse_args().names or list(PLOTS)
    if unknown := set(names) - set(PLOTS):
        parser.error(f"unknown plots {sorted(unknown)}; choose from {list(PLOTS)}")
    mpl.use("agg")
    mpl.rcParams["savefig.dpi"] = 100
    logging.disable(logging.WARNING)
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name in names:
        PLOTS[name](FOLDER / f"{name}.png")


if __name__ == "__main__":
    main()
