"""Settings of hypothesis and models that all generated cases share."""

import logging

import pytest
import scvi
from hypothesis import HealthCheck, settings
from hypothesis.configuration import set_hypothesis_home_dir
from tests.model.fitting import fitted
from tests.properties.objects import COLUMNS, training_data, training_mudata

# The same cases in every run, and no files of former runs.
settings.register_profile(
    "multiDGD",
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


@pytest.fixture(autouse=True, scope="package")
def profile(tmp_path_factory):
    """Use the profile of this folder, and keep hypothesis's files out of the working directory."""
    set_hypothesis_home_dir(tmp_path_factory.mktemp("hypothesis"))
    settings.load_profile("multiDGD")
    yield
    settings.load_profile("default")


@pytest.fixture(autouse=True)
def quiet():
    """Keep thousands of messages out of the captured output."""
    logger = logging.getLogger("scvi")
    level = logger.level
    logger.setLevel(logging.ERROR)
    yield
    logger.setLevel(level)


@pytest.fixture(scope="session")
def model():
    """A model of an AnnData with labels, two categorical covariates and a continuous one."""
    scvi.settings.seed = 0
    return fitted(training_data(), **COLUMNS)


@pytest.fixture(scope="session")
def paired_model():
    """A model of a MuData with the modalities `rna` and `atac`."""
    scvi.settings.seed = 0
    return fitted(training_mudata(), batch_key="batch")
