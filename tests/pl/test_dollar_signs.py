"""Names with dollar signs are written literally, not parsed as formulas by matplotlib."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.text import Text
from tests.toy import toy_mudata

from multiDGD import MultiDGD, pl

# An invalid formula: drawing fails if matplotlib parses it.
ODD = "$_$"


@pytest.fixture(scope="module")
def model():
    mdata = toy_mudata(names=(f"rna{ODD}", f"atac{ODD}"))
    columns = {key: f"{key}{ODD}" for key in mdata.obs}
    for key in ("batch", "label", "site"):
        mdata.obs[key] = mdata.obs[key].astype(str) + ODD
    mdata.obs = mdata.obs.rename(columns=columns)
    mdata.obsm[f"X_{ODD}"] = np.random.default_rng(0).normal(size=(mdata.n_obs, 2))
    MultiDGD.setup_mudata(mdata, batch_key=columns["batch"], labels_key=columns["label"])
    model = MultiDGD(mdata, n_latent=3)
    model.train(max_epochs=1, batch_size=16, enable_progress_bar=False, accelerator="cpu")
    return model


def links(model):
    """Peaks around a gene, all on one chromosome."""
    n_peaks = len(model.summary.features[f"atac{ODD}"])
    start = np.arange(n_peaks + 1) * 1000
    names = [f"rna{ODD}1", *model.summary.features[f"atac{ODD}"]]
    positions = pd.DataFrame({"chrom": f"chr{ODD}", "start": start, "end": start + 500}, names)
    options = {"peak_modality": f"atac{ODD}", "n_controls": 2, "n_cells": 5}
    return model.gene2peak(names[0], positions=positions, **options)


def changes(model):
    settings = {"n_cells": 3, "n_controls": 2, "n_samples": 2}
    return model.perturb(f"rna{ODD}1", groupby=f"label{ODD}", **settings)


def differential(model):
    table = model.differential_expression(groupby=f"batch{ODD}", group1=f"b0{ODD}", silent=True)
    return table.assign(**{"is_de_fdr_0.05": True, "lfdr": 0.01})


def compared():
    row = {"likelihood": "nb", "difference": 0.0, "difference_se": 1.0}
    return pd.DataFrame([{"modality": f"rna{ODD}", **row}])


# A call of each plot that writes names, and some of the expected names.
CALLS = {
    "composition": (pl.composition, {f"label{ODD}", f"A{ODD}"}),
    "counts_vs_predicted": (pl.counts_vs_predicted, {f"rna{ODD}: 12 features"}),
    "covariate_representation": (pl.covariate_representation, {f"batch{ODD}", f"b0{ODD}"}),
    "history": (lambda m: pl.history(m)[0], {"covariate batch$ $ loss"}),
    "likelihoods": (lambda _: pl.likelihoods(compared()), {f"rna{ODD}"}),
    "locus": (
        lambda m: pl.locus({ODD: links(m)}, f"rna{ODD}1", window=None),
        {ODD, f"rna{ODD}1", f"chr{ODD} (Mb)"},
    ),
    "modalities": (
        lambda m: pl.modalities(m.adata, f"site{ODD}"),
        {f"rna{ODD}\n12 features", f"x{ODD}", f"site{ODD}"},
    ),
    "perturbation": (
        lambda m: pl.perturbation(changes(m), n_features=12),
        {f"A{ODD}", f"rna{ODD}1", f"rna{ODD}"},
    ),
    "representation": (
        lambda m: pl.representation(m, f"label{ODD}"),
        {f"label{ODD}", f"A{ODD}"},
    ),
    "representation by numbers": (lambda m: pl.representation(m, f"age{ODD}"), {f"age{ODD}"}),
    "uncertainty": (lambda m: pl.uncertainty(m, basis=ODD), {f"{ODD} 1", f"{ODD} 2"}),
    "volcano": (lambda m: pl.volcano(differential(m)), {f"b0{ODD} vs Rest", f"rna{ODD}1"}),
}


@pytest.mark.parametrize("name", CALLS)
def test_dollar_signs_are_not_parsed_as_formulas(model, name):
    draw, expected = CALLS[name]
    figure = draw(model).figure
    figure.draw_without_rendering()
    written = [text.get_text() for text in figure.findobj(Text)]
    assert all(any(t.startswith(name) for t in written) for name in expected)
