"""Memory of tables with one row for each cell."""

import errno
import tracemalloc
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import scvi
import torch
from scipy import sparse

from multiDGD import MultiDGD
from multiDGD.init import _masked_sums, cluster_initialisation, spectral_embedding
from multiDGD.saving import _write
from multiDGD.stats import LibraryRegression
from tests.toy import toy_adata

N_CELLS = 200_000


@contextmanager
def at_most(n_bytes):
    """Check the peak of the memory that numpy allocates, in bytes for each cell."""
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < n_bytes * N_CELLS
    finally:
        tracemalloc.stop()


@pytest.fixture
def small_parts(monkeypatch):
    monkeypatch.setattr(_masked_sums, "_PART", 70)


class TestLibraryRegression:
    def test_needs_less_memory_than_its_regressors(self):
        rng = np.random.default_rng(0)
        z_nl = rng.normal(size=(N_CELLS, 20)).astype(np.float32)
        library_nm = rng.poisson(3, (N_CELLS, 2)).astype(float)
        with at_most(500):
            LibraryRegression.fit(z_nl, library_nm, ["rna", "atac"])


class TestInitialisation:
    def test_parts_do_not_change_it(self, request):
        rng = np.random.default_rng(0)
        counts = {"rna": rng.poisson(2, (500, 12)), "atac": rng.poisson(1, (500, 9))}
        counts["atac"][:100] = 0
        counts = {m: sparse.csr_matrix(x) for m, x in counts.items()}
        fit = np.arange(500) % 10 > 0
        whole = spectral_embedding(counts, n_latent=5, fit_cells=fit)
        clusters = cluster_initialisation(whole, 3)
        request.getfixturevalue("small_parts")
        np.testing.assert_allclose(
            spectral_embedding(counts, n_latent=5, fit_cells=fit), whole, atol=1e-4
        )
        for found, expected in zip(cluster_initialisation(whole, 3), clusters, strict=True):
            np.testing.assert_array_equal(found, expected)

    def test_means_need_no_copy_of_the_scores(self):
        scores = np.random.default_rng(0).normal(size=(N_CELLS, 20))
        everything = np.ones(N_CELLS, dtype=bool)
        with at_most(150):
            _masked_sums.mean_of(scores, everything)
            _masked_sums.variance_of(scores, everything)
            _masked_sums.mean_square_of(scores, everything)


def test_checkpoint_after_the_training(tmp_path):
    scvi.settings.seed = 0
    adata = toy_adata()
    MultiDGD.setup_anndata(adata)
    model = MultiDGD(adata, n_latent=3, n_components=2)
    options = {"accelerator": "cpu", "enable_progress_bar": False}
    model.train(max_epochs=2, **options)
    model.trainer.save_checkpoint(tmp_path / "late.ckpt")
    model = MultiDGD(adata, n_latent=3, n_components=2)
    model.train(max_epochs=3, resume_from=tmp_path / "late.ckpt", **options)
    assert len(model.history["train_loss"]) == 3
    # The moments of the checkpoint are not kept beside those of the optimiser.
    assert model.trainer.lightning_module._resumed is None


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux only")
def test_model_pt_raises_the_reason():
    with (
        pytest.raises(OSError, match="No space left") as error,
        _write._Writer(Path("/dev/full")) as file,
    ):
        torch.save(torch.zeros(100_000), file)
    assert error.value.errno == errno.ENOSPC
