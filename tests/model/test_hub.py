"""Models in the format of scvi-tools' hub, without network access."""

import importlib.metadata
import sys

import numpy as np
import pytest
from anndata import AnnData
from tests.toy import toy_adata, toy_mudata

from multiDGD import MultiDGD
from multiDGD.hub import model_card

hub = pytest.importorskip("scvi.hub", reason="huggingface_hub is not installed")


def fitted(data, **setup):
    method = MultiDGD.setup_anndata if isinstance(data, AnnData) else MultiDGD.setup_mudata
    method(data, **setup)
    model = MultiDGD(data, n_latent=3)
    model.train(max_epochs=2, enable_progress_bar=False, accelerator="cpu")
    return model


def saved(model, folder, save_anndata=True):
    """Save a model with its metadata and card, as before ``push_to_huggingface_hub``."""
    model.save(folder, save_anndata=save_anndata)
    metadata = hub.HubMetadata.from_dir(
        str(folder),
        anndata_version=importlib.metadata.version("anndata"),
        model_parent_module="multiDGD.model",
    )
    card = model_card(folder, "cc-by-4.0", description="Cells of a toy.", tissues=["blood"])
    hub.HubModel(str(folder), metadata=metadata, model_card=card).save()
    return hub.HubModel(str(folder))


@pytest.mark.parametrize(
    ("make", "setup"),
    [
        (toy_adata, {"batch_key": "batch", "labels_key": "label"}),
        (toy_mudata, {"batch_key": "batch", "categorical_covariate_keys": ["site"]}),
    ],
)
def test_model_with_its_data(tmp_path, make, setup):
    model = fitted(make(), **setup)
    hub_model = saved(model, tmp_path / "model")
    assert hub_model.metadata.model_cls_name == "MultiDGD"
    assert hub_model.metadata.model_parent_module == "multiDGD.model"
    assert hub_model.metadata.scvi_version == importlib.metadata.version("scvi-tools")
    loaded = hub_model.model
    assert isinstance(loaded, MultiDGD)
    np.testing.assert_array_equal(
        loaded.get_latent_representation(), model.get_latent_representation()
    )
    np.testing.assert_allclose(
        loaded.get_normalized_expression(modality=model.module.modalities[0], return_numpy=True),
        model.get_normalized_expression(modality=model.module.modalities[0], return_numpy=True),
        rtol=1e-6,
    )


def test_model_without_its_data(tmp_path):
    model = fitted(toy_adata(), batch_key="batch")
    hub_model = saved(model, tmp_path / "model", save_anndata=False)
    query = toy_adata(10, seed=7)
    hub_model.load_model(adata=query)
    z = hub_model.model.get_latent_representation()
    np.testing.assert_allclose(
        z, model.get_latent_representation(toy_adata(10, seed=7)), atol=1e-4
    )


def test_query_is_mapped_to_a_model_of_the_hub(tmp_path):
    hub_model = saved(fitted(toy_mudata(), batch_key="batch"), tmp_path / "model")
    query = toy_mudata(12)
    query.obs["batch"] = "new"
    mapped = MultiDGD.load_query_data(query, hub_model.model)
    mapped.train(max_epochs=2)
    assert mapped.get_latent_representation().shape == (12, 3)
    assert "new" in mapped.summary.covariates["batch"]


def test_model_card_describes_the_model(tmp_path):
    setup = {"batch_key": "batch", "labels_key": "label", "continuous_covariate_keys": ["age"]}
    hub_model = saved(fitted(toy_mudata(), **setup), tmp_path / "model").model_card
    assert hub_model.data.license == "cc-by-4.0"
    assert hub_model.data.library_name == "scvi-tools"
    wanted = ["model_cls_name:MultiDGD", "modality:rna", "modality:atac", "tissue:blood"]
    assert {*wanted, "annotated:True"} <= set(hub_model.data.tags)
    for line in (
        "Cells of a toy.",
        "40 cells.",
        "| rna | 12 | nb |",
        "| atac | 15 | nb |",
        "Labels: A, B, C. Covariates: batch (2 categories), age.",
        '  "batch_key": "batch",',
        '  "n_latent": 3,',
    ):
        assert line in hub_model.text.splitlines()


def test_model_card_requires_huggingface_hub(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(ImportError, match=r"pip install 'scvi-tools\[hub\]'"):
        model_card(tmp_path, "mit")


def test_folder_of_the_hub_has_model_pt_and_data_only(tmp_path):
    model = fitted(toy_mudata(), batch_key="batch")
    saved(model, tmp_path / "model")
    for path in [*(tmp_path / "model").glob("*.safetensors"), tmp_path / "model" / "model.json"]:
        path.unlink()
    loaded = hub.HubModel(str(tmp_path / "model")).model
    np.testing.assert_array_equal(
        loaded.get_latent_representation(), model.get_latent_representation()
    )
    assert loaded.history_.keys() == model.history_.keys()
