"""Processor time of methods on a real data set, with twice the time that they are allowed."""

import time

import numpy as np
import pytest
import scvi
import torch
from tests.model.fitting import fitted


def seconds(function):
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    start = time.process_time()
    function()
    found = time.process_time() - start
    torch.set_num_threads(threads)
    return found


@pytest.mark.slow
def test_seconds(pbmc10k_cite):
    scvi.settings.seed = 0
    model = fitted(pbmc10k_cite, model={"n_latent": 20}, train={"batch_size": 128})
    mean = np.asarray(model.adata["rna"].X.mean(0)).ravel()
    gene = model.adata["rna"].var_names[np.argsort(-mean)[50]]
    # 5 seconds for 6,855 cells; 2 seconds for one gene in 500 cells.
    assert seconds(lambda: model.get_typicality(silent=True)) < 10
    assert seconds(lambda: model.perturb(gene, n_cells=500, silent=True)) < 4
