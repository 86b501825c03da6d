"""Fixtures for every test: a fixed seed, no stray files, and real data if available."""

import logging
import os

os.environ.setdefault("MPLBACKEND", "agg")
if "PYTEST_XDIST_WORKER" in os.environ:  # worker processes share the cores
    os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "NUMBA_NUM_THREADS"), "1"))

from collections.abc import Iterator
from pathlib import Path

import anndata as ad
import mudata as md
import pytest
import scvi
import torch

DATA_VARIABLE = "MULTIDGD_TEST_DATA"
DEFAULT_DATA_DIR = Path(__file__).parents[2] / "shared" / "data"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip tests marked ``gpu`` if torch finds no CUDA device."""
    if torch.cuda.is_available():
        return
    skip = pytest.mark.skip(reason="needs a CUDA device")
    for item in items:
        if item.get_closest_marker("gpu"):
            item.add_marker(skip)


@pytest.fixture(autouse=True)
def seed() -> int:
    """Set the seed before every test, so that tests do not depend on their order."""
    scvi.settings.seed = 0
    return 0


@pytest.fixture(autouse=True)
def threads() -> Iterator[None]:
    """Restore the number of threads after every test: scanpy sets it to the number of cores."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture(autouse=True, scope="session")
def logging_dir(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Keep training logs out of the working directory."""
    before = scvi.settings.logging_dir
    scvi.settings.logging_dir = tmp_path_factory.mktemp("scvi_log")
    yield scvi.settings.logging_dir
    scvi.settings.logging_dir = before


@pytest.fixture
def messages(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[str, str]]]:
    """Levels and texts that the package logs in a test, whatever other tests have set."""
    found: list[tuple[str, str]] = []
    handler = logging.Handler()
    handler.emit = lambda record: found.append((record.levelname, record.getMessage()))
    logger = logging.getLogger("scvi.multiDGD")
    monkeypatch.setattr(logger, "disabled", False)
    level = logger.level
    logger.setLevel(logging.INFO)
    logger.addHandler(handler)
    yield found
    logger.removeHandler(handler)
    logger.setLevel(level)


@pytest.fixture(autouse=True)
def close_figures() -> Iterator[None]:
    """Close the figures of the test."""
    yield
    import matplotlib.pyplot as plt

    plt.close("all")


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Folder of real data: ``$MULTIDGD_TEST_DATA``, by default next to the repository."""
    path = Path(os.environ.get(DATA_VARIABLE, DEFAULT_DATA_DIR))
    if not path.is_dir():
        pytest.skip(f"no test data at {path} (set {DATA_VARIABLE} to its folder)")
    return path


@pytest.fixture(scope="session")
def _read(data_dir: Path):
    """Read a file of ``data_dir`` once per session; skip the test if the file is missing."""
    cache: dict[str, ad.AnnData | md.MuData] = {}

    def read(name: str) -> ad.AnnData | md.MuData:
        if name not in cache:
            path = data_dir / name
            if not path.is_file():
                pytest.skip(f"no {name} in {data_dir}")
            cache[name] = md.read_h5mu(path) if path.suffix == ".h5mu" else ad.read_h5ad(path)
        return cache[name].copy()

    return read


@pytest.fixture
def bmmc_multiome(_read) -> md.MuData:
    """10x Multiome of human bone marrow, 500 cells: ``rna`` 600, ``atac`` 600; obs batch, cell_type."""
    return _read("bmmc_multiome.h5mu")


@pytest.fixture
def bmmc_cite(_read) -> md.MuData:
    """CITE-seq of human bone marrow, 600 cells: RNA 1,000, protein 134; obs batch, cell_type."""
    return _read("bmmc_cite.h5mu")


@pytest.fixture
def pbmc_cite_mosaic(_read) -> md.MuData:
    """CITE-seq mosaic of human PBMC: 800 paired, 400 RNA-only and 400 protein-only cells."""
    return _read("pbmc_cite_mosaic.h5mu")


@pytest.fixture
def pbmc10k_cite(_read) -> md.MuData:
    """CITE-seq of human PBMC, 6,855 cells: RNA 4,000, protein 14; obs cell_type."""
    return _read("pbmc10k_cite.h5mu")


@pytest.fixture
def snareseq(_read) -> md.MuData:
    """SNARE-seq of mouse cortex, 10,309 cells: RNA 1,677, ATAC 25,734; obs batch, cell_type."""
    return _read("snareseq_mouse_cortex.h5mu")


@pytest.fixture
def sc_mixology(_read) -> ad.AnnData:
    """RNA of five cell lines by five protocols, 1,408 cells x 11,533; obs batch, cell_type."""
    return _read("sc_mixology_5batch_rna.h5ad")
