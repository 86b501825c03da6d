"""Seeds of what has to hold whatever the seed."""

import pytest

#: The first in every run, the others with the slow tests.
SEEDS = [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (1, 2))]
