"""``multidgd report``."""

import re
import shutil

import mudata as md
import pytest


@pytest.fixture
def results(fitted, tmp_path):
    """A copy of the results of ``fit``."""
    return shutil.copytree(fitted, tmp_path / "results")


def test_report_is_written_again(run, results):
    before = (results / "report.html").read_text()
    (results / "report.html").unlink()
    code, out, err = run("report", results)
    assert code == 0
    assert out == f"report: {results / 'report.html'}\n"
    assert "Writing the report" in err
    after = (results / "report.html").read_text()

    def contents(page):
        # The folder and the time differ.
        return re.sub(r"<title>.*?</title>|<h1>.*?</h1>|\d{4}-\d\d-\d\d \d\d:\d\d", "", page)

    assert contents(after) == contents(before)


def test_labels_and_file(run, results, tmp_path):
    data = md.read_h5mu(results / "embedding.h5mu")
    data.obs["other"] = ["first type" if i % 2 else "second type" for i in range(data.n_obs)]
    data.write(results / "embedding.h5mu")
    path = tmp_path / "new" / "types.html"
    code, out, _ = run("report", results, "--label-key", "other", "--out", path)
    assert (code, out) == (0, f"report: {path}\n")
    assert "second type (" in path.read_text()


def test_errors(fails, results, tmp_path):
    message = fails("report", results, "--label-key", "cell_typ")
    assert (
        "--label-key: 'cell_typ' is not a column of `obs`. Nearest names: ['cell_type'" in message
    )
    (results / "embedding.h5mu").unlink()
    assert "no training cells in" in fails("report", results)
    assert "no such folder" in fails("report", tmp_path / "nothing")
