"""Seeds for tests whose result must not depend on the seed."""

import pytest

#: The first runs always, the others only with the slow tests.
SEEDS = [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (1, 2))]
