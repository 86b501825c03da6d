"""Names of the files of a save."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

MANIFEST = "model.json"
WEIGHTS = "weights.safetensors"
REPRESENTATIONS = "representations.safetensors"
RECORDS = "records.safetensors"
#: The file of scvi-tools, and the only one of the former format.
FORMER = "model.pt"
#: Files of a save besides :data:`MANIFEST` and the data.
PARTS = (WEIGHTS, REPRESENTATIONS, RECORDS, FORMER)
#: File of the data, by the method that registered them.
DATA = {"setup_anndata": "adata.h5ad", "setup_mudata": "mdata.h5mu"}


@dataclass(frozen=True)
class Place:
    """Folder of a save and the prefix of its files.

    Attributes
    ----------
    folder
        The folder.
    prefix
        Start of all file names. Saves with different prefixes can share a folder.
    """

    folder: Path
    prefix: str = ""

    @classmethod
    def of(cls, folder: str | Path, prefix: str | None = None) -> Place:
        """Resolve links, and folders in the prefix.

        Parameters
        ----------
        folder, prefix
            Arguments of :meth:`multiDGD.MultiDGD.save`.
        """
        head, tail = os.path.split(prefix or "")
        return cls(Path(os.path.realpath(Path(folder) / head)), tail)

    @property
    def committed(self) -> Path:
        """Folder of a complete save whose files have not all been moved to their places."""
        return self.folder / f".{self.prefix}committed"

    def file(self, name: str) -> Path:
        """Path of a file.

        Parameters
        ----------
        name
            Name without the prefix.
        """
        return self.folder / f"{self.prefix}{name}"

    def current(self, name: str) -> Path:
        """Path of a file while its save may not have been moved completely.

        Parameters
        ----------
        name
            Name without the prefix.
        """
        moving = self.committed / f"{self.prefix}{name}"
        return moving if moving.exists() else self.file(name)

    def exists(self) -> bool:
        """Whether the folder contains a save with the prefix."""
        return self.current(MANIFEST).is_file() or self.file(FORMER).is_file()
