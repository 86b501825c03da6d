"""Files from public archives, downloaded once."""

from __future__ import annotations

from pathlib import Path
from shutil import rmtree
from zipfile import BadZipFile

import scanpy as sc

from multiDGD.data import logger

# Not figshare.com/ndownloader, which asks for a browser.
FIGSHARE = "https://ndownloader.figshare.com/files"


def fetch(
    name: str,
    file_id: int,
    folder: str | Path | None = None,
    known_hash: str | None = None,
    progressbar: bool = True,
    base_url: str = FIGSHARE,
) -> Path:
    """Path of a file that is in a zip archive of its own.

    Parameters
    ----------
    name
        Of the file; the archive has ``.zip`` behind it.
    file_id
        What the archive is called on the server.
    folder, known_hash, progressbar
        As for :func:`multiDGD.datasets.human_bonemarrow`.
    base_url
        The server.

    Raises
    ------
    ImportError
        If pooch is not installed.
    OSError
        If the archive cannot be had, saying where to put it by hand.
    ValueError
        If it has another checksum, or holds something else.
    """
    # pooch expands it too: both must mean the same folder.
    folder = Path(sc.settings.datasetdir if folder is None else folder).expanduser()
    if (folder / name).is_file():
        return folder / name
    try:
        import pooch
    except ImportError as error:
        raise ImportError(
            "Downloads need the package pooch: `pip install 'multidgd[datasets]'`."
        ) from error
    folder.mkdir(parents=True, exist_ok=True)
    archive = folder / f"{name}.zip"
    record = folder / f"{name}.zip.sha256"
    if known_hash is None and record.is_file():
        known_hash = record.read_text().strip()
    url = f"{base_url}/{file_id}"
    was_there = archive.is_file()
    if not record.is_file():  # what there is may have been cut off while it was unpacked
        rmtree(folder / f"{archive.name}.unzip", ignore_errors=True)
    log = pooch.get_logger()
    level = log.level
    log.setLevel("ERROR")  # scvi-tools' logger says what there is to say
    if not was_there:
        logger.info("Downloading %s to %s", url, archive)
    try:
        found = pooch.retrieve(
            url,
            known_hash=known_hash,
            fname=archive.name,
            path=folder,
            processor=pooch.Unzip(),
            downloader=pooch.HTTPDownloader(progressbar=progressbar),
        )
    except (OSError, BadZipFile) as error:
        if not was_there:
            archive.unlink(missing_ok=True)
        raise OSError(
            f"{name} could not be had from {url}: {error}. Download it by other means, for example "
            f"with a browser, and put it there: {archive} (or unpacked: {folder / name})."
        ) from error
    finally:
        log.setLevel(level)
    if not record.is_file():
        checksum = f"sha256:{pooch.file_hash(str(archive))}"
        record.write_text(checksum)
        logger.info("%s has the checksum %s", archive, checksum)
    files = [Path(file) for file in found if Path(file).name == name]
    if len(files) != 1:
        names = sorted(Path(file).name for file in found)
        raise ValueError(f"{archive} should hold one file {name!r}, found {names}.")
    return files[0]
