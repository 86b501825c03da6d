"""The former format, ``model.pt`` alone."""

import pickle
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from tests.saving.conftest import is_model
from tests.saving.test_codec import ARRAYS, assert_same

from multiDGD import MultiDGD
from multiDGD.saving import FORMER
from multiDGD.saving._former import read_model_pt


def written(path, value):
    content = {"model_state_dict": {}, "attr_dict": {"value_": value}}
    torch.save(content, path)
    return path


FLAT = [a for a in ARRAYS if a.dtype.names is None]
TABLE = pd.DataFrame({"a": [1.0, 2.0], "b": [3, 4], "c": ["x", None]}).rename_axis("epoch")


class TestStandIns:
    """Stand-ins restore what numpy and pandas pickle."""

    @pytest.mark.parametrize("value", FLAT, ids=lambda a: f"{a.dtype}-{a.shape}")
    def test_arrays(self, tmp_path, value):
        found = read_model_pt(written(tmp_path / "model.pt", {"x": [value, value]}))
        assert_same(found["attr_dict"]["value_"]["x"][0], value)

    @pytest.mark.parametrize(
        "value", [np.float32(1), np.str_("é"), np.str_(""), np.int64(3), np.bool_(True)]
    )
    def test_scalars(self, tmp_path, value):
        found = read_model_pt(written(tmp_path / "model.pt", {value: (value, Path("a"))}))
        assert_same(found["attr_dict"]["value_"], {value: (value, Path("a"))})

    @pytest.mark.parametrize("table", [TABLE, TABLE.set_axis([3, 7]), TABLE[["c", "a"]]])
    def test_tables(self, tmp_path, table):
        found = read_model_pt(written(tmp_path / "model.pt", table))
        pd.testing.assert_frame_equal(found["attr_dict"]["value_"], table)

    def test_shared_arrays_stay_shared(self, tmp_path):
        array = np.zeros(3)
        found = read_model_pt(written(tmp_path / "model.pt", [array, array]))
        first, second = found["attr_dict"]["value_"]
        assert first is second


def former(model, folder):
    """Save a model as the former version did."""
    model.save(folder, save_anndata=True)
    for path in folder.iterdir():
        if path.name not in (FORMER, "adata.h5ad"):
            path.unlink()
    return folder / FORMER


def test_model_is_loaded_from_model_pt_alone(tmp_path, older):
    former(older, tmp_path / "model")
    assert is_model(tmp_path / "model", older)


class TestObjectsInTheFile:
    """Files with objects of other types are refused, unless the user trusts them."""

    @pytest.fixture
    def path(self, tmp_path, older):
        path = former(older, tmp_path / "model")
        content = torch.load(path, weights_only=False)
        content["attr_dict"] |= {
            "good_": (1, 2),
            "series_": pd.Series([1]),
            "bad_": pickle.Pickler,
        }
        torch.save(content, path)
        return path

    def test_error_names_the_file_and_the_way_out(self, path):
        with pytest.raises(ValueError, match=r"model\.pt was not loaded.*trusted=True"):
            MultiDGD.load(path.parent)
        with pytest.raises(ValueError, match="trusted=True"):
            MultiDGD.convert_legacy_save(path.parent, path.parent / "new")
        assert not (path.parent / "new").exists()

    def test_trusted_file_is_converted(self, path, older):
        new = path.parent.parent / "new"
        MultiDGD.convert_legacy_save(path.parent, new, trusted=True)
        assert is_model(new, older)
        loaded = MultiDGD.load(new, adata=False)
        assert loaded.good_ == (1, 2)
        assert not hasattr(loaded, "bad_")
        pd.testing.assert_series_equal(loaded.series_, pd.Series([1]))
        with pytest.raises(ValueError, match="already exists"):
            MultiDGD.convert_legacy_save(path.parent, new, trusted=True)
        MultiDGD.convert_legacy_save(path.parent, new, overwrite=True, trusted=True)
        assert is_model(new, older)


@pytest.mark.parametrize("change", [b"", b"text", "half", "flip"])
def test_damage(tmp_path, older, change):
    path = former(older, tmp_path / "model")
    whole = path.read_bytes()
    if change == "half":
        change = whole[: len(whole) // 2]
    elif change == "flip":
        middle = bytearray(whole)
        middle[len(whole) // 2] ^= 1
        change = bytes(middle)
    path.write_bytes(change)
    with pytest.raises(ValueError, match=r"model\.pt is damaged or was not written by"):
        MultiDGD.load(path.parent, adata=False)


def test_models_of_other_classes(tmp_path, older):
    path = former(older, tmp_path / "model")
    content = torch.load(path, weights_only=False)
    content["attr_dict"]["registry_"]["model_name"] = "SCVI"
    torch.save(content, path)
    with pytest.raises(ValueError, match=r"different class.*contains a SCVI"):
        MultiDGD.load(path.parent, adata=False)
    MultiDGD.load(path.parent, adata=False, allowed_classes_names_list=["SCVI"])


def test_backup_url(tmp_path, older):
    source = former(older, tmp_path / "source")
    found = MultiDGD.load(tmp_path / "new" / "model", adata=False, backup_url=source.as_uri())
    assert (found.cell_names_ == older.cell_names_).all()
    assert [p.name for p in (tmp_path / "new" / "model").iterdir()] == [FORMER]
    # A model in the folder is not replaced.
    MultiDGD.load(tmp_path / "new" / "model", adata=False, backup_url="file:///none")
    with pytest.raises(ValueError, match="`backup_url`: cannot download file:///none"):
        MultiDGD.load(tmp_path / "other", adata=False, backup_url="file:///none")
    assert list((tmp_path / "other").iterdir()) == []


def test_no_model(tmp_path):
    with pytest.raises(ValueError, match=r"no saved model in .*a_model\.json nor a_model\.pt"):
        MultiDGD.load(tmp_path, prefix="a_")


def test_global_state_is_not_changed(tmp_path, older):
    path = former(older, tmp_path / "model")
    state = torch.get_rng_state(), np.random.get_state()[1].copy()
    permitted = set(torch.serialization.get_safe_globals())
    read_model_pt(path)
    assert torch.equal(torch.get_rng_state(), state[0])
    assert (np.random.get_state()[1] == state[1]).all()
    assert set(torch.serialization.get_safe_globals()) == permitted
