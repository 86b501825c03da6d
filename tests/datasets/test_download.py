"""Downloads from a local server."""

import hashlib
import logging
import sys
import threading
import zipfile
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
import scanpy as sc
from tests.toy import toy_adata, toy_mudata

from multiDGD import datasets
from multiDGD.datasets import _published
from multiDGD.datasets._download import FIGSHARE, fetch

pytest.importorskip("pooch", reason="pooch is not installed")

IDS = {
    "human_bonemarrow": ("human_bonemarrow.h5ad", 41740251),
    "mouse_gastrulation": ("mouse_gastrulation.h5mu", 41740323),
    "human_brain": ("human_brain.h5mu", 41736012),
}


class Handler(SimpleHTTPRequestHandler):
    def do_GET(self):
        self.server.requests.append(self.path)
        super().do_GET()

    def log_message(self, *args):
        pass


@pytest.fixture
def served(tmp_path):
    """Folder of the files on the server."""
    folder = tmp_path / "served"
    folder.mkdir()
    return folder


@pytest.fixture
def server(served, monkeypatch):
    """Server with the archives of all data sets."""
    for name, number in IDS.values():
        file = served / name
        if name.endswith(".h5ad"):
            toy_adata(30).write_h5ad(file)
        else:
            toy_mudata(20).write_h5mu(file)
        with zipfile.ZipFile(served / str(number), "w") as archive:
            archive.write(file, name)
            archive.writestr(f"__MACOSX/._{name}", "metadata")
        file.unlink()
    found = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=served))
    found.requests = []
    thread = threading.Thread(target=found.serve_forever)
    thread.start()
    found.url = f"http://127.0.0.1:{found.server_port}"
    monkeypatch.setattr(_published, "fetch", partial(fetch, base_url=found.url))
    yield found
    found.shutdown()
    thread.join()
    found.server_close()


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "cache"


def sha256(file):
    return f"sha256:{hashlib.sha256(file.read_bytes()).hexdigest()}"


def test_folder_below_home(server, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("USERPROFILE", str(tmp_path / "home"))  # on Windows
    monkeypatch.chdir(tmp_path)
    found = datasets.human_bonemarrow("~/data", progressbar=False)
    assert found.n_obs == 30
    assert (tmp_path / "home" / "data" / "human_bonemarrow.h5ad.zip").is_file()
    assert not (tmp_path / "~").exists()


def test_the_default_server_is_figshare():
    assert FIGSHARE == "https://ndownloader.figshare.com/files"


@pytest.mark.parametrize("name", IDS)
def test_is_downloaded_once(server, folder, name):
    first = getattr(datasets, name)(folder, progressbar=False)
    assert server.requests == [f"/{IDS[name][1]}"]
    again = getattr(datasets, name)(folder, progressbar=False)
    assert len(server.requests) == 1
    wanted = toy_adata(30) if name == "human_bonemarrow" else toy_mudata(20)
    for found in (first, again):
        assert list(found.obs_names) == list(wanted.obs_names)
        assert list(found.obs["batch"]) == list(wanted.obs["batch"])
    if name == "human_bonemarrow":
        assert (first.X != wanted.X).nnz == 0
    else:
        assert list(first.mod) == ["rna", "atac"]
        assert (first["atac"].X != wanted["atac"].X).nnz == 0


def test_the_default_folder_is_that_of_scanpy(server, tmp_path):
    before = sc.settings.datasetdir
    sc.settings.datasetdir = tmp_path / "scanpy"
    try:
        datasets.human_bonemarrow(progressbar=False)
    finally:
        sc.settings.datasetdir = before
    assert (tmp_path / "scanpy" / "human_bonemarrow.h5ad.zip").is_file()


def test_progress_is_shown_on_standard_error(server, folder, capfd):
    datasets.human_bonemarrow(folder)
    assert "100%" in capfd.readouterr().err
    datasets.mouse_gastrulation(folder, progressbar=False)
    assert capfd.readouterr().err == ""


def test_an_incomplete_extraction_is_repeated(server, folder):
    datasets.human_bonemarrow(folder, progressbar=False)
    (folder / "human_bonemarrow.h5ad.zip.sha256").unlink()
    unpacked = folder / "human_bonemarrow.h5ad.zip.unzip" / "human_bonemarrow.h5ad"
    unpacked.write_bytes(unpacked.read_bytes()[:100])
    assert datasets.human_bonemarrow(folder, progressbar=False).n_obs == 30
    assert len(server.requests) == 1


class TestChecksums:
    def test_are_stored_and_verified(self, server, served, folder, caplog):
        with caplog.at_level(logging.INFO, logger="scvi"):
            datasets.human_bonemarrow(folder, progressbar=False)
        archive = folder / "human_bonemarrow.h5ad.zip"
        stored = (folder / "human_bonemarrow.h5ad.zip.sha256").read_text()
        assert stored == sha256(served / "41740251") == sha256(archive)
        archive.write_bytes(archive.read_bytes()[:-100])  # a truncated download
        assert datasets.human_bonemarrow(folder, progressbar=False).n_obs == 30
        assert len(server.requests) == 2
        assert sha256(archive) == stored

    def test_of_a_changed_archive_on_the_server(self, server, served, folder):
        datasets.human_bonemarrow(folder, progressbar=False)
        (folder / "human_bonemarrow.h5ad.zip").unlink()
        with (served / "41740251").open("ab") as file:
            file.write(b"more")
        with pytest.raises(ValueError, match=r"does not match the known hash"):
            datasets.human_bonemarrow(folder, progressbar=False)

    def test_passed_by_the_user(self, server, served, folder):
        with pytest.raises(ValueError, match=r"does not match the known hash"):
            datasets.human_bonemarrow(folder, known_hash="sha256:" + 64 * "0", progressbar=False)
        assert not (folder / "human_bonemarrow.h5ad.zip").exists()
        known = sha256(served / "41740251")
        found = datasets.human_bonemarrow(folder, known_hash=known, progressbar=False)
        assert found.n_obs == 30


class TestWithoutNetwork:
    def offline(self, folder):
        # No server listens on port 9 of this machine.
        return fetch("a.h5ad", 7, folder, progressbar=False, base_url="http://127.0.0.1:9")

    def test_the_error_describes_a_manual_download(self, folder):
        with pytest.raises(
            OSError, match=r"http://127.0.0.1:9/7 failed: .*Download the archive manually"
        ) as error:
            self.offline(folder)
        assert str(folder / "a.h5ad.zip") in str(error.value)
        assert list(folder.iterdir()) == []

    @pytest.mark.parametrize("packed", [True, False])
    def test_a_manually_saved_file_is_used(self, folder, packed):
        folder.mkdir()
        toy_adata(30).write_h5ad(folder / "a.h5ad")
        if packed:
            with zipfile.ZipFile(folder / "a.h5ad.zip", "w") as archive:
                archive.write(folder / "a.h5ad", "subfolder/a.h5ad")
            (folder / "a.h5ad").unlink()
        found = sc.read_h5ad(self.offline(folder))
        np.testing.assert_array_equal(found.X.toarray(), toy_adata(30).X.toarray())

    def test_a_broken_manual_download_is_kept(self, folder):
        folder.mkdir()
        (folder / "a.h5ad.zip").write_text("not a zip file")
        with pytest.raises(OSError, match="File is not a zip file"):
            self.offline(folder)
        assert (folder / "a.h5ad.zip").is_file()


class TestServerErrors:
    def test_missing_file(self, server, folder):
        with pytest.raises(OSError, match=r"404.*File not found.*Download the archive manually"):
            fetch("a.h5ad", 7, folder, progressbar=False, base_url=server.url)

    def test_a_web_page_instead_of_the_file(self, server, served, folder):
        (served / "7").write_text("<html>Are you a browser?</html>")
        with pytest.raises(OSError, match="File is not a zip file.*with a browser"):
            fetch("a.h5ad", 7, folder, progressbar=False, base_url=server.url)
        assert not (folder / "a.h5ad.zip").exists()

    def test_an_archive_without_the_file(self, server, folder):
        with pytest.raises(
            ValueError, match=r"one file 'a.h5ad', found .*'human_bonemarrow.h5ad'"
        ):
            fetch("a.h5ad", 41740251, folder, progressbar=False, base_url=server.url)


def test_without_pooch(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "pooch", None)
    with pytest.raises(ImportError, match=r"pip install 'multidgd\[datasets\]'"):
        datasets.human_bonemarrow(folder)
