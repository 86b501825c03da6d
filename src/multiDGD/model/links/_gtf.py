"""Positions of genes from a GTF file."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

_COLUMNS = {0: "chrom", 2: "kind", 3: "start", 4: "end", 6: "strand", 8: "attributes"}
_CHUNK = 500_000


def read_gtf(path: str | Path) -> pd.DataFrame:
    """Read positions of genes by name, identifier, and identifier without version.

    Parameters
    ----------
    path
        GTF file, which may be compressed (``.gz``).

    Returns
    -------
    Table with the columns ``chrom``, ``start`` (of the interval, from 0), ``end`` and ``strand``.
    A file without lines of genes gives the interval of all lines of each gene.

    Raises
    ------
    FileNotFoundError, ValueError
        If the file does not exist or contains no gene.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"`positions`: there is no file {str(path)!r}.")
    genes, others = [], []
    try:
        chunks = pd.read_csv(
            path,
            sep="\t",
            comment="#",
            header=None,
            usecols=list(_COLUMNS),
            dtype={0: str},
            quoting=3,
            chunksize=_CHUNK,
        )
        for chunk in chunks:
            lines = chunk.rename(columns=_COLUMNS)
            is_gene = lines["kind"] == "gene"
            genes.append(_named(lines[is_gene]))
            # Lines of transcripts and exons are only needed if no line is of a gene.
            if not sum(map(len, genes)):
                others.append(_named(lines[~is_gene]))
    except (ValueError, OSError, EOFError) as error:
        raise ValueError(
            f"`positions`: {str(path)!r} cannot be read as a GTF file ({error})."
        ) from error
    lines = pd.concat(genes or [pd.DataFrame()])
    if lines.empty:
        lines = pd.concat(others or [pd.DataFrame()])
    if lines.empty:
        raise ValueError(
            f"`positions`: {str(path)!r} has no line with the attributes `gene_id` or `gene_name`."
        )
    # Two genes may share a name: the first one has it.
    keys = ["name", "chrom", "strand"]
    table = lines.groupby(keys, sort=False).agg({"start": "min", "end": "max"}).reset_index()
    table = table.drop_duplicates("name").set_index("name")
    return table.assign(start=table["start"] - 1)[["chrom", "start", "end", "strand"]]


def _named(lines: pd.DataFrame) -> pd.DataFrame:
    """Lines with the name of their gene, once for each kind of name."""
    attributes = lines["attributes"].astype(str)
    identifier = attributes.str.extract(r'gene_id "([^"]+)"', expand=False)
    names = [
        attributes.str.extract(r'gene_name "([^"]+)"', expand=False),
        identifier,
        identifier.str.replace(r"\.\d+$", "", regex=True),
    ]
    found = pd.concat([lines.assign(name=name) for name in names])
    return found.dropna(subset="name").drop(columns=["attributes", "kind"])
