"""A reference and query cells."""

import logging

import mudata as md
import pytest
import scvi
from tests.model.fitting import fitted, renamed
from tests.toy import toy_mudata


def query_mudata(mdata, modalities=None, prefix="new"):
    """The same cells with other names; only the MuData has the columns of ``obs``."""
    mdata = mdata.copy()
    parts = {m: renamed(mdata.mod[m], prefix) for m in modalities or mdata.mod}
    for part in parts.values():
        part.obs = part.obs[[]]
    found = md.MuData(parts)
    for column in ("batch", "label", "site", "age"):
        found.obs[column] = mdata.obs[column].to_numpy()
    return found


@pytest.fixture
def log_records():
    """Levels and messages of the logger of scvi-tools and its children."""
    records = []
    handler = logging.Handler()
    handler.emit = lambda record: records.append((record.levelname, record.getMessage()))
    logger = logging.getLogger("scvi")
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    yield records
    logger.removeHandler(handler)
    logger.setLevel(before)


@pytest.fixture(scope="session")
def reference():
    scvi.settings.seed = 0
    setup = {"batch_key": "batch", "labels_key": "label", "categorical_covariate_keys": ["site"]}
    return fitted(toy_mudata(60), train={"max_epochs": 20}, **setup)
