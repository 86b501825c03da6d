"""Counts on disk and results on disk: equal to those in memory, in blocks of cells."""

import builtins
import weakref

import anndata as ad
import mudata as md
import numpy as np
import pytest
from tests.model.fitting import fitted, load, renamed, renamed_mudata
from tests.toy import toy_adata, toy_mudata

from multiDGD import MultiDGD
from multiDGD.data import ModalityReader, open_zarr
from multiDGD.nn import Counts

zarr = pytest.importorskip("zarr")
pytestmark = pytest.mark.filterwarnings("ignore:Writing zarr v2")

OPTIONS = {"batch_size": 16, "silent": True}
NUMPY = {**OPTIONS, "return_numpy": True}
NUMPY_ONLY = {"batch_size": 16, "return_numpy": True}
#: Calls of a model for cells, with further arguments such as `out`.
METHODS = {
    "latent": lambda m, x, **k: m.get_latent_representation(x, **OPTIONS, **k),
    "drawn": lambda m, x, **k: m.get_latent_representation(x, give_mean=False, **OPTIONS, **k),
    "expression": lambda m, x, **k: m.get_normalized_expression(x, modality="atac", **NUMPY, **k),
    "conditional": lambda m, x, **k: m.get_normalized_expression(
        x, modality="rna", condition_on_counts=True, **NUMPY, **k
    ),
    "mean of draws": lambda m, x, **k: m.get_normalized_expression(
        x, modality="rna", n_samples=3, **NUMPY, **k
    ),
    "draws": lambda m, x, **k: m.get_normalized_expression(
        x, modality="rna", n_samples=2, return_mean=False, **NUMPY, **k
    ),
    "open": lambda m, x, **k: m.get_accessibility_estimates(
        x, region_list=["atac3", "atac0"], **NUMPY, **k
    ),
    "imputed": lambda m, x, **k: m.impute(x, "atac", gene_list=["atac7"], **NUMPY, **k),
    "drawn counts": lambda m, x, **k: m.impute(x, "atac", n_samples=2, **NUMPY, **k),
    "foreground": lambda m, x, **k: m.get_protein_foreground_probability(x, **NUMPY_ONLY, **k),
}


@pytest.fixture(scope="module")
def model():
    return fitted(
        toy_mudata(60),
        {"n_components": 3, "likelihoods": {"atac": "protein"}},
        {"train_size": 0.6},
        batch_key="batch",
    )


@pytest.fixture
def query():
    return renamed_mudata(toy_mudata(45), "new")


def on_disk(mdata, folder, place):
    if place == "zarr":
        mdata.write_zarr(folder / "query.zarr")
        return open_zarr(folder / "query.zarr")
    mdata.write_h5mu(folder / "query.h5mu")
    return md.read_h5mu(folder / "query.h5mu", backed="r")


@pytest.mark.parametrize("place", ["zarr", "h5mu"])
def test_counts_on_disk_have_the_results_of_counts_in_memory(model, query, place, tmp_path):
    stored = on_disk(query, tmp_path, place)
    for name, method in METHODS.items():
        np.testing.assert_array_equal(method(model, stored), method(model, query), err_msg=name)


@pytest.mark.parametrize("method", METHODS)
def test_results_in_zarr_equal_results_in_memory(model, query, method, tmp_path, monkeypatch):
    monkeypatch.setattr("multiDGD.model.core._output_array._CHUNK_BYTES", 40)
    call, path = METHODS[method], tmp_path / "values.zarr"
    found = call(model, query, out=path)
    assert isinstance(found, zarr.Array)
    expected = call(model, query)
    np.testing.assert_array_equal(found[:], expected)
    assert found.chunks[-2] < found.shape[-2]
    assert found.chunks[-1] == found.shape[-1]
    np.testing.assert_array_equal(ad.io.read_elem(zarr.open(str(path), mode="r")), expected)
    if expected.ndim == 2:
        np.testing.assert_array_equal(ad.AnnData(found).to_memory().X, expected)
    with pytest.raises(ValueError, match=r"`out`: .*values.zarr' exists"):
        call(model, query, out=path)
    np.testing.assert_array_equal(call(model, query, out=tmp_path / "values.npy"), expected)


class HeldRows:
    """Rows of counts in memory, and rows that were read."""

    def __init__(self, monkeypatch):
        self.held = self.most = self.read = 0
        fetch, take, concatenate = ModalityReader.fetch, Counts.take, Counts.concatenate

        def spy(reader, cells):
            self.read += len(cells)
            return {m: self.track(counts) for m, counts in fetch(reader, cells).items()}

        monkeypatch.setattr(ModalityReader, "fetch", spy)
        monkeypatch.setattr(Counts, "take", lambda *args: self.track(take(*args)))
        monkeypatch.setattr(
            Counts, "concatenate", classmethod(lambda _, parts: self.track(concatenate(parts)))
        )

    def track(self, counts):
        n = counts.n_cells
        self.held += n
        self.most = max(self.most, self.held)
        weakref.finalize(counts.values, self.release, n)
        return counts

    def release(self, n):
        self.held -= n


@pytest.mark.parametrize("method", METHODS)
def test_rows_in_memory_do_not_depend_on_the_number_of_cells(model, method, tmp_path, monkeypatch):
    monkeypatch.setattr("multiDGD.inference._infer_representations.POOL_CELLS", 32)
    most = []
    for n in (120, 480):
        folder = tmp_path / str(n)
        folder.mkdir()
        stored = on_disk(renamed_mudata(toy_mudata(n), "new"), folder, "zarr")
        model.get_latent_representation(stored, indices=[0], silent=True)
        with monkeypatch.context() as context:
            rows = HeldRows(context)
            METHODS[method](model, stored, out=folder / "values.zarr")
            assert 2 * n <= rows.read <= 12 * n
            most.append(rows.most)
    assert most[0] == most[1]


def test_annotations_are_written_to_a_store_of_their_own(tmp_path):
    data = toy_mudata(60)
    model = fitted(data, batch_key="batch", labels_key="label")
    query = renamed_mudata(toy_mudata(45), "new")
    stored = on_disk(query, tmp_path, "zarr")
    assert model.annotate(stored, prefix="a", out=tmp_path / "a.zarr") is None
    assert not any(key.startswith("X_a") for key in stored.obsm)
    model.annotate(query, prefix="a")
    found = ad.read_zarr(tmp_path / "a.zarr")
    assert found.obs_names.equals(query.obs_names)
    assert list(found.obs) == ["a_component", "a_label"]
    assert found.obs.equals(query.obs[list(found.obs)])
    for key in ("X_a", "X_a_batch"):
        np.testing.assert_array_equal(found.obsm[key], query.obsm[key])
    with pytest.raises(ValueError, match=r"`out`: .*a.zarr' exists"):
        model.annotate(stored, out=tmp_path / "a.zarr")
    with pytest.raises(ValueError, match=r"`out` must end in .zarr, found"):
        model.annotate(out=tmp_path / "a.npy")


@pytest.mark.parametrize("place", ["zarr", "h5mu"])
def test_a_query_on_disk_is_mapped_as_in_memory(query, place, tmp_path):
    reference = fitted(toy_mudata(60), {"n_components": 3}, batch_key="batch")
    query.obs["batch"] = query.obs["batch"].replace({"b1": "new batch"})
    z = [
        load(x, reference).get_latent_representation(silent=True)
        for x in (query, on_disk(query, tmp_path, place))
    ]
    np.testing.assert_array_equal(*z)


@pytest.mark.parametrize("place", ["zarr", "h5ad"])
def test_features_of_counts_on_disk_are_not_removed(place, tmp_path):
    reference = fitted(toy_adata(), {"n_components": 3}, batch_key="batch")
    query = renamed(toy_adata())[:, ::-1].copy()
    if place == "zarr":
        query.write_zarr(tmp_path / "query.zarr")
        stored = open_zarr(tmp_path / "query.zarr")
    else:
        query.write_h5ad(tmp_path / "query.h5ad")
        stored = ad.read_h5ad(tmp_path / "query.h5ad", backed="r")
    for prepare in (MultiDGD.prepare_query_anndata, MultiDGD.load_query_data):
        options = (
            {}
            if prepare == MultiDGD.prepare_query_anndata
            else {"inplace_subset_query_vars": True}
        )
        with pytest.raises(ValueError, match=r"`adata` is on disk.*load_query_data"):
            prepare(stored, reference, **options)
    z = load(stored, reference).get_latent_representation(silent=True)
    expected = load(query, reference).get_latent_representation(silent=True)
    np.testing.assert_array_equal(z, expected)


def test_invalid_places_raise_before_any_work(model, query, tmp_path, monkeypatch):
    query.write_zarr(tmp_path / "query.zarr")
    monkeypatch.setattr(MultiDGD, "_infer", None)
    with pytest.raises(ValueError, match=r"query.zarr' is a part of a zarr store"):
        model.get_latent_representation(query, out=tmp_path / "query.zarr" / "z.zarr")
    with pytest.raises(ValueError, match=r"`out` must end in .npy or .zarr, found 'z.h5'"):
        model.impute(query, "atac", out="z.h5")
    with pytest.raises(ValueError, match=r"`out` is for one array"):
        model.get_latent_representation(query, return_dist=True, out="z.npy")
    with pytest.raises(ValueError, match=r"`key_added` and `out`"):
        model.impute(query, "atac", key_added="x", out="z.npy")
    original = builtins.__import__

    def without_zarr(name, *args, **kwargs):
        if name == "zarr":
            raise ImportError(name)
        return original(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without_zarr)
    with pytest.raises(ImportError, match=r"`out` requires zarr: `pip install zarr`"):
        model.get_latent_representation(query, out=tmp_path / "z.zarr")


def test_an_interrupted_call_leaves_nothing(model, query, tmp_path, monkeypatch):
    def interrupt(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr("multiDGD.model.decoding._decoding.write_rows", interrupt)
    with pytest.raises(KeyboardInterrupt):
        model.get_normalized_expression(query, modality="rna", out=tmp_path / "values.zarr")
    assert not (tmp_path / "values.zarr").exists()


def test_views_of_mudata_on_disk_raise(model, query, tmp_path):
    stored = on_disk(query, tmp_path, "h5mu")
    with pytest.raises(ValueError, match=r"`adata` is a view of a MuData on disk.*`indices`"):
        model.get_latent_representation(stored[:9])


def test_no_cells(model, query, tmp_path):
    found = model.get_latent_representation(query, indices=[], out=tmp_path / "z.zarr")
    assert found.shape == (0, 3)
