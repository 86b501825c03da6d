"""Damaged, foreign, mixed and later files are refused with their path."""

import json
import re
import shutil

import numpy as np
import pytest
from tests.saving.conftest import is_model

from multiDGD import MultiDGD

FILES = [
    "model.json", "weights.safetensors", "representations.safetensors", "records.safetensors",
    "model.pt", "adata.h5ad",
]  # fmt: skip


@pytest.fixture(scope="module")
def saves(tmp_path_factory, older, newer):
    root = tmp_path_factory.mktemp("saves")
    older.save(root / "older", save_anndata=True)
    newer.save(root / "newer", save_anndata=True)
    return root


@pytest.fixture
def folder(saves, tmp_path):
    shutil.copytree(saves / "older", tmp_path / "model")
    return tmp_path / "model"


def refused(folder, name):
    """Check that loading raises an error with the path of a file and an advice."""
    with pytest.raises(ValueError, match=re.escape(str(folder / name))) as error:
        MultiDGD.load(folder, accelerator="cpu")
    assert re.search("Restore it|Update multidgd", str(error.value))


@pytest.mark.parametrize("name", FILES)
class TestEveryFile:
    def test_flipped_bits(self, folder, name):
        whole = (folder / name).read_bytes()
        for at in np.linspace(0, len(whole) - 1, 7, dtype=int):
            flipped = bytearray(whole)
            flipped[at] ^= 1 << (at % 8)
            (folder / name).write_bytes(flipped)
            refused(folder, name)

    def test_truncated_and_extended(self, folder, name):
        whole = (folder / name).read_bytes()
        for content in (b"", whole[:1], whole[: len(whole) // 2], whole[:-1], whole + b"\n"):
            (folder / name).write_bytes(content)
            refused(folder, name)

    def test_of_another_save(self, folder, saves, name):
        shutil.copy(saves / "newer" / name, folder / name)
        if name == "model.json":
            with pytest.raises(ValueError, match="does not belong to model.json"):
                MultiDGD.load(folder)
        else:
            refused(folder, name)

    def test_missing(self, folder, older, name):
        (folder / name).unlink()
        if name in ("model.json", "model.pt"):
            # Either of them is enough.
            assert is_model(folder, older)
        else:
            with pytest.raises(ValueError, match=rf"{name} is missing"):
                MultiDGD.load(folder)


def changed(folder, **values):
    path = folder / "model.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def test_later_schema(folder):
    changed(folder, schema=99)
    with pytest.raises(ValueError, match=r"model.json has the schema 99.*up to 1. Update multi"):
        MultiDGD.load(folder)


@pytest.mark.parametrize("text", ["[]", "{}", '{"format": "other"}', "no json", "[" * 10**6])
def test_foreign_manifest(folder, text):
    (folder / "model.json").write_text(text)
    refused(folder, "model.json")


def test_edited_manifest(folder):
    changed(folder, versions={})
    refused(folder, "model.json")


def test_upper_case_numbers_and_checksums(folder):
    """Changes that JSON does not distinguish."""
    path = folder / "model.json"
    text = path.read_text()
    path.write_text(text.replace(json.loads(text)["sha256"], json.loads(text)["sha256"].upper()))
    refused(folder, "model.json")
    path.write_text(text + " ")
    refused(folder, "model.json")


def test_data_added_later_are_used(tmp_path, older):
    older.save(tmp_path / "model")
    older.adata.write_h5ad(tmp_path / "model" / "adata.h5ad")
    assert is_model(tmp_path / "model", older)


def test_data_are_not_read_without_need(folder, older):
    (folder / "adata.h5ad").write_bytes(b"damaged")
    loaded = MultiDGD.load(folder, adata=False)
    assert (loaded.get_latent_representation() == older.get_latent_representation()).all()


@pytest.mark.parametrize("name", ["model.json", "model.pt"])
def test_parts_of_another_class(folder, name):
    """A file that another program wrote beside a save."""
    (folder / name).write_bytes(b"PK")
    refused(folder, name)


@pytest.mark.slow
def test_500_random_bits(folder):
    rng = np.random.default_rng(0)
    whole = {name: (folder / name).read_bytes() for name in FILES}
    sizes = np.array([len(content) for content in whole.values()])
    for bit in rng.integers(8 * sizes.sum(), size=500):
        file = np.searchsorted(sizes.cumsum(), bit // 8, side="right")
        name, at = FILES[file], int(bit // 8 - sizes[:file].sum())
        flipped = bytearray(whole[name])
        flipped[at] ^= 1 << (bit % 8)
        (folder / name).write_bytes(flipped)
        refused(folder, name)
        (folder / name).write_bytes(whole[name])
