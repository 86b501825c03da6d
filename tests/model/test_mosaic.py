"""Cells of which one modality or another was not measured."""

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
    """A model that is not changed by those who ask for it."""
    scvi.settings.seed = 0
    return trained(_read("pbmc_cite_mosaic.h5mu"), max_epochs=2)


def measured(mdata):
    """Which cell has which modality, shape ``(n_cells, modalities)``."""
    return np.stack([mdata.obs_names.isin(part.obs_names) for part in mdata.mod.values()], axis=1)


def with_zeros(mdata):
    """The same cells as one AnnData, zeros where a modality was not measured."""
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


def share_of_right_neighbours(z, labels, reference, query):
    found = KNeighborsClassifier(15).fit(z[reference], labels[reference]).predict(z[query])
    return (found == labels[query]).mean()


@pytest.mark.parametrize("seed", SEEDS)
def test_cells_of_one_type_meet_whatever_was_measured(pbmc_cite_mosaic, seed):
    scvi.settings.seed = seed
    z = trained(pbmc_cite_mosaic).get_latent_representation()
    labels = pbmc_cite_mosaic.obs["celltype"].astype(str).to_numpy()
    rna, adt = measured(pbmc_cite_mosaic).T
    # .83 to .90; .08 to .41 if modalities keep apart, as they do from representations of zero.
    assert share_of_right_neighbours(z, labels, adt & ~rna, rna & ~adt) > 0.8
    assert share_of_right_neighbours(z, labels, rna & ~adt, adt & ~rna) > 0.8


def test_zeros_of_a_whole_modality_are_no_measurement(pbmc_cite_mosaic):
    adata = with_zeros(pbmc_cite_mosaic)
    MultiDGD.setup_mudata(pbmc_cite_mosaic, modalities=["adt", "rna"], batch_key="batch")
    MultiDGD.setup_anndata(adata, modality_key="kind", batch_key="batch")
    found = []
    for data in (pbmc_cite_mosaic, adata):
        scvi.settings.seed = 0
        model = MultiDGD(data)
        model.train(max_epochs=3, **QUIET)
        assert model.module.modalities == ["adt", "rna"]
        error = model.get_reconstruction_error()
        found.append((model.get_latent_representation(), list(error.values())))
    np.testing.assert_allclose(found[0][0], found[1][0], rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(found[0][1], found[1][1], rtol=1e-5)


def test_a_modality_that_was_not_measured_says_nothing(briefly_trained):
    model = briefly_trained
    rna, adt = measured(model.adata).T
    changed = copy.deepcopy(model.module)
    with torch.no_grad():
        for parameter in changed.decoder.head("adt").parameters():
            parameter.add_(torch.randn_like(parameter))

    def placed(module, cells):
        return infer_representations(module, model.adata_manager.batches(cells))

    cells = np.flatnonzero(rna & ~adt)[:20]
    torch.testing.assert_close(placed(model.module, cells), placed(changed, cells))
    cells = np.flatnonzero(adt)[:20]
    assert (placed(model.module, cells) - placed(changed, cells)).abs().max() > 0.1


def test_a_mosaic_cell_lies_where_its_own_counts_say(briefly_trained):
    model = briefly_trained
    lacking = np.flatnonzero(~measured(model.adata).all(axis=1))
    batch = next(model.adata_manager.batches(lacking, len(lacking)))
    rows = model.module.representations.z.detach()[lacking]
    again = infer_representations(model.module, [batch])
    with torch.no_grad():
        here, there = (model.module.objective(batch, w).loss / len(w) for w in (rows, again))
    # Without that, two epochs of small steps leave them a dozen nats above.
    assert here < there + 1


def test_a_subset_in_which_a_modality_has_no_cell_left(briefly_trained):
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
    # There is nothing to learn of it, though.
    with pytest.raises(ValueError, match="is empty: 0 cells"):
        MultiDGD.setup_mudata(part)


def test_depth_where_a_cell_has_none():
    mdata = simulate_multiome(n_cells=100, n_genes=20, n_peaks=30)
    obs = mdata.obs
    mdata = md.MuData({"rna": mdata["rna"].copy(), "atac": mdata["atac"][:50].copy()})
    mdata.obs["batch"] = obs["batch"]
    model = trained(mdata, max_epochs=1)
    depth = {"modality": "atac", "library_size": "latent", "return_numpy": True}
    total = model.get_normalized_expression(**depth).sum(1)
    np.testing.assert_allclose(total[:50], mdata["atac"].X.sum(1).A1, rtol=1e-4)
    np.testing.assert_allclose(total[50:], model.library_medians_["atac"], rtol=1e-4)
    lower, upper = model.get_expression_interval(indices=[99], **depth)
    assert (lower < upper).all()
    seen = {"indices": [99], "return_numpy": True}
    np.testing.assert_allclose(
        model.get_accessibility_estimates(library_size="latent", **seen),
        model.get_accessibility_estimates(**seen),
        rtol=1e-5,
    )
