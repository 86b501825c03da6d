"""Decoded values."""

import mudata as md
import numpy as np
import pandas as pd
import pytest
import scvi
from tests.model.fitting import fitted
from tests.toy import toy_mudata


def test_feature_lists():
    model = fitted(toy_mudata())
    table = model.get_normalized_expression(modality="atac", gene_list=["atac4", "atac1"])
    assert list(table.columns) == ["atac4", "atac1"]
    whole = model.get_normalized_expression(modality="atac")
    pd.testing.assert_frame_equal(table, whole[["atac4", "atac1"]])
    with pytest.raises(
        ValueError, match=r"`gene_list`: 1 of 2 features .*'atac99'.*Nearest names: \['atac9'"
    ):
        model.get_normalized_expression(modality="atac", gene_list=["atac1", "atac99"])
    with pytest.raises(ValueError, match="`modality`.*'prot'"):
        model.get_normalized_expression(modality="prot")


def test_library_sizes():
    mdata = toy_mudata()
    model = fitted(mdata)
    share = model.get_normalized_expression(modality="rna", return_numpy=True)
    np.testing.assert_allclose(
        model.get_normalized_expression(modality="rna", library_size=100, return_numpy=True),
        share * 100,
        rtol=1e-5,
    )
    totals = np.asarray(mdata["rna"].X.sum(1))
    np.testing.assert_allclose(
        model.get_normalized_expression(modality="rna", library_size="latent", return_numpy=True),
        share * totals,
        rtol=1e-5,
    )


def test_accessibility_is_the_probability_of_a_count():
    mdata = toy_mudata()
    model = fitted(mdata, model={"likelihoods": {"atac": "poisson"}})
    share = model.get_normalized_expression(modality="atac", return_numpy=True)
    found = model.get_accessibility_estimates(library_size=7, return_numpy=True)
    np.testing.assert_allclose(found, -np.expm1(-7 * share), rtol=1e-4)
    median = np.median(np.asarray(mdata["atac"].X.sum(1))[model.train_indices])
    np.testing.assert_allclose(
        model.get_accessibility_estimates(return_numpy=True),
        -np.expm1(-median * share),
        rtol=1e-4,
    )


def test_values_written_to_a_file(tmp_path, monkeypatch):
    model = fitted(toy_mudata(), train={"max_epochs": 2})
    given = {"n_samples": 3, "return_numpy": True}
    for more in ({}, {"return_mean": False}):
        expected = model.get_normalized_expression(modality="rna", **given, **more)
        found = model.get_normalized_expression(
            modality="rna", **given, **more, out=tmp_path / "values.npy"
        )
        np.testing.assert_array_equal(found, expected)
        in_file = np.load(tmp_path / "values.npy", mmap_mode="r")
        np.testing.assert_array_equal(in_file, expected)
    # 3 draws of 40 cells and 12 features fit into 100 kB; 100 draws do not.
    monkeypatch.setattr("multiDGD.model.core._output_array._physical_memory", lambda: 100_000)
    model.get_normalized_expression(modality="rna", n_samples=3, return_mean=False)
    model.get_normalized_expression(modality="rna", n_samples=100)
    with pytest.raises(ValueError, match=r"shape \(100, 40, 12\).*`out`"):
        model.get_normalized_expression(modality="rna", n_samples=100, return_mean=False)
    with pytest.raises(ValueError, match=r"`out` must end in .npy or .zarr, found 'values.h5'"):
        model.get_accessibility_estimates(out="values.h5")


def test_transform_batch_changes_and_averages_values():
    model = fitted(toy_mudata(), batch_key="batch", train={"max_epochs": 10})
    one, two = (
        model.get_normalized_expression(modality="rna", transform_batch=b, return_numpy=True)
        for b in ("b0", "b1")
    )
    assert np.abs(one - two).max() > 1e-5
    both = model.get_normalized_expression(
        modality="rna", transform_batch=["b0", "b1"], return_numpy=True
    )
    np.testing.assert_allclose(both, (one + two) / 2, rtol=1e-5)
    is_open = [
        model.get_accessibility_estimates(transform_batch=b, return_numpy=True)
        for b in ("b0", "b1", ["b0", "b1"])
    ]
    np.testing.assert_allclose(is_open[2], (is_open[0] + is_open[1]) / 2, rtol=1e-5)
    assert not np.allclose(is_open[0], is_open[1])
    with pytest.raises(ValueError, match="`transform_batch`"):
        model.get_normalized_expression(modality="rna", transform_batch=[])
    with pytest.raises(ValueError, match="`transform_batch`: 'b7'"):
        model.get_normalized_expression(modality="rna", transform_batch="b7")


@pytest.fixture(scope="module")
def deep():
    """A model of cells with many counts."""
    scvi.settings.seed = 0
    return fitted(toy_mudata(rate=4))


class TestConditionOnCounts:
    def test_equals_the_closed_form(self, deep):
        x = deep.adata["rna"].X.toarray()
        library = x.sum(1, keepdims=True)
        share = deep.get_normalized_expression(modality="rna", return_numpy=True)
        r = deep.module.likelihood("rna").dispersion.detach().numpy()
        rate = share * library * (x + r) / (share * library + r)
        found = deep.get_normalized_expression(
            modality="rna", return_numpy=True, condition_on_counts=True, batch_size=7
        )
        np.testing.assert_allclose(found, rate / rate.sum(1, keepdims=True), rtol=1e-4)
        part = deep.get_normalized_expression(
            modality="rna", indices=[9, 3], gene_list=["rna5"], condition_on_counts=True
        )
        np.testing.assert_allclose(part["rna5"], found[[9, 3], 5], rtol=1e-4)
        scaled = deep.get_normalized_expression(
            modality="rna", library_size=1e4, return_numpy=True, condition_on_counts=True
        )
        np.testing.assert_allclose(scaled, 1e4 * found, rtol=1e-4)

    def test_what_was_not_measured_keeps_the_decoded_values(self, deep):
        query = md.MuData({"rna": deep.adata["rna"][:10, 4:].copy()})
        query["rna"].obs_names = [f"new{i}" for i in range(10)]
        query.update()
        given = {"adata": query, "return_numpy": True}
        decoded, found = (
            {
                m: deep.get_normalized_expression(modality=m, condition_on_counts=on, **given)
                for m in ("rna", "atac")
            }
            for on in (False, True)
        )
        np.testing.assert_array_equal(found["atac"], decoded["atac"])
        ratio = found["rna"][:, :4] / decoded["rna"][:, :4]
        # Unmeasured genes change only by the common factor that keeps the total.
        np.testing.assert_allclose(ratio, np.tile(ratio[:, :1], 4), rtol=1e-4)
        np.testing.assert_allclose(found["rna"].sum(1), 1, rtol=1e-4)
        x = query["rna"].X.toarray()
        scale = x.sum(1) / decoded["rna"][:, 4:].sum(1)
        mean = decoded["rna"] * scale[:, None]
        r = deep.module.likelihood("rna").dispersion.detach().numpy()[4:]
        mean[:, 4:] *= (x + r) / (mean[:, 4:] + r)
        np.testing.assert_allclose(found["rna"], mean / mean.sum(1, keepdims=True), rtol=1e-4)
        assert np.abs(found["rna"][:, 4:] / decoded["rna"][:, 4:] - ratio[:, :1]).max() > 0.05

    @pytest.mark.parametrize(
        "wrong", [{"transform_batch": "b0"}, {"include_protein_background": False}]
    )
    def test_not_in_another_batch_or_without_background(self, deep, wrong):
        with pytest.raises(ValueError, match="`condition_on_counts`.*`transform_batch`"):
            deep.get_normalized_expression(condition_on_counts=True, **wrong)
