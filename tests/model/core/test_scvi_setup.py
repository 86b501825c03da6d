"""Setup and training in the form of scvi-tools."""

import numpy as np
import pytest
from scvi.train import SaveCheckpoint
from tests.model.fitting import TRAIN, fitted
from tests.toy import toy_adata, toy_mudata

from multiDGD import MultiDGD


@pytest.fixture
def mdata():
    mdata = toy_mudata(names=("rna", "prot"))
    mdata["rna"].layers["counts"] = mdata["rna"].X.copy()
    mdata["rna"].X = mdata["rna"].X * 0.5
    return mdata


def registered(mdata):
    manager = MultiDGD._get_most_recent_anndata_manager(mdata, required=True)
    return manager.summary.features, manager.registry["setup_args"], manager.libraries


def test_modalities_by_argument(mdata):
    MultiDGD.setup_mudata(
        mdata,
        modalities={"rna_layer": "rna", "protein_layer": "prot"},
        rna_layer="counts",
        batch_key="batch",
    )
    features, arguments, libraries = registered(mdata)
    MultiDGD.setup_mudata(
        mdata, modalities=["rna", "prot"], layers={"rna": "counts"}, batch_key="batch"
    )
    again, others, same = registered(mdata)
    assert list(features) == list(again) == ["rna", "prot"]
    np.testing.assert_array_equal(libraries, same)
    assert arguments == {**others, "layers": {"rna": "counts", "prot": None}}


def test_other_cells_need_no_other_setup(mdata):
    model = fitted(mdata, modalities={"rna_layer": "rna"}, rna_layer="counts")
    assert model.get_latent_representation(mdata.copy()).shape == (40, 3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"rna_layer": "counts"},
            r"`modalities=\{'rna_layer': ...\}`.*`layers=\{'rna': 'counts'\}`",
        ),
        ({"modalities": {"protein_layer": "prot"}, "rna_layer": "counts"}, "must map 'rna_layer'"),
        (
            {"modalities": {"rna_layer": "rna", "batch_key": "rna"}, "rna_layer": "counts"},
            r"Leave out 'batch_key'.*mdata\['rna'\].obs",
        ),
        ({"modalities": {"rna": "counts"}}, "map .'rna_layer', 'atac_layer', 'protein_layer'."),
        ({"modalities": {"rna_layer": "rna"}, "layers": {"rna": "counts"}}, "`layers` is for"),
        ({"modalities": {"rna_layer": "rna", "atac_layer": "rna"}}, "duplicate entries"),
        ({"modalities": {"rna_layer": "gex"}, "rna_layer": "counts"}, "no modality .'gex'."),
    ],
)
def test_errors(mdata, arguments, message):
    with pytest.raises(ValueError, match=message):
        MultiDGD.setup_mudata(mdata, **arguments)


def test_the_learning_rate_of_the_decoder():
    MultiDGD.setup_anndata(adata := toy_adata())
    model = MultiDGD(adata, n_latent=3)
    model.train(**TRAIN, lr=0.003, plan_kwargs={"lr": 1.0, "lr_mixture": 0.5})
    assert model.trainer.lightning_module.lr == 0.003
    assert model.trainer.lightning_module.lr_mixture == 0.5


def test_callbacks_of_scvi_monitor_the_loss_as_elbo(tmp_path):
    MultiDGD.setup_anndata(adata := toy_adata())
    model = MultiDGD(adata, n_latent=3)
    monitor = "elbo_validation"
    saves = SaveCheckpoint(dirpath=str(tmp_path), monitor=monitor)
    options = {
        "enable_checkpointing": True,
        "callbacks": [saves],
        "early_stopping_monitor": monitor,
    }
    model.train(**TRAIN, **options)
    assert saves.best_model_score == model.history["validation_loss"].iloc[:, 0].min()
    assert monitor not in model.history
