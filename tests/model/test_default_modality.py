"""Methods of models with several modalities, without the name of one."""

import numpy as np
import pandas as pd
import pytest
import scvi
from tests.model.fitting import fitted
from tests.toy import toy_adata, toy_mudata

FEW = {"n_controls": 3, "n_samples": 2, "silent": True}


@pytest.fixture(scope="module")
def model():
    """Genes are the last modality, and share one name with the proteins."""
    scvi.settings.seed = 0
    mdata = toy_mudata(names=("prot", "atac", "rna"), n_features=(10, 12, 14), rate=4)
    mdata["prot"].var_names = ["rna1", *mdata["prot"].var_names[1:]]
    mdata.update()
    return fitted(mdata)


@pytest.fixture(scope="module")
def single():
    return fitted(toy_adata())


def test_parameters_of_all_modalities(model, single):
    found = model.get_likelihood_parameters(indices=[3, 1])
    assert list(found) == ["prot", "atac", "rna"]
    for m, arrays in found.items():
        one = model.get_likelihood_parameters(indices=[3, 1], modality=m)
        assert set(arrays) == set(one)
        for name in one:
            np.testing.assert_array_equal(arrays[name], one[name])
    assert set(single.get_likelihood_parameters()) == {"mean", "dispersions"}


def test_library_sizes_of_all_modalities(model, single):
    found = model.get_latent_library_size()
    assert list(found) == ["prot", "atac", "rna"]
    for m, library in found.items():
        np.testing.assert_array_equal(library, np.asarray(model.adata[m].X.sum(1)))
    assert single.get_latent_library_size().shape == (40, 1)


def test_correlations_of_all_modalities(model):
    names = np.concatenate([model.summary.features[m] for m in ("prot", "atac", "rna")])
    found = model.get_feature_correlation_matrix(n_samples=2)
    assert list(found.index) == list(found.columns) == list(names)
    some = model.get_feature_correlation_matrix(n_samples=2, gene_list=["atac3", "atac1"])
    assert list(some.index) == ["atac3", "atac1"]


def test_genes_are_compared(model, single, messages):
    groups = {"groupby": "label", "silent": True}
    table = model.differential_expression(**groups)
    assert messages == [("INFO", "Comparing modality 'rna'; pass `modality` for others")]
    assert table.attrs["modality"] == "rna"
    pd.testing.assert_frame_equal(table, model.differential_expression(modality="rna", **groups))
    both = model.differential_expression(modality=["atac", "rna"], **groups)
    assert both.attrs["modality"] == ["atac", "rna"]
    single.differential_expression(**groups)
    assert len(messages) == 1


@pytest.mark.parametrize("names", [("prot", "atac"), ("atac", "adt")])
def test_the_first_modality_without_genes(names):
    model = fitted(toy_mudata(names=names, n_features=(12, 12)))
    assert model._modality_of_genes(None) == names[0]


def test_genes_of_links(model):
    given = {"n_controls": 3, "n_cells": 20}
    genes = model.peak2gene("atac3", **given)
    assert set(genes.index) == set(model.summary.features["rna"])
    pd.testing.assert_frame_equal(
        model.gene2peak("rna3", **given), model.gene2peak("rna3", "rna", "atac", **given)
    )


def test_features_to_perturb_determine_their_modality(model):
    for m in ("atac", "rna"):
        scvi.settings.seed = 0
        found = model.perturb(f"{m}3", **FEW)
        scvi.settings.seed = 0
        pd.testing.assert_frame_equal(found, model.perturb(f"{m}3", m, **FEW))
    with pytest.raises(
        ValueError, match=r"`features`: 1 of 1 names exist in each .*'prot', 'rna'"
    ):
        model.perturb("rna1", **FEW)
    with pytest.raises(
        ValueError, match=r"`features`: 1 of 2 .*'prot3' exists in modality 'prot'"
    ):
        model.perturb(["rna2", "prot3"], modality="rna", **FEW)
    with pytest.raises(ValueError, match="`modality` must be one of"):
        model.perturb("rna3", "gex", **FEW)
    with pytest.raises(ValueError, match="`features`: 1 of 1 features do not exist"):
        model.perturb("gene", **FEW)


def test_a_model_without_peaks_logs_what_it_uses(single, messages):
    model = fitted(toy_mudata(names=("rna", "prot")))
    text = "No modality consists of peaks; using 'prot'. Pass `{}` for another one"
    for links, name in ((model.gene2peak, "rna1"), (model.peak2gene, "prot1")):
        found = links(name, n_controls=3)
        assert messages == [("INFO", text.format("peak_modality"))]
        messages.clear()
        pd.testing.assert_frame_equal(found, links(name, peak_modality="prot", n_controls=3))
        assert not messages
    single.differential_accessibility(groupby="label", silent=True)
    assert not messages
    table = model.differential_accessibility(groupby="label", silent=True)
    assert messages == [("INFO", text.format("modality"))]
    assert set(table.index) == set(model.summary.features["prot"])


@pytest.mark.parametrize(
    ("given", "advice"),
    [
        ("protein", "by name, for example `modality='prot'`."),
        ("donor", "by name."),
        ([1, 2], "by name, for example `indices=range(10)`."),
    ],
)
def test_another_argument_in_place_of_the_cells(model, given, advice):
    with pytest.raises(ValueError, match="`adata` must be an AnnData or MuData, found") as raised:
        model.get_latent_representation(given)
    assert str(raised.value).endswith(advice)
