"""Matching of features to those of a trained model."""

import anndata as ad
import mudata as md
import numpy as np
import pytest
from tests.model.fitting import fitted
from tests.toy import toy_adata

from multiDGD import MultiDGD
from multiDGD.data import check_features, matched_columns, observed_features
from multiDGD.data._feature_matching import log_features

FEATURES = {"rna": np.array(["a", "b", "c", "d"]), "atac": np.array(["x", "y"])}


def adata_with(names):
    found = ad.AnnData(np.ones((3, len(names)), np.float32))
    found.var_names = list(names)
    return found


def test_observed_features_are_matched_by_name():
    one = observed_features(adata_with("yca?"), FEATURES)
    assert {m: list(p) for m, p in one.items()} == {"rna": [0, 2], "atac": [1]}
    mdata = md.MuData({"prot": adata_with("ab"), "rna": adata_with("dx")})
    assert {m: list(p) for m, p in observed_features(mdata, FEATURES).items()} == {"rna": [3]}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (adata_with("ABCD"), "0 of the model's 6 .*'a', 'b', 'c', .*'A', 'B', 'C', "),
        (md.MuData({"GEX": adata_with("ab")}), "0 of the model's 6 .*'GEX' with 'a', 'b'"),
        (
            md.MuData({"rna": adata_with("ABCD"), "atac": adata_with("xy")}),
            "0 of the model's 4 features of modality 'rna'.*'A', 'B', 'C'",
        ),
    ],
)
def test_no_shared_features_raise(data, message):
    with pytest.raises(ValueError, match=message):
        check_features(data, FEATURES)


def test_modality_of_another_name_is_reported(caplog):
    with caplog.at_level("INFO", logger="scvi"):
        log_features(md.MuData({"gex": adata_with("abc"), "atac": adata_with("xy")}), FEATURES)
    (warning,) = [r.getMessage() for r in caplog.records if r.levelname == "WARNING"]
    assert "'gex' is ignored, but has 3 of the 4 features of the model's modality 'rna'" in warning
    caplog.clear()
    with caplog.at_level("INFO", logger="scvi"):
        log_features(md.MuData({"hto": adata_with("pq"), "atac": adata_with("xy")}), FEATURES)
    assert not [r for r in caplog.records if r.levelname == "WARNING"]
    assert "'rna' is not measured in these cells" in caplog.text


def adata_of(**parts):
    """An AnnData with several modalities, whose names can be the same."""
    names = [name for own in parts.values() for name in own]
    found = adata_with(names)
    found.var["kind"] = [m for m, own in parts.items() for _ in own]
    return found


def test_features_are_matched_by_modality_and_name():
    # The protein has the name of a gene, and comes first.
    query = adata_of(prot=["a", "q"], rna=["c", "p", "b"])
    features = {"rna": np.array(["a", "b", "c"]), "prot": np.array(["p", "q"])}
    found = observed_features(query, features, "kind")
    assert {m: list(p) for m, p in found.items()} == {"rna": [1, 2], "prot": [1]}
    assert list(matched_columns(query, features, "kind")) == [4, 2, 1]
    # Without the column, only names count.
    del query.var["kind"]
    found = observed_features(query, features, "kind")
    assert {m: list(p) for m, p in found.items()} == {"rna": [0, 1, 2], "prot": [0, 1]}


def test_other_modalities_in_the_column_raise():
    query = adata_of(GEX=["a", "b"])
    with pytest.raises(
        ValueError, match=r"matched by modality and name.*'GEX' in `var\['kind'\]`"
    ):
        check_features(query, FEATURES, "kind")


def test_minibatches_of_features_with_modalities():
    reference = toy_adata(n_features=20)
    reference.var["kind"] = ["rna"] * 12 + ["prot"] * 8
    MultiDGD.setup_anndata(reference, modality_key="kind")
    manager = MultiDGD._get_most_recent_anndata_manager(reference, required=True)
    query = reference[:, ::-1].copy()
    query.var["kind"] = query.var["kind"].where(query.var_names != "gene3", "prot")
    query.var["kind"] = query.var["kind"].astype("category")
    found = manager.transfer_fields(query)
    assert 3 not in found.observed["rna"] and len(found.observed["prot"]) == 8
    x = found.create_torch_dataset()[[4]]["counts"]
    expected = reference.X[[4]].toarray()
    expected[:, 3] = 0
    np.testing.assert_array_equal(x["rna"].to_dense(), expected[:, :12])
    np.testing.assert_array_equal(x["prot"].to_dense(), expected[:, 12:])


def test_prepared_queries_are_matched_by_modality():
    reference = toy_adata(n_features=20)
    reference.var["kind"] = ["rna"] * 12 + ["prot"] * 8
    model = fitted(reference, modality_key="kind")
    query = reference[:, ::-1].copy()
    query.var["kind"] = query.var["kind"].where(query.var_names != "gene3", "other")
    found = MultiDGD.prepare_query_anndata(query, model, inplace=False)
    assert list(found.var_names) == [f"gene{j}" for j in (*range(12, 20), *range(12)) if j != 3]
