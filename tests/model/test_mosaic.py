"""Mosaics: data with missing modalities in some cells."""

import copy

import anndata as ad
import mudata as md
import numpy as np
import pytest
import scipy.sparse as sp
import scvi
import torch
from sklearn.neighbors import KNeighborsClassifier
from tests.seeds import SEEDS

from multiDGD import MultiDGD
from multiDGD.datasets import simulate_multiome
from multiDGD.inference import infer_representations

QUIET = {"enable_progress_bar": False, "accelerator": "cpu"}


def trained(data, *, max_epochs=20):
    MultiDGD.setup_mudata(data, batch_key="batch")
    model = MultiDGD(data)
    model.train(max_epochs=max_epochs, **QUIET)
    return model


@pytest.fixture(scope="module")
def briefly_trained(_read):
    """Model of two epochs, shared by tests that do not change it."""
    scvi.settings.seed = 0
    return trained(_read("pbmc_cite_mosaic.h5mu"), max_epochs=2)


def measured(mdata):
    """Mask of the measured modalities of each cell, shape ``(n_cells, modalities)``."""
    return np.stack([mdata.obs_names.isin(part.obs_names) for part in mdata.mod.values()], axis=1)


def with_zeros(mdata):
    """The same cells as one AnnData, with zeros for missing modalities."""
    blocks, kinds, names = [], [], []
    for modality, part in mdata.mod.items():
        x = np.zeros((mdata.n_obs, part.n_vars), np.float32)
        x[mdata.obs_names.get_indexer(part.obs_names)] = part.X.toarray()
        blocks.append(x)
        kinds += [modality] * part.n_vars
        names += list(part.var_names)
    adata = ad.AnnData(sp.csr_matrix(np.hstack(blocks)), obs=mdata.obs[["batch"]].copy())
    adata.var_names = names
    adata.var["kind"] = kinds
    return adata


def neighbour_accuracy(z, labels, reference, query):
    predicted = KNeighborsClassifier(15).fit(z[reference], labels[reference]).predict(z[query])
    return (predicted == labels[query]).mean()


@pytest.mark.parametrize("seed", SEEDS)
def test_cells_of_one_type_are_neighbours_across_modalities(pbmc_cite_mosaic, seed):
    scvi.settings.seed = seed
    z = trained(pbmc_cite_mosaic).get_latent_representation()
    labels = pbmc_cite_mosaic.obs["celltype"].astype(str).to_numpy()
    rna, adt = measured(pbmc_cite_mosaic).T
    # 0.83 to 0.90; 0.08 to 0.41 if modalities stay separate, as with an initialisation at zero.
    assert neighbour_accuracy(z, labels, adt & ~rna, rna & ~adt) > 0.8
    assert neighbour_accuracy(z, labels, rna & ~adt, adt & ~rna) > 0.8


def test_modality_with_zeros_only_is_missing(pbmc_cite_mosaic):
    adata = with_zeros(pbmc_cite_mosaic)
    MultiDGD.setup_mudata(pbmc_cite_mosaic, modalities=["adt", "rna"], batch_key="batch")
    MultiDGD.setup_anndata(adata, modality_key="kind", batch_key="batch")
    results = []
    for data in (pbmc_cite_mosaic, adata):
        scvi.settings.seed = 0
        model = MultiDGD(data)
        model.train(max_epochs=3, **QUIET)
        assert model.module.modalities == ["adt", "rna"]
        error = model.get_reconstruction_error()
        results.append((model.get_latent_representation(), list(error.values())))
    np.testing.assert_allclose(results[0][0], results[1][0], rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(results[0][1], results[1][1], rtol=1e-5)


def test_missing_modality_does_not_affect_representations(briefly_trained):
    model = briefly_trained
    rna, adt = measured(model.adata).T
    changed = copy.deepcopy(model.module)
    with torch.no_grad():
        for parameter in changed.decoder.head("adt").parameters():
            parameter.add_(torch.randn_like(parameter))

    def inferred(module, cells):
        return infer_representations(module, model.adata_manager.batches(cells))

    cells = np.flatnonzero(rna & ~adt)[:20]
    torch.testing.assert_close(inferred(model.module, cells), inferred(changed, cells))
    cells = np.flatnonzero(adt)[:20]
    assert (inferred(model.module, cells) - inferred(changed, cells)).abs().max() > 0.1


def test_representations_of_mosaic_cells_are_optimal(briefly_trained):
    model = briefly_trained
    cells = np.flatnonzero(~measured(model.adata).all(axis=1))
    batch = next(model.adata_manager.batches(cells, len(cells)))
    stored = model.module.representations.z.detach()[cells]
    inferred = infer_representations(model.module, [batch])
    with torch.no_grad():
        loss, optimum = (
            model.module.objective(batch, w).loss / len(w) for w in (stored, inferred)
        )
    # After two epochs of training alone, the loss is about 12 nats above the optimum.
    assert loss < optimum + 1


def test_subset_without_any_cell_of_a_modality(briefly_trained):
    model = briefly_trained
    rna, adt = measured(model.adata).T
    cells = np.flatnonzero(rna & ~adt)[:80]
    part = model.adata[cells].copy()
    assert part["adt"].n_obs == 0
    np.testing.assert_array_equal(
        model.get_latent_representation(part), model.get_latent_representation(indices=cells)
    )
    imputed = model.impute(part, "adt")
    np.testing.assert_allclose(imputed, model.impute(modality="adt", indices=cells), rtol=1e-4)
    # A model of this subset alone cannot be trained.
    with pytest.raises(ValueError, match="is empty: 0 cells"):
        MultiDGD.setup_mudata(part)


def test_library_size_of_a_missing_modality():
    mdata = simulate_multiome(n_cells=100, n_genes=20, n_peaks=30)
    obs = mdata.obs
    mdata = md.MuData({"rna": mdata["rna"].copy(), "atac": mdata["atac"][:50].copy()})
    mdata.obs["batch"] = obs["batch"]
    model = trained(mdata, max_epochs=1)
    options = {"modality": "atac", "library_size": "latent", "return_numpy": True}
    total = model.get_normalized_expression(**options).sum(1)
    np.testing.assert_allclose(total[:50], mdata["atac"].X.sum(1).A1, rtol=1e-4)
    np.testing.assert_allclose(total[50:], model.library_medians_["atac"], rtol=1e-4)
    lower, upper = model.get_expression_interval(indices=[99], **options)
    assert (lower < upper).all()
    selection = {"indices": [99], "return_numpy": True}
    np.testing.assert_allclose(
        model.get_accessibility_estimates(library_size="latent", **selection),
        model.get_accessibility_estimates(**selection),
        rtol=1e-5,
    )
