import anndata as ad
import mudata as md
import numpy as np
import pytest
from scipy import sparse
from tests.model.fitting import renamed_mudata
from tests.panels import LACKING, part, two_panels

from multiDGD import MultiDGD
from multiDGD.data import CellManager

KEYS = {"batch_key": "batch"}


def registered(data, **setup) -> CellManager:
    method = MultiDGD.setup_mudata if isinstance(data, md.MuData) else MultiDGD.setup_anndata
    method(data, **setup)
    return MultiDGD._get_most_recent_anndata_manager(data)


def warnings_of(messages):
    return [text for level, text in messages if level == "WARNING"]


def as_anndata(mdata):
    x = sparse.hstack([mdata["rna"].X, mdata["prot"].X], format="csr")
    adata = ad.AnnData(x, obs=mdata.obs[["batch"]].copy())
    adata.var_names = [*mdata["rna"].var_names, *mdata["prot"].var_names]
    adata.var["kind"] = ["rna"] * mdata["rna"].n_vars + ["prot"] * mdata["prot"].n_vars
    return adata


def test_features_that_a_batch_lacks_are_announced(messages):
    mdata, _ = two_panels()
    MultiDGD.setup_mudata(mdata, **KEYS)
    (text,) = warnings_of(messages)
    assert "2 of modality 'prot' in 'b0' ('p3', 'p5')" in text
    assert "`panel_key`" in text
    assert "rna" not in text
    # scvi-tools registers an object again for other cells; nothing is announced there.
    messages.clear()
    mdata, _ = two_panels()
    MultiDGD.setup_anndata(as_anndata(mdata), modality_key="kind", **KEYS)
    assert "2 of modality 'prot' in 'b0'" in warnings_of(messages)[0]


def test_declared_features_are_not_announced(messages):
    mdata, _ = two_panels()
    MultiDGD.setup_mudata(mdata, panel_key="batch", **KEYS)
    assert not warnings_of(messages)
    (text,) = [text for level, text in messages if "not measured" in text]
    assert "2 of the 10 features of modality 'prot' were not measured in panel 'b0'" in text
    # Another panel of the same cells declares nothing about these proteins.
    mdata.obs["plate"] = "one"
    MultiDGD.setup_mudata(mdata, panel_key="plate", **KEYS)
    assert len(warnings_of(messages)) == 1


def test_rare_features_are_not_announced(messages):
    r = np.random.default_rng(0)
    rate = np.r_[np.full(400, 2.0), np.full(400, 0.01)]
    x = r.poisson(rate, (200, 800))
    batch = np.arange(200) % 2
    x[batch == 0, 0] = 0  # one gene of 400 widely expressed ones, as on the Y chromosome
    x[batch == 0, 450:] = 0  # rarely expressed genes
    x[batch == 0, 1:3] *= r.random((100, 2)) < 0.05  # few cells of the batch have these
    adata = part(x, "g")
    adata.obs["batch"] = batch.astype(str)
    MultiDGD.setup_anndata(adata, **KEYS)
    assert not warnings_of(messages)


@pytest.mark.parametrize(
    "name",
    [
        "bmmc_cite.h5mu",
        "bmmc_multiome.h5mu",
        "pbmc_cite_mosaic.h5mu",
        "asap_cite_pbmc_prot.h5ad",
        "sc_mixology_5batch_rna.h5ad",
    ],
)
def test_no_false_alarms_on_real_data(_read, messages, name):
    data = _read(name).copy()
    registered(data, **KEYS)
    assert not [text for text in warnings_of(messages) if "panel_key" in text]
    # A protein that one batch lacks is noticed among up to 200.
    if "cite.h5mu" in name:
        first = data.obs["batch"].to_numpy() == data.obs["batch"].iloc[0]
        x = data["prot"].X.tolil()
        x[np.flatnonzero(first), 7] = 0
        data["prot"].X = x.tocsr()
        registered(data, **KEYS)
        assert str(data["prot"].var_names[7]) in warnings_of(messages)[-1]


def test_panels_group_cells_by_their_features():
    mdata, _ = two_panels()
    # Batches b1 and b2 have the same features.
    mdata.obs["panel"] = np.array(["b0", "b1", "b0", "b2"])[np.arange(mdata.n_obs) % 4]
    observed, codes = registered(mdata, panel_key="panel").panels
    assert len(observed) == 2
    in_b0 = mdata.obs["panel"].to_numpy() == "b0"
    assert len(set(codes[in_b0])) == len(set(codes[~in_b0])) == 1
    lacking = observed[codes[0]]["prot"]
    assert set(range(10)) - set(lacking) == set(LACKING)
    assert len(observed[codes[1]]["prot"]) == 10
    assert all(len(o["rna"]) == 60 for o in observed)


def test_one_panel_without_a_key():
    mdata, _ = two_panels()
    observed, codes = registered(mdata).panels
    assert len(observed) == 1
    assert not codes.any()


def test_modality_that_a_panel_lacks_entirely_stays_missing():
    mdata, _ = two_panels()
    has_protein = mdata.obs["batch"].to_numpy() == "b1"
    mosaic = md.MuData({"rna": mdata["rna"].copy(), "prot": mdata["prot"][has_protein].copy()})
    mosaic.obs["batch"] = mdata.obs["batch"].to_numpy()
    observed, _ = registered(mosaic, panel_key="batch").panels
    assert [len(o["prot"]) for o in observed] == [10]


def query_of(source, query):
    reference = registered(source, panel_key="batch").registry
    MultiDGD.setup_mudata(query, source_registry=reference, **reference["setup_args"])
    return MultiDGD._get_most_recent_anndata_manager(query)


def lacking_in(manager, cell):
    observed, codes = manager.panels
    return set(range(10)) - set(observed[codes[cell]]["prot"])


def test_panels_of_queries():
    mdata, _ = two_panels()
    query = renamed_mudata(mdata[:8].copy(), "new")
    manager = query_of(mdata, query)
    # Few cells of a known panel: features without counts were measured, except for those of b0.
    assert lacking_in(manager, 0) == set(LACKING)
    assert not lacking_in(manager, 1)
    # A new panel: its own cells decide.
    query = renamed_mudata(mdata, "new")
    query.obs["batch"] = np.where(query.obs["batch"] == "b1", "b2", "b0")
    x = query["prot"].X.toarray()
    x[1::2, 8] = 0
    query["prot"].X = sparse.csr_matrix(x)
    manager = query_of(mdata, query)
    assert lacking_in(manager, 0) == set(LACKING)
    assert lacking_in(manager, 1) == {8}
    # Three cells without counts of a protein do not show that it was not measured.
    few = renamed_mudata(query[[1, 3, 5]].copy(), "few")
    x = few["prot"].X.toarray()
    x[:, 7] = 0
    few["prot"].X = sparse.csr_matrix(x)
    assert not lacking_in(query_of(mdata, few), 0)


def test_counts_in_a_known_panel_show_that_a_feature_was_measured():
    mdata, truth = two_panels()
    query = renamed_mudata(mdata, "new")
    query["prot"].X = sparse.csr_matrix(truth.astype(np.float32))
    manager = query_of(mdata, query)
    assert not lacking_in(manager, 0)


def test_features_that_a_query_lacks_are_missing_in_all_panels():
    mdata, _ = two_panels()
    query = renamed_mudata(mdata, "new")
    parts = {"rna": query["rna"].copy(), "prot": query["prot"][:, 1:].copy()}
    smaller = md.MuData(parts)
    smaller.obs["batch"] = query.obs["batch"].to_numpy()
    manager = query_of(mdata, smaller)
    assert lacking_in(manager, 0) == {0, *LACKING}
    assert lacking_in(manager, 1) == {0}


def test_errors_name_the_column():
    mdata, _ = two_panels()
    with pytest.raises(ValueError, match="`panel_key`: 'plate' is not a column of `obs`"):
        MultiDGD.setup_mudata(mdata, panel_key="plate")
    query = renamed_mudata(mdata, "new")
    query.obs = query.obs[[]]
    reference = registered(mdata, panel_key="batch").registry
    with pytest.raises(ValueError, match="`panel_key`: 'batch' is not a column"):
        MultiDGD.setup_mudata(query, source_registry=reference, **reference["setup_args"])
