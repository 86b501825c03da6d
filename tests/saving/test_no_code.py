"""No entry point runs code that is hidden in the files of a save."""

import json
import os
import pickle
import sys

import numpy as np
import pytest
import torch
from tests.toy import toy_adata, toy_mudata

from multiDGD import MultiDGD
from multiDGD.cli import main
from multiDGD.saving import FORMER
from multiDGD.saving._manifest import encode_manifest


class Planted:
    """Makes a folder when it is unpickled."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


@pytest.fixture
def flag(tmp_path):
    path = tmp_path / "code-ran"
    yield path
    assert not path.exists()


@pytest.fixture
def query(tmp_path):
    data = toy_adata(seed=3)
    data.write_h5ad(tmp_path / "query.h5ad")
    return data


def entry_points(folder, query, path):
    card = {}
    if "huggingface_hub" in sys.modules:
        from multiDGD.hub import model_card

        card["model_card"] = lambda: model_card(folder, "mit")
    return card | {
        "load": lambda: MultiDGD.load(folder),
        "load without data": lambda: MultiDGD.load(folder, adata=False),
        "load with data": lambda: MultiDGD.load(folder, adata=query),
        "load_query_data": lambda: MultiDGD.load_query_data(query, folder),
        "prepare_query_anndata": lambda: MultiDGD.prepare_query_anndata(query, folder),
        "prepare_query_mudata": lambda: MultiDGD.prepare_query_mudata(toy_mudata(), folder),
        "load_registry": lambda: MultiDGD.load_registry(folder),
        "view_setup_args": lambda: MultiDGD.view_setup_args(folder),
        "convert_legacy_save": lambda: MultiDGD.convert_legacy_save(folder, f"{folder}-new"),
        "info": lambda: main(["info", str(folder)]),
        "embed": lambda: main(["embed", str(folder), str(path), "--out", f"{folder}-out"]),
    }


def plant_in_attributes(path, thing):
    content = torch.load(path, weights_only=False)
    content["attr_dict"]["note_"] = thing
    torch.save(content, path)


PLANTS = {
    "attributes of model.pt": lambda path, thing: plant_in_attributes(path, thing),
    "all of model.pt": lambda path, thing: torch.save(thing, path),
    "old format of torch": lambda path, thing: torch.save(
        thing, path, _use_new_zipfile_serialization=False
    ),
    "plain pickle": lambda path, thing: path.write_bytes(pickle.dumps(thing)),
}


@pytest.mark.filterwarnings("ignore:.*contains no data:UserWarning")
class TestPlanted:
    @pytest.fixture
    def folder(self, tmp_path, older):
        older.save(tmp_path / "model")
        return tmp_path / "model"

    @pytest.mark.parametrize("plant", PLANTS.values(), ids=PLANTS)
    @pytest.mark.parametrize("has_manifest", [True, False])
    def test_model_pt(self, folder, flag, query, tmp_path, plant, has_manifest):
        plant(folder / FORMER, Planted(flag))
        if not has_manifest:
            (folder / "model.json").unlink()
        for name, call in entry_points(folder, query, tmp_path / "query.h5ad").items():
            if name in ("info", "embed"):
                assert call() == 1
            elif has_manifest and name in ("load_registry", "view_setup_args"):
                call()  # reads other files only
            else:
                with pytest.raises(ValueError, match=r"model\.pt "):
                    call()
            assert not flag.exists(), name

    @pytest.mark.parametrize(
        "name", ["weights.safetensors", "records.safetensors", "model.json", "adata.h5ad"]
    )
    def test_in_the_place_of_another_file(self, folder, flag, query, tmp_path, name):
        (folder / name).write_bytes(pickle.dumps(Planted(flag)))
        for call in entry_points(folder, query, tmp_path / "query.h5ad").values():
            try:
                call()
            except ValueError:
                pass
            assert not flag.exists()

    def test_beside_the_files(self, folder, flag, query, tmp_path, older):
        for name in ("attr.pkl", "var_names.csv", "model_params.pt", "weights.pt"):
            (folder / name).write_bytes(pickle.dumps(Planted(flag)))
        objects = np.array([Planted(flag)], dtype=object)
        np.save(folder / "representations.npy", objects, allow_pickle=True)
        np.savez(folder / "records.npz", objects)
        for call in entry_points(folder, query, tmp_path / "query.h5ad").values():
            try:
                call()
            except ValueError:
                pass
            assert not flag.exists()
        found = MultiDGD.load(folder, adata=False).get_latent_representation()
        np.testing.assert_array_equal(found, older.get_latent_representation())


def test_data_with_objects(tmp_path, older):
    data = older.adata.copy()
    data.obs["note"] = np.array(["a", None] * 20, dtype=object)
    data.uns["note"] = {"a": np.array(["x", "y"], dtype=object), "b": True}
    older.save(tmp_path / "model")
    data.write_h5ad(tmp_path / "model" / "adata.h5ad")
    assert MultiDGD.load(tmp_path / "model").adata.uns["note"]["b"]


class TestCraftedManifest:
    """A manifest whose checksum is right: it decides neither what is called nor what is set."""

    @pytest.fixture
    def craft(self, tmp_path, older):
        older.save(tmp_path / "model", legacy_pt=False)
        path = tmp_path / "model" / "model.json"

        def write(change):
            content = json.loads(path.read_text())
            change(content)
            for name in ("sha256", "format", "schema"):
                del content[name]
            path.write_bytes(encode_manifest(content))
            return path.parent

        return write

    @pytest.mark.parametrize("method", ["load", "convert_legacy_save", "__init__", None, 3])
    def test_setup_method(self, craft, method):
        def change(content):
            content["registry"]["dict"]["setup_method_name"] = method

        folder = craft(change)
        for adata in (False, toy_adata()):
            with pytest.raises(ValueError, match="setup method must be one of"):
                MultiDGD.load(folder, adata=adata)
        with pytest.raises(ValueError, match="setup method must be one of"):
            MultiDGD.load_registry(folder)

    @pytest.mark.parametrize("name", ["train", "__class__", "__dict__", "_adata"])
    def test_attributes(self, craft, name):
        folder = craft(lambda content: content["attributes"]["dict"].update({name: None}))
        with pytest.raises(ValueError, match=f"it has the attribute {name!r}"):
            MultiDGD.load(folder, adata=False)

    @pytest.mark.parametrize("name", ["../other", "model.json", "/etc/passwd"])
    def test_files(self, craft, name):
        folder = craft(lambda content: content["files"].update({name: {"sha256": "", "size": 0}}))
        with pytest.raises(ValueError, match="lists unknown files"):
            MultiDGD.load(folder, adata=False)

    @pytest.mark.parametrize("value", [{"unknown": 1}, {"call": ["os", "system"]}, {}])
    def test_kinds_of_values(self, craft, value):
        folder = craft(lambda content: content["attributes"]["dict"].update(note_=value))
        with pytest.raises(ValueError, match="model.json"):
            MultiDGD.load(folder, adata=False)
