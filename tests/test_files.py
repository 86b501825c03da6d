"""Files and folders that are replaced after they were written."""

import pytest

from multiDGD._files import remove, replacing


def test_replaces_the_file_after_the_block(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with replacing(path) as partial:
        partial.write_text("new")
        assert path.read_text() == "old" and partial.suffix == ".txt"
    assert path.read_text() == "new"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_keeps_the_file_after_an_error(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(OSError, match="full"), replacing(path) as partial:
        partial.write_text("half")
        raise OSError("full")
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_folders_are_replaced_or_kept(tmp_path):
    path = tmp_path / "a.zarr"
    path.mkdir()
    (path / "old").touch()
    with pytest.raises(OSError, match="full"), replacing(path) as partial:
        partial.mkdir()
        (partial / "half").touch()
        raise OSError("full")
    assert [p.name for p in tmp_path.rglob("*")] == ["a.zarr", "old"]
    with replacing(path) as partial:
        partial.mkdir()
        (partial / "new").touch()
    assert [p.name for p in tmp_path.rglob("*")] == ["a.zarr", "new"]


def test_removes_links_and_not_what_they_point_to(tmp_path):
    (tmp_path / "kept").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "kept")
    for name in ("link", "nothing"):
        remove(tmp_path / name)
    assert [p.name for p in tmp_path.iterdir()] == ["kept"]
