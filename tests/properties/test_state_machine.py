"""A model answers as a fresh one, whatever happened to it and to its data."""

import tempfile

import pytest
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test
from tests.properties.machine import ModelInUse


@pytest.mark.filterwarnings(
    "ignore:The `var_names` of `adata` are not those", "ignore:.*names are not unique"
)
@pytest.mark.parametrize(
    ("n_runs", "n_steps"), [(3, 8), pytest.param(60, 15, marks=pytest.mark.slow)]
)
def test_model_in_use(n_runs, n_steps, tmp_path):
    run_state_machine_as_test(
        lambda: ModelInUse(tempfile.mkdtemp(dir=tmp_path)),
        settings=settings(max_examples=n_runs, stateful_step_count=n_steps),
    )
