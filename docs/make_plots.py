"""Draw the example plots of the documentation from real data.

``python docs/make_plots.py`` writes ``docs/_static/plots/*.png``. To draw only some plots, pass
their names. Most show the 700 blood cells of ``multiDGD.datasets.blood_cells``. Two need several
modalities; they are drawn if the environment variable ``MULTIDGD_TEST_DATA`` names the folder with
the data of the tests (CONTRIBUTING.md).
"""

from __future__ import annotations

import argparse
import logging
import os
from collections.abc import Callable
from functools import cache
from pathlib import Path

import matplotlib as mpl
import mudata
import numpy as np
import pandas as pd
import scvi
from anndata import AnnData

import multiDGD
from multiDGD import MultiDGD, pl

FOLDER = Path(__file__).parent / "_static" / "plots"
DATA = os.environ.get("MULTIDGD_TEST_DATA")
NEED_DATA = ("locus", "modalities")
QUIET = {"enable_progress_bar": False, "accelerator": "cpu"}


@cache
def cells() -> tuple[AnnData, AnnData]:
    """500 training cells and 200 new cells."""
    adata = multiDGD.datasets.blood_cells()
    is_new = np.zeros(adata.n_obs, bool)
    is_new[np.random.default_rng(0).choice(adata.n_obs, 200, replace=False)] = True
    return adata[~is_new].copy(), adata[is_new].copy()


@cache
def trained(*, supervised: bool) -> MultiDGD:
    """Train a model: on all cells without labels, or on the training cells with their types."""
    scvi.settings.seed = 0
    adata = cells()[0].copy() if supervised else multiDGD.datasets.blood_cells()
    labels = {"labels_key": "cell_type"} if supervised else {}
    MultiDGD.setup_anndata(adata, categorical_covariate_keys=["phase"], **labels)
    model = MultiDGD(adata)
    model.train(**QUIET)
    return model


def history(save: Path) -> None:
    pl.history(trained(supervised=False), save=save)


def representation(save: Path) -> None:
    pl.representation(trained(supervised=False), "cell_type", save=save)


def representation_gene(save: Path) -> None:
    pl.representation(trained(supervised=False), "NKG7", save=save)


def representation_plane(save: Path) -> None:
    pl.representation(trained(supervised=True), "cell_type", basis="plane", save=save)


def covariate_representation(save: Path) -> None:
    pl.covariate_representation(trained(supervised=False), "phase", save=save)


def composition(save: Path) -> None:
    pl.composition(trained(supervised=False), "cell_type", save=save)


def uncertainty(save: Path) -> None:
    pl.representation(trained(supervised=False), "uncertainty", components=False, save=save)


def counts_vs_predicted(save: Path) -> None:
    pl.counts_vs_predicted(trained(supervised=False), save=save)


def calibration(save: Path) -> None:
    """Draw the calibration on new cells."""
    new = cells()[1]
    probabilities = trained(supervised=True).predict(new, soft=True)
    pl.calibration(probabilities, new.obs["cell_type"], save=save)


def volcano(save: Path) -> None:
    table = trained(supervised=False).differential_expression(
        groupby="cell_type", group1="CD56+ NK", silent=True
    )
    pl.volcano(table, save=save)


def perturbation(save: Path) -> None:
    table = trained(supervised=False).perturb(
        "LYZ", groupby="cell_type", n_cells=20, n_controls=20, n_samples=2
    )
    pl.perturbation(table, save=save)


def likelihoods(save: Path) -> None:
    adata = cells()[0].copy()
    MultiDGD.setup_anndata(adata)
    table = MultiDGD.compare_likelihoods(
        adata, {"counts": ["nb", "poisson"]}, max_epochs=30, **QUIET
    )
    pl.likelihoods(table, save=save)


def locus(save: Path) -> None:
    """Draw peaks of bone marrow around CD247, a gene of T and NK cells (NCBI Gene 919, GRCh38)."""
    mdata = read("bmmc_multiome.h5mu")
    scvi.settings.seed = 0
    MultiDGD.setup_mudata(mdata, batch_key="batch")
    model = MultiDGD(mdata)
    model.train(**QUIET)
    # Position in the genome GRCh38.
    gene = pd.DataFrame(
        {"chrom": ["chr1"], "start": [167_430_640], "end": [167_518_529]}, ["CD247"]
    )
    links = model.gene2peak("CD247", positions=gene, n_cells=300)
    pl.locus(links, "CD247", window=20_000_000, save=save)


def modalities(save: Path) -> None:
    pl.modalities(read("pbmc_cite_mosaic.h5mu"), "batch", save=save)


def read(name: str) -> mudata.MuData:
    """Read a file of the data of the tests."""
    return mudata.read_h5mu(Path(DATA or "") / name)


PLOTS: dict[str, Callable[[Path], None]] = {
    f.__name__: f
    for f in (
        history, representation, representation_gene, representation_plane,
        covariate_representation, composition, uncertainty, counts_vs_predicted, calibration, volcano, perturbation, likelihoods, locus,
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
        if DATA is None and name in NEED_DATA:
            print(f"{name}: left out, set MULTIDGD_TEST_DATA to draw it")
        else:
            PLOTS[name](FOLDER / f"{name}.png")


if __name__ == "__main__":
    main()
