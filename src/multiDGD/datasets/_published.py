"""Data sets of the multiDGD paper."""

from __future__ import annotations

from pathlib import Path

import mudata
from anndata import AnnData, read_h5ad
from mudata import MuData

from multiDGD._mudata import without_pulling

from ._download import fetch

# Files of https://doi.org/10.6084/m9.figshare.23796198
_HUMAN_BONEMARROW = "human_bonemarrow.h5ad", 41740251
_MOUSE_GASTRULATION = "mouse_gastrulation.h5mu", 41740323
_HUMAN_BRAIN = "human_brain.h5mu", 41736012


def human_bonemarrow(
    folder: str | Path | None = None,
    *,
    known_hash: str | None = None,
    progressbar: bool = True,
) -> AnnData:
    """Human bone marrow, 10x Multiome of the NeurIPS 2021 challenge, as used in the paper.

    One object contains genes and peaks: ``var["feature_types"]`` is the modality, ``obs["Site"]``
    the batch and ``obs["cell_type"]`` the label. The source is figshare
    (`10.6084/m9.figshare.23796198 <https://doi.org/10.6084/m9.figshare.23796198>`_). The download
    requires pooch: ``pip install 'multidgd[datasets]'``.

    Parameters
    ----------
    folder
        Cache folder; ``scanpy.settings.datasetdir`` by default. Without a network, save
        ``human_bonemarrow.h5ad.zip`` or its content there.
    known_hash
        Expected checksum of the archive, as ``"sha256:..."``. The source publishes none. By default
        the checksum of the first download is stored next to the archive (``.sha256``), and an
        archive with a different checksum is downloaded again.
    progressbar
        Show the progress of the download.

    Returns
    -------
    Annotated counts.

    Raises
    ------
    ImportError
        If pooch is not installed.
    OSError
        If the download fails; the message gives the path for a manual download.
    ValueError
        If the checksum differs.

    Examples
    --------
    >>> from multiDGD import MultiDGD, datasets
    >>> adata = datasets.human_bonemarrow()  # doctest: +SKIP
    >>> MultiDGD.setup_anndata(  # doctest: +SKIP
    ...     adata, modality_key="feature_types", batch_key="Site"
    ... )
    """
    return read_h5ad(fetch(*_HUMAN_BONEMARROW, folder, known_hash, progressbar))


def mouse_gastrulation(
    folder: str | Path | None = None,
    *,
    known_hash: str | None = None,
    progressbar: bool = True,
) -> MuData:
    """Mouse gastrulation, 10x Multiome, as used in the paper.

    The modalities are ``rna`` and ``atac``; ``obs["stage"]`` is the covariate and
    ``obs["celltype"]`` the label.

    Parameters
    ----------
    folder, known_hash, progressbar
        As for :func:`human_bonemarrow`.

    Returns
    -------
    Annotated counts.

    Raises
    ------
    ImportError, OSError, ValueError
        As for :func:`human_bonemarrow`.

    Examples
    --------
    >>> from multiDGD import MultiDGD, datasets
    >>> mdata = datasets.mouse_gastrulation()  # doctest: +SKIP
    >>> MultiDGD.setup_mudata(mdata, batch_key="stage")  # doctest: +SKIP
    """
    return _read_h5mu(fetch(*_MOUSE_GASTRULATION, folder, known_hash, progressbar))


def human_brain(
    folder: str | Path | None = None,
    *,
    known_hash: str | None = None,
    progressbar: bool = True,
) -> MuData:
    """Developing human cerebral cortex, 10x Multiome, as used in the paper.

    The modalities are ``rna`` and ``atac``; ``obs["celltype"]`` is the label.

    Parameters
    ----------
    folder, known_hash, progressbar
        As for :func:`human_bonemarrow`.

    Returns
    -------
    Annotated counts.

    Raises
    ------
    ImportError, OSError, ValueError
        As for :func:`human_bonemarrow`.

    Examples
    --------
    >>> from multiDGD import MultiDGD, datasets
    >>> mdata = datasets.human_brain()  # doctest: +SKIP
    >>> MultiDGD.setup_mudata(mdata, labels_key="celltype")  # doctest: +SKIP
    """
    return _read_h5mu(fetch(*_HUMAN_BRAIN, folder, known_hash, progressbar))


def _read_h5mu(path: Path) -> MuData:
    # The default of mudata 0.3 copies columns of modalities into obs and var, with a warning.
    with without_pulling():
        return mudata.read_h5mu(path)
