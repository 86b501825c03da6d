"""Models of real cells, trained once for all plots, and result tables."""

import numpy as np
import pandas as pd
import pytest
import scvi

from multiDGD import MultiDGD


def trained(mdata, max_epochs, **setup):
    scvi.settings.seed = 0
    MultiDGD.setup_mudata(mdata, batch_key="batch", **setup)
    model = MultiDGD(mdata)
    model.train(max_epochs=max_epochs, enable_progress_bar=False, accelerator="cpu")
    return model


@pytest.fixture(scope="session")
def multiome(_read):
    """Model of RNA and ATAC of bone marrow, supervised by cell type."""
    return trained(_read("bmmc_multiome.h5mu"), 10, labels_key="cell_type")


@pytest.fixture(scope="session")
def mosaic(_read):
    """Model of a mosaic of RNA and proteins of PBMC, without labels."""
    return trained(_read("pbmc_cite_mosaic.h5mu"), 3)


@pytest.fixture(scope="session")
def _changes(multiome):
    return multiome.perturb(
        ["CD14", "LYZ"], groupby="cell_type", n_cells=5, n_controls=5, n_samples=2
    )


@pytest.fixture
def changes(_changes):
    """Changes by cell type after the perturbation of two genes."""
    return _changes.copy()


@pytest.fixture(scope="session")
def _links(multiome):
    gene = pd.DataFrame({"chrom": ["chr19"], "start": [15_600_000], "end": [15_650_000]}, ["LYZ"])
    return multiome.gene2peak("LYZ", positions=gene, n_controls=20, n_cells=100)


@pytest.fixture
def links(_links):
    """Peaks associated with a gene at a known position."""
    return _links.copy()


@pytest.fixture
def differential():
    """Table of differential expression with 200 features in two comparisons."""
    rng = np.random.default_rng(0)
    lfc = rng.normal(0, 2.5, 200)
    lfdr = 1 / (1 + np.exp(4 * np.abs(lfc) - 6))
    lfdr[np.argmax(np.abs(lfc))] = 0
    table = {
        "proba_de": 1 - lfdr,
        "lfc_mean": lfc,
        "bayes_factor": np.zeros(200),
        "is_de_fdr_0.05": lfdr < 0.1,
        "lfdr": lfdr,
        "comparison": np.repeat(["B vs Rest", "T vs Rest"], 100),
    }
    return pd.DataFrame(table, index=[f"GENE{i % 100}" for i in range(200)])


@pytest.fixture
def compared():
    """Table of a comparison of likelihoods with two modalities."""
    return pd.DataFrame(
        {
            "modality": ["rna", "rna", "atac", "atac", "atac"],
            "likelihood": ["nb", "poisson", "nb", "poisson", "bernoulli"],
            "log_likelihood": [-230.0, -296.0, -677.0, -732.0, np.nan],
            "se": [3.0, 4.0, 5.0, 6.0, np.nan],
            "difference": [0.0, -66.0, 0.0, -55.0, np.nan],
            "difference_se": [0.0, 4.0, 0.0, 3.0, np.nan],
            "detection": [-37.0, -41.0, -298.0, -307.0, -314.0],
            "detection_se": [0.5, 1.0, 2.0, 2.0, 3.0],
            "n_cells": 120,
        }
    )
