"""Download and cache files of public archives."""

from __future__ import annotations

from pathlib import Path
from shutil import rmtree
from zipfile import BadZipFile

import scanpy as sc

from multiDGD.data import logger

# figshare.com/ndownloader answers only browsers.
FIGSHARE = "https://ndownloader.figshare.com/files"


def fetch(
    name: str,
    file_id: int,
    folder: str | Path | None = None,
    known_hash: str | None = None,
    progressbar: bool = True,
    base_url: str = FIGSHARE,
) -> Path:
    """Download a zip archive of one file, unless it is cached, and return the path of the file.

    Parameters
    ----------
    name
        Name of the file; the archive is named ``{name}.zip``.
    file_id
        Identifier of the archive on the server.
    folder, known_hash, progressbar
        As for :func:`multiDGD.datasets.human_bonemarrow`.
    base_url
        URL of the server.

    Raises
    ------
    ImportError
        If pooch is not installed.
    OSError
        If the download fails; the message gives the path for a manual download.
    ValueError
        If the checksum differs, or the archive does not contain the file.
    """
    # pooch expands `~` as well, so both must refer to the same folder.
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
    was_cached = archive.is_file()
    if not record.is_file():  # an earlier extraction may be incomplete
        rmtree(folder / f"{archive.name}.unzip", ignore_errors=True)
    log = pooch.get_logger()
    level = log.level
    log.setLevel("ERROR")  # scvi-tools' logger reports the download
    if not was_cached:
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
        if not was_cached:
            archive.unlink(missing_ok=True)
        raise OSError(
            f"Downloading {name} from {url} failed: {error}. Download the archive manually, for "
            f"example with a browser, and save it as {archive} (or its content as {folder / name})."
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
        raise ValueError(f"{archive} must contain one file {name!r}, found {names}.")
    return files[0]
