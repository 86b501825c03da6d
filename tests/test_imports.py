"""Imports that take seconds happen with the first use, and nothing of them is shown."""

import subprocess
import sys

import pytest

import multiDGD

HEAVY = {"anndata", "matplotlib", "numpy", "pandas", "scanpy", "scvi", "torch"}


def imported(code):
    """Modules that a new process has imported after ``code``, and what it has shown."""
    end = "; import sys; print('MODULES', *sys.modules, file=sys.stderr)"
    # Only the oldest scanpy and anndata warn: the former imports names that the latter has renamed.
    command = [sys.executable, "-W", "ignore:Importing read_:FutureWarning", "-c", code + end]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    shown, _, modules = done.stderr.rpartition("MODULES")
    return set(modules.split()), done.stdout + shown


def test_the_package_imports_no_large_library():
    modules, shown = imported("import multiDGD; multiDGD.__version__, dir(multiDGD)")
    assert not modules & HEAVY
    assert not shown


@pytest.mark.parametrize(
    ("arguments", "answer"),
    [
        (["--help"], "examples:"),
        (["fit", "--help"], "--batch-key"),
        (["--version"], multiDGD.__version__),
        (["fti", "cells.h5mu"], "invalid choice: 'fti'"),
        (["fit", "cells.h5mu", "--batch-kye", "donor"], "unrecognized arguments: --batch-kye"),
        (["fit", "missing.h5mu"], "no such file: missing.h5mu"),
        (["embed", "missing", "cells.h5mu"], "no such"),
        (["info", "missing"], "no such file or folder: missing"),
    ],
)
def test_the_command_line_imports_no_large_library(arguments, answer):
    modules, shown = imported(f"from multiDGD.cli import main; main({arguments!r})")
    assert answer in shown
    assert not modules & HEAVY


def test_public_names_are_found():
    modules, shown = imported(
        "import multiDGD; multiDGD.pl, multiDGD.train, multiDGD.MultiDGD.setup_mudata"
    )
    assert "scvi" in modules
    assert not shown
    assert set(multiDGD.__all__) <= set(dir(multiDGD))
    assert not {"Any", "version", "import_module", "quiet_import", "_quiet"} & set(dir(multiDGD))
    for name in multiDGD.__all__:
        assert getattr(multiDGD, name) is not None
    with pytest.raises(AttributeError, match="has no attribute 'MultiDGB'"):
        _ = multiDGD.MultiDGB
    assert not hasattr(multiDGD, "tools")
