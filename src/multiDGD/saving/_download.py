"""Download of a saved model."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from urllib.error import URLError
from urllib.request import Request, urlopen

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
    partial = path.with_name(f".{path.name}.partial")
    logger.info("Downloading %s", url)
    try:
        # Some hosts refuse the default name of the client.
        request = Request(url, headers={"User-Agent": "multidgd"})
        with urlopen(request) as response, open(partial, "wb") as file:
            shutil.copyfileobj(response, file)
        os.replace(partial, path)
    except (URLError, ValueError) as error:
        raise ValueError(f"`backup_url`: cannot download {url}: {error}.") from error
    finally:
        partial.unlink(missing_ok=True)
