"""Files for Vitessce: layout of the store, and the configuration by Vitessce's own package."""

import importlib.util
import json
import warnings

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from multiDGD.cli import _vitessce
from multiDGD.cli._vitessce import write_vitessce

COLUMNS = ["cell_type", "batch", "plate", "multidgd_component"]
N_CELLS, N_GENES, N_PEAKS = 60, 20, 30


def needs_zarr():
    return pytest.importorskip("zarr", reason="files for Vitessce require zarr")


@pytest.fixture
def cells():
    """Cells of two components; only the last gene differs between them."""
    rng = np.random.default_rng(0)
    x = rng.poisson(1.0, (N_CELLS, N_GENES + N_PEAKS)).astype(np.float32)
    component = np.arange(N_CELLS) % 2
    x[:, N_GENES - 1] = 9.0 * component
    peaks = [f"chr1:{start}-{start + 50}" for start in range(0, 100 * N_PEAKS, 100)]
    kinds = ["rna"] * N_GENES + ["atac"] * N_PEAKS
    return ad.AnnData(
        sparse.csc_matrix(x),
        obs=pd.DataFrame(
            {
                "cell_type": pd.Categorical(["B", "T ä"] * (N_CELLS // 2)),
                "batch": np.arange(N_CELLS, dtype=np.int32) % 3,
                "plate": np.arange(N_CELLS) < 9,
                "multidgd_component": pd.Categorical(component.astype(str)),
            },
            index=[f"cell{i}" for i in range(N_CELLS)],
        ),
        var=pd.DataFrame(
            {"modality": pd.Categorical(kinds)},
            index=[f"gene{i}" for i in range(N_GENES)] + peaks,
        ),
        obsm={
            "X_umap": rng.normal(size=(N_CELLS, 2)).astype(np.float32),
            "X_multidgd": rng.normal(size=(N_CELLS, 4)).astype(np.float32),
        },
    )


@pytest.fixture
def folder(cells, tmp_path):
    needs_zarr()
    assert write_vitessce(cells, tmp_path, COLUMNS) == {"vitessce": tmp_path / "vitessce.json"}
    return tmp_path


def read_config(folder):
    config = json.loads((folder / "vitessce.json").read_text(encoding="utf-8"))
    (file,) = config["datasets"][0]["files"]
    return config, file


def metadata(folder, path):
    """Metadata of an array in version 2 of zarr."""
    return json.loads((folder / "vitessce.zarr" / path / ".zarray").read_text())


class TestStore:
    def test_is_the_file_for_cellxgene(self, folder, cells):
        found = ad.read_zarr(folder / "vitessce.zarr")
        assert isinstance(found.X, sparse.csc_matrix)
        np.testing.assert_array_equal(found.X.toarray(), cells.X.toarray())
        assert list(found.obs_names) == list(cells.obs_names)
        assert list(found.var_names) == list(cells.var_names)
        assert list(found.obs["cell_type"]) == list(cells.obs["cell_type"])
        for key, values in cells.obsm.items():
            np.testing.assert_array_equal(found.obsm[key], values)

    def test_has_types_that_javascript_reads(self, folder):
        store = folder / "vitessce.zarr"
        assert (store / ".zgroup").exists() and not list(store.rglob("zarr.json"))
        attributes = json.loads((store / "X" / ".zattrs").read_text())
        assert attributes["encoding-type"] == "csc_matrix"
        types = {path: metadata(folder, path)["dtype"] for path in ("X/indptr", "X/indices")}
        assert types == {"X/indptr": "<i4", "X/indices": "<i4"}
        assert metadata(folder, "X/data")["dtype"] == "<f4"
        assert metadata(folder, "obsm/X_umap")["dtype"] == "<f4"
        assert metadata(folder, "var/heatmap")["dtype"] == "|b1"
        for path in ("obs/_index", "var/_index", "obs/batch/categories"):
            assert metadata(folder, path)["filters"] == [{"id": "vlen-utf8"}]

    def test_all_sets_are_categories_of_text(self, folder):
        found = ad.read_zarr(folder / "vitessce.zarr").obs
        assert {str(found[column].dtype) for column in COLUMNS} == {"category"}
        assert list(found["batch"].cat.categories) == ["0", "1", "2"]
        assert list(found["plate"].cat.categories) == ["False", "True"]

    def test_one_feature_is_read_without_the_others(self, cells, tmp_path, monkeypatch):
        needs_zarr()
        monkeypatch.setattr(_vitessce, "_CHUNK", 100)
        write_vitessce(cells, tmp_path, COLUMNS)
        for name in ("X/data", "X/indices"):
            assert metadata(tmp_path, name)["chunks"] == [100]
            files = [p.name for p in (tmp_path / "vitessce.zarr" / name).iterdir()]
            assert sum(name.isdigit() for name in files) == -(-cells.X.nnz // 100)

    def test_heatmap_has_genes_that_differ_between_components(self, cells, tmp_path, monkeypatch):
        needs_zarr()
        monkeypatch.setattr(_vitessce, "_N_HEATMAP", 5)
        write_vitessce(cells, tmp_path, COLUMNS)
        var = ad.read_zarr(tmp_path / "vitessce.zarr").var
        assert var["heatmap"].sum() == 5
        assert set(var.loc[var["heatmap"], "modality"]) == {"rna"}
        config, _ = read_config(tmp_path)
        assert config["coordinationSpace"]["featureSelection"] == {"A": [f"gene{N_GENES - 1}"]}

    def test_the_cells_are_as_before(self, cells, tmp_path):
        needs_zarr()
        before = cells.copy()
        write_vitessce(cells, tmp_path, COLUMNS)
        pd.testing.assert_frame_equal(cells.obs, before.obs)
        pd.testing.assert_frame_equal(cells.var, before.var)


class TestConfiguration:
    def test_every_path_is_in_the_store(self, folder):
        _, file = read_config(folder)
        options = file["options"]
        matrix = options["obsFeatureMatrix"]
        paths = [matrix["path"], matrix["initialFeatureFilterPath"]]
        paths += [item["path"] for key in ("obsEmbedding", "obsSets") for item in options[key]]
        assert len(paths) == 2 + 2 + len(COLUMNS)
        for path in paths:
            assert (folder / "vitessce.zarr" / path).is_dir()
        # Vitessce 4.0.8 refuses addresses without a server ("Invalid URL").
        assert file["url"] == "http://localhost:8000/vitessce.zarr"

    def test_views_refer_to_values_and_do_not_overlap(self, folder):
        config, file = read_config(folder)
        space = config["coordinationSpace"]
        embeddings = [item["embeddingType"] for item in file["options"]["obsEmbedding"]]
        assert space["embeddingType"]["A"] in embeddings
        for key, value in file["coordinationValues"].items():
            assert space[key]["A"] == value
        covered = np.zeros((12, 12), int)
        for view in config["layout"]:
            for key, scope in view["coordinationScopes"].items():
                assert scope in space[key]
            covered[view["y"] :, view["x"] :][: view["h"], : view["w"]] += 1
        assert (covered == 1).all()

    def test_package_of_vitessce_describes_the_same_file(self, folder):
        if importlib.util.find_spec("vitessce") is None:
            pytest.skip("vitessce is not installed")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of parts that are not installed
            vitessce = pytest.importorskip("vitessce")
        config, file = read_config(folder)
        assert vitessce.VitessceConfig.from_dict(config).to_dict(base_url="") == config
        embeddings, sets = file["options"]["obsEmbedding"], file["options"]["obsSets"]
        wrapper = vitessce.AnnDataWrapper(
            adata_url=file["url"],
            obs_feature_matrix_path="X",
            initial_feature_filter_path="var/heatmap",
            obs_embedding_paths=[item["path"] for item in embeddings],
            obs_embedding_names=[item["embeddingType"] for item in embeddings],
            obs_set_paths=[item["path"] for item in sets],
            obs_set_names=[item["name"] for item in sets],
            coordination_values=file["coordinationValues"],
        )
        assert wrapper.make_file_def_creator("A", 0)("") == file


def test_requires_zarr(cells, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with caplog.at_level("INFO"):
        assert write_vitessce(cells, tmp_path, COLUMNS) == {}
    assert "pip install zarr" in caplog.text
    assert not list(tmp_path.iterdir())


def test_fit_writes_and_replaces_them(run, tmp_path, h5mu):
    needs_zarr()
    argv = ["fit", h5mu, "--batch-key", "batch", "--score-key", "cell_type", "--max-epochs", 1]
    (tmp_path / "vitessce.zarr").mkdir()
    (tmp_path / "vitessce.zarr" / "older").touch()
    code, out, _ = run(*argv, "--out", tmp_path, "--overwrite")
    assert code == 0 and f"vitessce: {tmp_path / 'vitessce.json'}" in out
    assert not (tmp_path / "vitessce.zarr" / "older").exists()
    config, file = read_config(tmp_path)
    assert config["name"] == tmp_path.name
    names = [item["name"] for item in file["options"]["obsSets"]]
    assert names == ["cell_type", "batch", "multidgd_component"]
    assert ad.read_zarr(tmp_path / "vitessce.zarr").shape == (80, 90)
