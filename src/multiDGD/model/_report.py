"""Report on a trained model."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from multiDGD._checks import choice, integer, positive_int
from multiDGD._files import replacing
from multiDGD.data import logger
from multiDGD.model.core._columns import column_of
from multiDGD.model.core._representations import RepresentationMixin


class ReportMixin(RepresentationMixin):
    """A report as one HTML file."""

    def report(
        self,
        path: str | Path = "report.html",
        *,
        label_key: str | None = None,
        basis: str | None = None,
        title: str | None = None,
        max_cells: int = 100_000,
        seed: int = 0,
    ) -> Path:
        """Write a report on the fit as one HTML file, which opens in any browser.

        The report contains the data and settings of the fit, checks of its quality in plain words
        with what to do, the cells in a plane (coloured by annotations, components, scores, and
        the 200 genes and proteins that distinguish the components best), the components with
        their markers, batches, missing modalities, and the history of the training. The file
        contains everything it needs and makes no network requests.

        Parameters
        ----------
        path
            File to write; an existing one is replaced. Its folder must exist.
        label_key
            Column of ``obs`` with cell types, for colours, components and the mixing of batches
            within types; the registered ``labels_key`` by default.
        basis
            Key in ``obsm`` of the plane, such as ``"X_umap"``. By default, a UMAP of the
            representations is computed.
        title
            Title of the page, by default the name of the file.
        max_cells
            Largest number of cells in the page; of more, a random subset is shown. Typicality and
            uncertainty are computed for at most 10,000 of them.
        seed
            Seed of the subset, of the UMAP and of the count splitting.

        Returns
        -------
        Path of the file.

        Raises
        ------
        ValueError
            If an argument is invalid, ``path`` is a folder, or the model was loaded without data.
        FileNotFoundError
            If the folder does not exist.

        Examples
        --------
        >>> model.report("report.html", label_key="cell_type")  # doctest: +SKIP
        """
        file = Path(path)
        if not file.parent.is_dir():
            raise FileNotFoundError(f"`path`: the folder {file.parent} does not exist.")
        if file.is_dir():
            raise ValueError(f"`path` must be a file, found the folder {file}.")
        positive_int("max_cells", max_cells)
        integer("seed", seed)
        data = self._manager_of(None).adata
        if label_key is not None:
            column_of(data.obs, "label_key", label_key)
        if basis is not None:
            keys = [key for key in map(str, data.obsm) if np.shape(data.obsm[key])[1:] > (1,)]
            choice("basis", basis, [*keys, *(key.removeprefix("X_") for key in keys)])
        from multiDGD.report import collect, render

        logger.info("Writing the report")
        report = collect(
            self,
            label_key=label_key,
            basis=basis,
            title=file.stem if title is None else str(title),
            max_cells=max_cells,
            seed=seed,
        )
        with replacing(file) as partial:
            partial.write_text(render(report), encoding="utf-8")
        logger.info("Wrote the report %s", file)
        return file
