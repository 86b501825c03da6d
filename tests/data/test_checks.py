import logging

import mudata as md
import numpy as np
import pandas as pd
import pytest
import scvi
from scipy import sparse
from tests.toy import toy_adata, toy_mudata

from multiDGD import MultiDGD


def adata_with_value(value):
    adata = toy_adata()
    adata.X.data[5] = value
    return adata


@pytest.mark.parametrize(
    ("value", "message"),
    [(-1, "negative values"), (np.nan, "NaN or infinite"), (np.inf, "NaN or infinite")],
)
def test_invalid_counts_raise(value, message):
    with pytest.raises(ValueError, match=message):
        MultiDGD.setup_anndata(adata_with_value(value))
    mdata = toy_mudata()
    mdata["atac"].X.data[3] = value
    with pytest.raises(ValueError, match=message):
        MultiDGD.setup_mudata(mdata)


def test_normalised_values_warn():
    adata = toy_adata()
    adata.X = sparse.csr_matrix(np.log1p(adata.X.toarray()))
    with pytest.warns(UserWarning, match="does not contain unnormalized count data") as found:
        MultiDGD.setup_anndata(adata)
    # The warning shows the line of the user.
    assert found[0].filename == __file__


def test_cells_without_counts_raise():
    adata = toy_adata()
    x = adata.X.toarray()
    x[[3, 8]] = 0
    adata.X = sparse.csr_matrix(x)
    with pytest.raises(
        ValueError, match="2 of 40 cells have no counts.*'cell3', 'cell8'.*filter_cells"
    ):
        MultiDGD.setup_anndata(adata)


def test_counts_in_one_modality_suffice():
    mdata = toy_mudata()
    x = mdata["rna"].X.toarray()
    x[3] = 0
    mdata["rna"].X = sparse.csr_matrix(x)
    MultiDGD.setup_mudata(mdata)


def test_empty_modalities_raise():
    mdata = toy_mudata()
    mdata["atac"].X = mdata["atac"].X * 0
    with pytest.raises(ValueError, match="`X` contains no counts: every value is 0"):
        MultiDGD.setup_mudata(mdata)
    with pytest.raises(ValueError, match="40 cells and 0 features"):
        MultiDGD.setup_anndata(toy_adata()[:, []].copy())


def test_repeated_names_raise():
    adata = toy_adata()
    adata.var_names = ["gene0", *adata.var_names[:-1]]
    with pytest.raises(ValueError, match="Feature names.*1 occur .*: 'gene0'.*`var_names_make"):
        MultiDGD.setup_anndata(adata)
    adata = toy_adata()
    adata.obs_names = ["cell0", *adata.obs_names[:-1]]
    with pytest.raises(ValueError, match="Cell names.*'cell0'.*`obs_names_make"):
        MultiDGD.setup_anndata(adata)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"labels_key": "lable"}, "`labels_key`: 'lable'.*label"),
        ({"batch_key": "batc"}, "`batch_key`: 'batc'.*batch"),
        ({"categorical_covariate_keys": ["nope"]}, "`categorical_covariate_keys`: 'nope'"),
        ({"categorical_covariate_keys": "site"}, "must be a list.*'site'"),
        (
            {"continuous_covariate_keys": ["site"]},
            "`continuous_covariate_keys`: 'site' is not num",
        ),
        ({"batch_key": "batch", "categorical_covariate_keys": ["batch"]}, "'batch'.*once"),
        ({"layer": "raw"}, "`layer`: 'raw' is not a layer"),
        ({"modality_key": "feature_types"}, "`modality_key`: 'feature_types'"),
    ],
)
def test_invalid_anndata_arguments_raise(arguments, message):
    with pytest.raises(ValueError, match=message):
        MultiDGD.setup_anndata(toy_adata(), **arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"modalities": ["rna", "prot"]}, r"`modalities`: no modality \['prot'\].*'atac'"),
        ({"modalities": ["rna", "rna"]}, "`modalities` contains duplicate entries"),
        ({"modalities": "rna"}, "`modalities` must be a list"),
        ({"modalities": []}, "`modalities` is empty"),
        ({"layers": {"prot": "raw"}}, r"`layers`: no modality \['prot'\]"),
        ({"layers": {"rna": "raw"}}, "`layer`: 'raw'"),
        ({"layers": "raw"}, r"`layers` must map .* \{'rna': 'raw', 'atac': 'raw'\}"),
        ({"batch_key": "donor"}, "`batch_key`: 'donor'"),
        ({"batch_key": ["batch"]}, r"`batch_key` must be the name of one .*\['batch'\]"),
        ({"labels_key": ["label"]}, r"`labels_key` must be the name of one .*\['label'\]"),
    ],
)
def test_invalid_mudata_arguments_raise(arguments, message):
    with pytest.raises(ValueError, match=message):
        MultiDGD.setup_mudata(toy_mudata(), **arguments)


def test_columns_of_a_modality_raise():
    mdata = toy_mudata()
    mdata["atac"].obs["donor"] = "a"
    for arguments in ({"batch_key": "donor"}, {"categorical_covariate_keys": ["batch", "donor"]}):
        with pytest.raises(ValueError, match=r"`mdata.obs\['donor'\] = mdata\['atac'\].obs\['d"):
            MultiDGD.setup_mudata(mdata, **arguments)
    mdata.obs["donor"] = mdata["atac"].obs["donor"]
    MultiDGD.setup_mudata(mdata, categorical_covariate_keys=["donor"])


def test_missing_values_raise():
    adata = toy_adata()
    adata.obs["batch"] = pd.Categorical(adata.obs["batch"])
    adata.obs.loc["cell4", "batch"] = np.nan
    with pytest.raises(ValueError, match="`batch_key`: 1 of 40 entries"):
        MultiDGD.setup_anndata(adata, batch_key="batch")
    adata.var["kind"] = ["a"] * 11 + [None]
    with pytest.raises(ValueError, match="`modality_key`: 1 of 12 entries"):
        MultiDGD.setup_anndata(adata, modality_key="kind")


def test_no_known_label_raises():
    adata = toy_adata()
    adata.obs["label"] = "unknown"
    with pytest.raises(ValueError, match="`labels_key`: no cell has a label"):
        MultiDGD.setup_anndata(adata, labels_key="label")


def test_wrong_container_raises():
    with pytest.raises(ValueError, match="`adata`.*MuData.*setup_mudata"):
        MultiDGD.setup_anndata(toy_mudata())
    with pytest.raises(ValueError, match="`mdata`.*AnnData.*setup_anndata"):
        MultiDGD.setup_mudata(toy_adata())
    with pytest.raises(ValueError, match="must be an AnnData, found csr_matrix.$"):
        MultiDGD.setup_anndata(toy_adata().X)


def test_setup_leaves_the_data_unchanged():
    adata = toy_adata()
    adata.X = adata.X.tocsc()
    before = adata.copy()
    MultiDGD.setup_anndata(adata, labels_key="label", batch_key="batch")
    assert adata.X.format == "csc"
    pd.testing.assert_frame_equal(adata.obs[before.obs.columns], before.obs)
    assert isinstance(md.MuData({"a": adata}), md.MuData)


def test_read_counts_warn(bmmc_multiome, caplog):
    with caplog.at_level(logging.WARNING, logger="scvi"):
        MultiDGD.setup_mudata(bmmc_multiome)
    assert [r.getMessage()[:43] for r in caplog.records] == [
        "87 % of the counts of modality 'atac' are e"
    ]
    caplog.clear()
    scvi.data.reads_to_fragments(bmmc_multiome["atac"])
    with caplog.at_level(logging.WARNING, logger="scvi"):
        MultiDGD.setup_mudata(bmmc_multiome, layers={"atac": "fragments"})
    assert not caplog.records


def test_protein_counts_do_not_warn(bmmc_cite, caplog):
    with caplog.at_level(logging.WARNING, logger="scvi"):
        MultiDGD.setup_mudata(bmmc_cite)
    assert not caplog.records


def test_modality_without_features_is_dropped():
    adata = toy_adata()
    kinds = ["Gene Expression", "Peaks"]
    adata.var["kind"] = pd.Categorical([kinds[0]] * adata.n_vars, categories=kinds)
    MultiDGD.setup_anndata(adata, modality_key="kind")
    assert list(MultiDGD(adata, n_latent=3).summary.features) == kinds[:1]
