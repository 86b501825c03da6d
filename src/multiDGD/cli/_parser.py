"""Parser of the command line."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from difflib import get_close_matches
from importlib.metadata import PackageNotFoundError, version
from typing import Any, NoReturn

from ._arguments import de, demo, embed, fit, impute, info, report

_COMMANDS = (demo, fit, embed, impute, de, report, info)

_EPILOG = """\
examples:
  multidgd demo
      simulate a multiome, train a model, and compare the results with the simulated truth
  multidgd info multiome.h5mu
      list the counts in a file and the columns that could be a batch or labels
  multidgd fit multiome.h5mu --batch-key donor --out results
      train on all modalities and integrate the cells over donors
  multidgd fit filtered_feature_bc_matrix.h5
      train on RNA and peaks of a 10x Multiome, identified by `feature_types`
  multidgd embed results new_donor.h5mu
      map cells of a new donor to the latent space of the model
  multidgd impute results rna_only.h5mu --modality atac
      impute the expected counts of a modality that was not measured
  multidgd de results multiome.h5mu --groupby cell_type
      find the features whose share of the counts differs between groups of cells

Each command has its own --help. Results are printed to standard output, progress and errors to
standard error. The exit code is 0 on success, 1 if a file, a name or a value is invalid, 2 if the
arguments cannot be parsed, and 130 if the command is interrupted.
"""


class _RootParser(argparse.ArgumentParser):
    """Parser of the command's name. For an unknown command, its error names the nearest one."""

    def error(self, message: str) -> NoReturn:
        found = re.match(r"argument command: invalid choice: '([^']*)'", message)
        if found:
            names = [command.__name__.rpartition(".")[2] for command in _COMMANDS]
            message += f". Nearest: {get_close_matches(found[1], names, n=1, cutoff=0.0)[0]}"
        super().error(message)


class _CommandParser(argparse.ArgumentParser):
    """Parser of one command. For unknown options, its error names the nearest one."""

    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[Any, list[str]]:
        found = super().parse_known_args(args, namespace)
        unknown = found[1]
        options = [name for name in unknown if name.startswith("-")]
        if options:
            known = list(self._option_string_actions)
            (near,) = get_close_matches(options[0].partition("=")[0], known, n=1, cutoff=0.0)
            self.error(f"unrecognized arguments: {' '.join(unknown)}. Nearest: {near}")
        return found


def build_parser() -> argparse.ArgumentParser:
    """Build the parser of all commands.

    Returns
    -------
    argparse.ArgumentParser
        Its namespace has the name of the command as ``command`` and its function as ``run``.

    Examples
    --------
    >>> build_parser().parse_args(["demo", "--n-cells", "500"]).n_cells
    500
    """
    parser = _RootParser(
        prog="multidgd",
        description="The multi-omics Deep Generative Decoder for single-cell data.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"multidgd {_version()}")
    subparsers = parser.add_subparsers(dest="command", required=True, parser_class=_CommandParser)
    for command in _COMMANDS:
        command.add_parser(subparsers)
    return parser


def _version() -> str:
    try:
        return version("multidgd")
    except PackageNotFoundError:  # run from a source tree that is not installed
        return "0.0.0"
