"""Simulated counts for the tests of the spectral initialisation."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import scipy.sparse as sp

Simulate = Callable[..., tuple[dict[str, sp.csr_matrix], np.ndarray]]


@pytest.fixture(scope="session")
def simulate() -> Simulate:
    """Function that simulates counts of two modalities and returns them with the cell types."""

    def make(
        n_cells: int = 300, n_types: int = 4, n_rna: int = 120, n_prot: int = 20, seed: int = 0
    ) -> tuple[dict[str, sp.csr_matrix], np.ndarray]:
        rng = np.random.default_rng(seed)
        types = rng.integers(0, n_types, n_cells)
        size = rng.lognormal(0, 0.5, (n_cells, 1))
        rna = rng.gamma(0.5, 2.0, (n_types, n_rna))
        prot = 20 * rng.gamma(1.0, 1.0, (n_types, n_prot)) + 5
        return {
            "rna": sp.csr_matrix(rng.poisson(rna[types] * size).astype(np.float32)),
            "prot": sp.csr_matrix(rng.poisson(prot[types] * size).astype(np.float32)),
        }, types

    return make
