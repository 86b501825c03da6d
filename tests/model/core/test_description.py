"""Description of a model in notebooks."""

import xml.etree.ElementTree as ElementTree

from tests.model.fitting import fitted
from tests.toy import toy_adata, toy_mudata

from multiDGD import MultiDGD


def shown(model):
    """Rows of the table, which must be valid HTML."""
    table = ElementTree.fromstring(model._repr_html_())
    assert table.find("caption").text == "MultiDGD"
    return {row[0].text: row[1].text for row in table.find("tbody")}


def test_a_trained_model():
    model = fitted(toy_mudata(names=("rna", "<prot>")), batch_key="batch", labels_key="label")
    rows = shown(model)
    assert rows["cells"] == "40 (36 training, 4 validation)"
    assert rows["epochs"] == "2"
    assert rows["mixture"] == "3 components, supervised by labels"
    assert rows["modality rna"].startswith("12 features (rna0, rna1, rna2, ...), likelihood nb")
    assert rows["modality <prot>"].startswith("15 features (<prot>0")
    assert rows["labels label"] == "3 categories (A, B, C)"
    assert rows["batch batch"] == "2 categories (b0, b1)"


def test_likelihoods_are_in_the_summary():
    mdata = toy_mudata()
    MultiDGD.setup_mudata(mdata)
    model = MultiDGD(mdata, n_latent=3, likelihoods={"atac": "poisson"})
    assert "features rna 12 (nb), atac 15 (poisson)" in model.summary_string


def test_a_model_before_its_training():
    MultiDGD.setup_anndata(adata := toy_adata())
    rows = shown(MultiDGD(adata, n_latent=3))
    assert rows["cells"] == "40"
    assert rows["epochs"] == "not trained: call `train()`"
    assert rows["representation"] == "3 dimensions"
