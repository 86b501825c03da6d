"""Arguments of the commands: help, version and parse errors."""

import shlex
import subprocess
import sys

import pytest

import multiDGD
from multiDGD.cli._parser import build_parser

COMMANDS = [[], ["demo"], ["fit"], ["embed"], ["impute"], ["de"], ["report"], ["info"]]


class TestArguments:
    @pytest.mark.parametrize("command", COMMANDS)
    def test_help(self, run, command):
        code, out, err = run(*command, "--help")
        assert (code, err) == (0, "")
        assert out.startswith(" ".join(["usage: multidgd", *command]))
        examples = [x for x in out.splitlines() if x.startswith("  multidgd ")]
        assert examples
        for line in examples:
            args = build_parser().parse_args(shlex.split(line)[1:])
            assert not command or [args.command] == command

    def test_version(self, run):
        assert run("--version") == (0, f"multidgd {multiDGD.__version__}\n", "")

    @pytest.mark.parametrize(
        ("argv", "message"),
        [
            ([], "required"),
            (["fly"], "invalid choice"),
            (["fitt", "x.h5ad"], "Nearest: fit"),
            (["fit"], "FILE"),
            (["demo", "--n-cells", "3"], "at least 20; got '3'"),
            (["fit", "x.h5ad", "--max-epochs", "0"], "at least 1; got '0'"),
            (["fit", "x.h5ad", "--seed", "one"], "whole number"),
            (["fit", "x.h5ad", "--batch_key", "donor"], "batch_key donor. Nearest: --batch-key"),
            (["fit", "x.h5ad", "--label_key=a"], "label_key=a. Nearest: --labels-key"),
            (["embed", "results"], "FILE"),
            (["impute", "results", "x.h5ad"], "--modality"),
            (["de", "results", "x.h5ad"], "--groupby"),
            (["de", "results", "x.h5ad", "--groupby", "x", "--mode", "up"], "invalid choice"),
            (["info"], "MODEL_DIR_OR_FILE"),
        ],
    )
    def test_wrong_arguments(self, run, argv, message):
        code, out, err = run(*argv)
        assert (code, out) == (2, "")
        assert message in err

    def test_module_runs(self):
        done = subprocess.run(
            [sys.executable, "-m", "multiDGD", "fit", "none.h5ad"], capture_output=True, text=True
        )
        assert done.returncode == 1
        assert "no such file: none.h5ad" in done.stderr
