"""``multidgd report``: write the report on a fit again."""

from __future__ import annotations

import argparse

from multiDGD.cli._errors import UserError
from multiDGD.cli._output import EMBEDDINGS, REPORT, make_folder, print_paths
from multiDGD.cli._read_data import read_data
from multiDGD.cli._read_model import calling_model, load_model


def run(args: argparse.Namespace) -> None:
    """Read the model and its cells, and write the report.

    Raises
    ------
    UserError
        If the folder has no model or no cells, a column does not exist, or the file cannot be
        written.
    """
    files = [args.model / name for name in EMBEDDINGS if (args.model / name).exists()]
    if not files:
        raise UserError(
            f"no training cells in {args.model}: expected {' or '.join(EMBEDDINGS)}, as written by "
            "`multidgd fit`"
        )
    path = args.model / REPORT if args.out is None else args.out
    make_folder(path.parent)
    data = read_data(files[0])
    model = load_model(args.model, data)
    with calling_model():
        model.report(
            path,
            label_key=args.label_key,
            basis="X_umap" if "X_umap" in data.obsm else None,
            title=args.model.resolve().name,
        )
    print_paths({"report": path})
