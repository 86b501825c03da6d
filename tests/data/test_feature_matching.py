"""Matching of features to those of a trained model."""

import anndata as ad
import mudata as md
import numpy as np
import pytest

from multiDGD.data import check_features, observed_features

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
