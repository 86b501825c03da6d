"""A save replaces an older one completely, or not at all."""

import errno
import os
import shutil
import sys
import time

import anndata as ad
import numpy as np
import pytest
from tests.saving.conftest import is_model, is_same

from multiDGD import MultiDGD
from multiDGD.saving import Place, _swap
from multiDGD.saving._lock import locked

crash = pytest.importorskip("tests.saving.crash", reason="needs fork")
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs fork")


@pytest.fixture
def folder(tmp_path, older):
    """A save with data, beside other files of the user."""
    older.save(tmp_path / "model", save_anndata=True)
    (tmp_path / "model" / "notes.txt").write_text("mine")
    return tmp_path / "model"


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def save_newer(newer, folder, **options):
    return lambda: newer.save(folder, overwrite=True, save_anndata=True, **options)


def holds_one(folder, older, newer, is_new=None):
    """Check that a folder contains one of two models, and return whether it is the newer one."""
    loaded = MultiDGD.load(folder)
    found = loaded.adata.n_obs == newer.adata.n_obs
    assert is_same(loaded, newer if found else older)
    assert (folder / "notes.txt").read_text() == "mine"
    assert is_new is None or is_new == found
    return found


class TestInterruption:
    def test_before_every_change_of_the_file_system(
        self, folder, older, newer, monkeypatch, tmp_path
    ):
        shutil.copytree(folder, tmp_path / "older")
        found = []
        for call in range(1, 100):
            ended = crash.crash_at(call, save_newer(newer, folder))
            with monkeypatch.context() as patch:
                # As on a file system that cannot be written to.
                patch.setattr(_swap, "_finish", lambda place: None)
                is_new = holds_one(folder, older, newer)
            found.append(holds_one(folder, older, newer, is_new))
            if ended:
                break
            shutil.rmtree(folder)
            shutil.copytree(tmp_path / "older", folder)
        assert ended
        # One change decides; all before it keep the older model.
        assert found == sorted(found)
        assert 5 < found.index(True) < len(found) - 5
        assert not [name for name in names(folder) if name.startswith(".")]

    def test_new_folder_appears_complete(self, tmp_path, older):
        path = tmp_path / "parent" / "model"
        for call in range(1, 100):
            ended = crash.crash_at(call, lambda: older.save(path, save_anndata=True))
            assert path.exists() == ended or is_model(path, older)
            if path.exists():
                break
        assert call > 5
        assert is_model(path, older)

    def test_finished_by_the_next_save(self, folder, older, newer):
        while not Place.of(folder).committed.exists():
            crash.crash_at(12, save_newer(newer, folder))
        older.save(folder, overwrite=True, save_anndata=True)
        assert is_model(folder, older)

    @pytest.mark.parametrize("share", [0, 0.02, 0.1, 0.3, 0.6, 0.9, 0.9999])
    def test_full_disk(self, folder, older, newer, share, tmp_path):
        newer.save(tmp_path / "newer", save_anndata=True)
        limit = int(share * max(path.stat().st_size for path in (tmp_path / "newer").iterdir()))
        before = names(folder)
        assert not crash.with_limit(limit, save_newer(newer, folder))
        assert names(folder) == before
        holds_one(folder, older, newer, is_new=False)

    def test_failed_first_save_leaves_nothing(self, tmp_path, older):
        assert not crash.with_limit(2_000, lambda: older.save(tmp_path / "model"))
        assert names(tmp_path) == []

    @pytest.mark.slow
    def test_any_limit(self, folder, older, newer):
        found = []
        for limit in np.linspace(0, 60_000, 60, dtype=int).tolist():
            saved = crash.with_limit(limit, save_newer(newer, folder))
            found.append(saved)
            holds_one(folder, older, newer, is_new=saved)
            older.save(folder, overwrite=True, save_anndata=True)
        assert True in found
        assert False in found

    @pytest.mark.slow
    def test_kill_at_any_time(self, folder, older, newer):
        longest = max(crash.duration(save_newer(newer, folder)) for _ in range(3))
        rng = np.random.default_rng(0)
        found = []
        for _ in range(50):
            older.save(folder, overwrite=True, save_anndata=True)
            ended = crash.kill_after(rng.uniform(0, 1.1 * longest), save_newer(newer, folder))
            is_new = holds_one(folder, older, newer)
            assert is_new or not ended
            found.append((is_new, ended))
        assert len(set(found)) > 1

    def test_error_says_that_nothing_has_changed(self, folder, newer, monkeypatch):
        def full(path, data, **options):
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr("multiDGD.model.core._saving.write_h5ad", full)
        with pytest.raises(OSError, match="No space left") as error:
            newer.save(folder, overwrite=True, save_anndata=True)
        assert error.value.__notes__ == [f"{folder} is unchanged."]


class TestOverwriting:
    def test_without_data_sets_older_data_aside(self, folder, older, newer):
        newer.save(folder, overwrite=True)
        assert "adata.h5ad" not in names(folder)
        kept = ad.read_h5ad(folder / "adata.older-1.h5ad")
        assert (kept.X != older.adata.X).nnz == 0
        with pytest.warns(UserWarning, match="contains no data"):
            assert MultiDGD.load(folder).adata is None
        newer.save(folder, overwrite=True, save_anndata=True)
        newer.save(folder, overwrite=True)
        assert {"adata.older-1.h5ad", "adata.older-2.h5ad"} <= set(names(folder))

    def test_without_model_pt_removes_the_older_one(self, folder, newer):
        newer.save(folder, overwrite=True, save_anndata=True, legacy_pt=False)
        assert "model.pt" not in names(folder)
        assert is_model(folder, newer)

    def test_former_save_is_replaced(self, folder, older, newer):
        for path in [folder / "model.json", *folder.glob("*.safetensors")]:
            path.unlink()
        assert names(folder) == ["adata.h5ad", "model.pt", "notes.txt"]
        assert is_model(folder, older)
        newer.save(folder, overwrite=True, save_anndata=True)
        holds_one(folder, older, newer, is_new=True)

    def test_prefixes_share_a_folder(self, folder, older, newer):
        for prefix in ("b_", "[c]*", "sub_"):
            newer.save(folder, overwrite=True, save_anndata=True, prefix=prefix)
        newer.save(folder, overwrite=True, prefix="b_")
        holds_one(folder, older, newer, is_new=False)
        assert is_model(folder, newer, prefix="[c]*")
        with pytest.warns(UserWarning, match="contains no data"):
            MultiDGD.load(folder, prefix="b_")
        assert "b_adata.older-1.h5ad" in names(folder)

    def test_left_parts_of_killed_saves_are_removed(self, folder, newer, tmp_path):
        (folder / ".saving-0").mkdir()
        (folder / ".saving-0" / "model.pt").write_text("part")
        (folder / ".b_saving-0").mkdir()
        newer.save(folder, overwrite=True)
        assert [n for n in names(folder) if n.startswith(".")] == [".b_saving-0"]
        (tmp_path / ".new.saving-0").mkdir()
        newer.save(tmp_path / "new")
        assert names(tmp_path) == ["model", "new"]

    @pytest.mark.parametrize("taken", ["folder", "file"])
    def test_existing_paths(self, tmp_path, older, taken):
        path = tmp_path / "taken"
        path.mkdir() if taken == "folder" else path.write_text("")
        with pytest.raises(ValueError, match="already exists"):
            older.save(path)
        if taken == "file":
            with pytest.raises(ValueError, match="already exists"):
                older.save(path, overwrite=True)
            assert path.read_text() == ""

    def test_link_to_a_folder(self, folder, older, newer, tmp_path):
        (tmp_path / "link").symlink_to(folder)
        newer.save(tmp_path / "link", overwrite=True, save_anndata=True)
        assert (tmp_path / "link").is_symlink()
        assert is_model(tmp_path / "link", newer)


class TestSeveralProcesses:
    def test_others_in_the_middle_of_a_save_are_not_disturbed(self, folder, newer, tmp_path):
        busy = folder / ".saving-0"
        busy.mkdir()
        with locked(busy):
            newer.save(folder, overwrite=True)
        assert busy.exists()
        newer.save(folder, overwrite=True)
        assert not busy.exists()

    def test_reader_and_writers(self, folder, older, newer):
        def write():
            for model in (newer, older) * 5:
                model.save(folder, overwrite=True, save_anndata=True)

        writers = [crash.fork(write) for _ in range(2)]
        found = {holds_one(folder, older, newer) for _ in range(15)}
        assert [crash.wait(pid) for pid in writers] == [0, 0]
        assert found == {True, False}
        holds_one(folder, older, newer, is_new=False)
        assert not [name for name in names(folder) if name.startswith(".")]

    def test_writer_starts_before_another_holds_its_files(
        self, folder, older, newer, monkeypatch, tmp_path
    ):
        """A new folder of one process is not removed by another that starts at that moment."""
        begin, locked = tmp_path / "begin", _swap.locked

        def start():
            while not begin.exists():
                time.sleep(0.01)
            older.save(folder, overwrite=True, save_anndata=True)

        other = crash.fork(start)

        def pause(path, **kwargs):
            if "saving-" in path.name:
                begin.touch()
                time.sleep(1.0)
            return locked(path, **kwargs)

        monkeypatch.setattr(_swap, "locked", pause)
        newer.save(folder, overwrite=True, save_anndata=True)
        assert crash.wait(other) == 0
        holds_one(folder, older, newer)


def test_new_folder_has_the_usual_permissions(tmp_path, older):
    older.save(tmp_path / "model")
    (tmp_path / "other").mkdir()
    assert os.stat(tmp_path / "model").st_mode == os.stat(tmp_path / "other").st_mode


def test_all_files_are_flushed_before_the_commit(tmp_path, older, monkeypatch):
    events = []
    flush, rename = _swap.flush, os.rename
    monkeypatch.setattr(_swap, "flush", lambda path: (events.append(path.name), flush(path)))
    monkeypatch.setattr(os, "rename", lambda *a: (events.append("rename"), rename(*a)))
    older.save(tmp_path / "model", save_anndata=True)
    at = events.index("rename")
    assert {"model.json", "model.pt", "adata.h5ad", "weights.safetensors"} <= set(events[:at])
    assert events[at + 1] == tmp_path.name
