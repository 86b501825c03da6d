"""Arguments of ``multidgd report``."""

from __future__ import annotations

import argparse
from pathlib import Path

from multiDGD.cli._shared_arguments import Commands, add_command

_EPILOG = """\
examples:
  multidgd report results --label-key cell_type
  multidgd report results --out cell_types.html --label-key cell_type
"""


def add_parser(commands: Commands[argparse.ArgumentParser]) -> None:
    """Add ``multidgd report``."""
    parser = add_command(
        commands,
        "report",
        help="write the report on a fit again",
        description="Write the report on a model and its training cells as one HTML file.",
        epilog=_EPILOG,
    )
    parser.add_argument(
        "model", type=Path, metavar="RESULTS_DIR", help="the --out folder of fit or demo"
    )
    parser.add_argument(
        "--label-key",
        metavar="KEY",
        help="column of obs with cell types (default: the labels that supervise the model)",
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="FILE",
        help="file to write (default: report.html in the folder, which is replaced)",
    )
