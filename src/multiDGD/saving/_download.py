"""Download of a saved model."""

from __future__ import annotations

import shutil
from pathlib import Path
from urllib.error import URLError
from urllib.request import Request, urlopen

from multiDGD._files import replacing
from multiDGD.data import logger


def download(url: str, path: Path) -> None:
    """Download a file completely, or not at all.

    Parameters
    ----------
    url
        Address of the file.
    path
        Target; its folder is made if necessary.

    Raises
    ------
    ValueError
        If the file cannot be downloaded.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    logger.info("Downloading %s", url)
    try:
        # Some hosts refuse the default name of the client.
        request = Request(url, headers={"User-Agent": "multidgd"})
        with replacing(path) as partial, urlopen(request) as response, partial.open("wb") as file:
            shutil.copyfileobj(response, file)
    except (URLError, ValueError) as error:
        raise ValueError(f"`backup_url`: cannot download {url}: {error}.") from error
