"""Commands run in this process, on a small simulation and models fitted to it."""

from collections.abc import Callable
from pathlib import Path

import anndata as ad
import mudata as md
import pytest

from multiDGD.cli import main
from multiDGD.datasets import simulate_multiome

N_TRAINED = 60
FIGURES = ("history.png", "umap.png")
FILES = (*FIGURES, "report.html", "cellxgene.h5ad")
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys) -> Run:
    """Run a command; return its exit code, standard output and standard error."""

    def call(*argv: object) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main([str(argument) for argument in argv])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


@pytest.fixture
def fails(run) -> Callable[..., str]:
    """Run a command with invalid input; return its error message."""

    def call(*argv: object) -> str:
        code, out, err = run(*argv)
        assert (code, out) == (1, "")
        assert "Traceback" not in err
        last = err.strip().splitlines()[-1]
        assert last.startswith("multidgd: error: ")
        return last

    return call


@pytest.fixture(scope="session")
def multiome() -> md.MuData:
    return simulate_multiome(n_cells=80, n_genes=30, n_peaks=60, n_types=3, seed=1)


@pytest.fixture
def h5mu(multiome, tmp_path) -> Path:
    """File of the whole simulation."""
    multiome.write(tmp_path / "cells.h5mu")
    return tmp_path / "cells.h5mu"


@pytest.fixture(scope="session")
def trained_cells(multiome, tmp_path_factory) -> Path:
    """File of the cells that the model ``fitted`` is trained on."""
    path = tmp_path_factory.mktemp("trained") / "cells.h5mu"
    multiome[:N_TRAINED].copy().write(path)
    return path


@pytest.fixture(scope="session")
def fitted(trained_cells, tmp_path_factory) -> Path:
    """Output folder of ``fit`` for a MuData with labels and a batch."""
    out = tmp_path_factory.mktemp("fitted")
    argv = ["fit", trained_cells, "--batch-key", "batch", "--labels-key", "cell_type"]
    argv += ["--max-epochs", 2, "--n-latent", 4, "--out", out]
    assert main([str(argument) for argument in argv]) == 0
    return out


@pytest.fixture
def new_cells(multiome) -> md.MuData:
    """Cells held out from ``fitted``."""
    return multiome[N_TRAINED:].copy()


@pytest.fixture
def joint(multiome) -> ad.AnnData:
    """Both modalities in one AnnData, with the counts in a layer."""
    adata = ad.concat([multiome["rna"], multiome["atac"]], axis=1)
    adata.var["feature_types"] = ["Gene Expression"] * 30 + ["Peaks"] * 60
    adata.obs = multiome.obs[["cell_type", "batch"]].copy()
    adata.layers["counts"] = adata.X
    adata.X = adata.X / 3.5
    return adata


@pytest.fixture(scope="session")
def fitted_h5ad(multiome, tmp_path_factory) -> Path:
    """Output folder of ``fit`` for an AnnData of RNA, without labels and covariates."""
    folder = tmp_path_factory.mktemp("fitted_h5ad")
    rna = multiome["rna"].copy()
    rna.layers["counts"] = rna.X
    rna.X = rna.X / 2
    rna.write_h5ad(folder / "rna.h5ad")
    argv = ["fit", folder / "rna.h5ad", "--layer", "counts", "--max-epochs", 2, "--out", folder]
    assert main([str(argument) for argument in argv]) == 0
    return folder
