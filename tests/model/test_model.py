"""The whole model on small simulated objects."""

import anndata as ad
import mudata as md
import numpy as np
import pytest
import scvi
import torch
from tests.model.fitting import TRAIN, fitted, renamed_mudata
from tests.toy import toy_adata, toy_mudata

from multiDGD import MultiDGD


@pytest.mark.parametrize(
    ("data", "setup", "modalities"),
    [
        (lambda: toy_adata(), {}, ["counts"]),
        (lambda: toy_mudata(), {}, ["rna", "atac"]),
        (lambda: toy_mudata(names=("prot", "rna")), {}, ["prot", "rna"]),
        (
            lambda: toy_mudata(names=("a", "b.c", "keys"), n_features=(5, 6, 7)),
            {},
            ["a", "b.c", "keys"],
        ),
        (lambda: toy_mudata(), {"modalities": ["atac"]}, ["atac"]),
        (lambda: toy_mudata(), {"modalities": ["atac", "rna"]}, ["atac", "rna"]),
    ],
)
def test_any_modalities_under_any_names(data, setup, modalities):
    data = data()
    model = fitted(data, **setup)
    assert model.get_latent_representation().shape == (40, 3)
    assert model.module.modalities == modalities
    for modality in modalities:
        table = model.get_normalized_expression(modality=modality)
        names = data.mod[modality].var_names if isinstance(data, md.MuData) else data.var_names
        assert list(table.columns) == list(names)
        assert list(table.index) == list(data.obs_names)
        np.testing.assert_allclose(table.sum(1), 1, rtol=1e-4)


def test_feature_types_of_one_adata():
    adata = toy_adata(n_features=20)
    adata.var["feature_types"] = np.where(np.arange(20) % 3 == 0, "Peaks", "Gene Expression")
    model = fitted(adata, modality_key="feature_types")
    table = model.get_normalized_expression(modality="Peaks")
    assert list(table.columns) == list(adata.var_names[adata.var["feature_types"] == "Peaks"])


class TestCellsAreRecognised:
    @pytest.fixture
    def model(self):
        return fitted(toy_mudata(), batch_key="batch")

    @pytest.fixture
    def z(self, model):
        return model.get_latent_representation()

    def test_in_any_order(self, model, z):
        order = np.random.default_rng(0).permutation(40)
        permuted = model.adata[order].copy()
        np.testing.assert_array_equal(model.get_latent_representation(permuted), z[order])

    def test_in_a_view_and_a_subset(self, model, z):
        np.testing.assert_array_equal(model.get_latent_representation(model.adata[5:15]), z[5:15])
        np.testing.assert_array_equal(model.get_latent_representation(indices=[7, 2]), z[[7, 2]])
        mask = np.arange(40) > 30
        np.testing.assert_array_equal(model.get_latent_representation(indices=mask), z[mask])

    def test_among_others(self, model, z):
        other = renamed_mudata(toy_mudata(), "new")
        both = md.concat([other, model.adata.copy()])
        both.obs["batch"] = [*other.obs["batch"], *model.adata.obs["batch"]]
        np.testing.assert_array_equal(model.get_latent_representation(both)[40:], z)

    def test_another_data_set_of_equal_size_is_another(self, model, z):
        other = toy_mudata()
        for part in other.mod.values():
            part.X = part.X[::-1].copy()
        found = model.get_latent_representation(other)
        trained = model.train_indices_
        assert (np.abs(found - z).max(1)[trained] > 1e-6).all()

    def test_same_counts_under_other_names_land_nearby(self, model):
        found = model.get_latent_representation(renamed_mudata(model.adata, "new"))
        assert np.isfinite(found).all()

    def test_after_the_counts_were_transformed(self, model, z):
        model.adata["rna"].X = model.adata["rna"].X.log1p()
        np.testing.assert_array_equal(model.get_latent_representation(), z)


def test_inference_of_new_cells_is_remembered(monkeypatch):
    model = fitted(toy_mudata(), batch_key="batch")
    query = renamed_mudata(model.adata, "new")
    first = model.get_latent_representation(query, indices=[3, 5])
    whole = model.get_latent_representation(query)
    np.testing.assert_array_equal(whole[[3, 5]], first)
    monkeypatch.setattr("multiDGD.model.core._representations.infer_representations", None)
    model.get_normalized_expression(query)
    model.get_cluster_assignments(query)


def test_training_goes_on_from_where_it_was():
    model = fitted(toy_mudata(), train={"max_epochs": 20})
    before = model.get_latent_representation()
    rates = dict.fromkeys(("lr", "lr_representation", "lr_mixture"), 0.0)
    model.train(**{**TRAIN, "train_size": 1.0, "plan_kwargs": rates})
    np.testing.assert_array_equal(model.get_latent_representation(), before)
    assert len(model.history["train_loss"]) == 22
    model.train(**TRAIN, start="zero")
    assert np.abs(model.get_latent_representation()).max() < np.abs(before).max()


def test_starts():
    mdata = toy_mudata()
    given = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
    rates = dict.fromkeys(("lr", "lr_representation", "lr_mixture"), 0.0)
    model = fitted(mdata, train={"start": given, "plan_kwargs": rates, "train_size": 1.0})
    z = model.get_latent_representation()
    centred = given - given.mean(0)
    correlation = np.corrcoef(z.ravel(), centred.ravel())[0, 1]
    assert correlation > 0.9999
    assert np.sqrt((z**2).sum(1).mean()) == pytest.approx(1.0, rel=1e-3)
    for start in ("random", given[:, :2], np.full((40, 3), np.nan)):
        with pytest.raises(ValueError, match="`start`"):
            model.train(**TRAIN, start=start)


def test_held_out_cells_lie_where_new_cells_would():
    model = fitted(
        toy_mudata(),
        train={"train_size": 0.5, "validation_size": 0.2, "start": "zero", "max_epochs": 10},
        labels_key="label",
    )
    z = model.get_latent_representation()
    assert len(model.test_indices) == 12
    held_out = np.concatenate([model.validation_indices, model.test_indices])
    assert (np.abs(z[held_out]).max(1) > 0).all()
    new = model.get_latent_representation(renamed_mudata(model.adata, "new"))
    np.testing.assert_allclose(z[held_out], new[held_out], atol=1e-5)
    assert np.abs(z - new)[model.train_indices].max() > 1e-3


def test_covariates():
    model = fitted(
        toy_mudata(),
        batch_key="batch",
        categorical_covariate_keys=["site"],
        continuous_covariate_keys=["age"],
    )
    u = model.get_covariate_representation("site", indices=[4, 9])
    assert u.shape == (2, 2)
    with pytest.raises(ValueError, match=r"`key`.*\['batch', 'site'\]"):
        model.get_covariate_representation()
    with pytest.raises(ValueError, match="`key`.*'donor'"):
        model.get_covariate_representation("donor")


def test_soft_assignments_and_labels():
    model = fitted(toy_mudata(), model={"n_components_per_class": 2}, labels_key="label")
    soft = model.get_cluster_assignments(soft=True)
    assert soft.shape == (40, 6)
    np.testing.assert_allclose(soft.sum(1), 1, rtol=1e-5)
    np.testing.assert_array_equal(soft.argmax(1), model.get_cluster_assignments())
    table = model.predict(soft=True)
    assert list(table.columns) == ["A", "B", "C"]
    np.testing.assert_allclose(table.sum(1), 1, rtol=1e-5)
    np.testing.assert_array_equal(
        model.predict(), table.columns.to_numpy()[table.to_numpy().argmax(1)]
    )


def test_labels_that_only_give_the_number_of_components():
    model = fitted(toy_mudata(), model={"supervised": False}, labels_key="label")
    assert model.module.mixture.n_mix_comp == 3
    with pytest.raises(ValueError, match="supervised"):
        model.predict()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n_components": 2}, "`n_components` is 2, below the 3 labels"),
        ({"n_components": 7}, "not a multiple of the 3 labels"),
        ({"n_components": 0, "supervised": False}, "`n_components`"),
        ({"n_latent": 0}, "`n_latent`"),
        ({"likelihoods": {"prot": "nb"}}, "`likelihoods`"),
        ({"decoder_kwargs": {"n_units": 0}}, "`n_units`"),
    ],
)
def test_arguments_that_do_not_fit(arguments, message):
    mdata = toy_mudata()
    MultiDGD.setup_mudata(mdata, labels_key="label")
    with pytest.raises(ValueError, match=message):
        MultiDGD(mdata, **arguments)


def test_an_untrained_model_says_so():
    mdata = toy_mudata()
    MultiDGD.setup_mudata(mdata)
    model = MultiDGD(mdata)
    with pytest.raises(RuntimeError, match="not trained"):
        model.get_latent_representation()


def test_number_of_components_without_labels():
    mdata = toy_mudata(100)
    MultiDGD.setup_mudata(mdata)
    assert MultiDGD(mdata).module.mixture.n_mix_comp == 4


def test_published_preset_is_a_fresh_copy_and_runs():
    preset = MultiDGD.published_defaults()
    preset["model"]["decoder_kwargs"]["n_units"] = 1
    preset = MultiDGD.published_defaults()
    assert preset["model"]["decoder_kwargs"]["n_units"] == 100
    mdata = toy_mudata()
    MultiDGD.setup_mudata(mdata, labels_key="label")
    model = MultiDGD(mdata, **preset["model"])
    model.train(**{**preset["train"], "max_epochs": 1}, enable_progress_bar=False)
    assert model.module.mixture.n_mix_comp == 3


def test_no_validation_cells():
    model = fitted(toy_adata(), train={"train_size": 1.0, "early_stopping": True})
    assert "validation_loss" not in model.history


def test_one_cell_is_embedded():
    model = fitted(toy_mudata(), batch_key="batch")
    one = renamed_mudata(model.adata[3:4].copy(), "new")
    assert model.get_latent_representation(one).shape == (1, 3)


def test_unseen_batch_is_refused():
    model = fitted(toy_mudata(), batch_key="batch")
    query = renamed_mudata(model.adata, "new")
    query.obs["batch"] = "b9"
    with pytest.raises(ValueError, match="b9"):
        model.get_latent_representation(query)


@pytest.mark.parametrize("indices", [[0.5], ["cell1"], [40], np.ones(7, bool)])
def test_indices_that_are_not_cells(indices):
    model = fitted(toy_mudata())
    with pytest.raises(ValueError, match="`indices`"):
        model.get_latent_representation(indices=indices)


def test_mosaic_trains():
    mdata = toy_mudata()
    mosaic = md.MuData({"rna": mdata["rna"][:30].copy(), "atac": mdata["atac"][20:].copy()})
    model = fitted(mosaic)
    assert np.isfinite(model.get_latent_representation()).all()
    lacking = model.get_normalized_expression(modality="atac").to_numpy()
    np.testing.assert_allclose(lacking.sum(1), 1, rtol=1e-4)


def test_backed_data_train(tmp_path):
    in_memory = toy_adata()
    in_memory.write_h5ad(tmp_path / "x.h5ad")
    backed = ad.read_h5ad(tmp_path / "x.h5ad", backed="r")
    found = []
    for adata in (backed, in_memory):
        torch.manual_seed(0)
        found.append(fitted(adata, batch_key="batch").get_latent_representation())
    np.testing.assert_allclose(found[0], found[1], atol=1e-5)
    backed.file.close()


@pytest.mark.parametrize("data", [toy_adata, toy_mudata])
def test_a_model_that_is_asked_between_setup_and_training_of_another(data):
    """Both write their codes into one object, and each is trained on its own."""
    found = []
    for is_asked in (False, True):
        cells = data()
        other = fitted(cells, batch_key="site", labels_key="batch")
        (MultiDGD.setup_anndata if data is toy_adata else MultiDGD.setup_mudata)(
            cells, batch_key="batch", labels_key="site"
        )
        if is_asked:
            other.get_latent_representation()
        scvi.settings.seed = 0
        model = MultiDGD(cells, n_latent=3)
        model.train(**TRAIN)
        found.append(model.get_covariate_representation())
        assert list(model.adata_manager.create_torch_dataset().covariates[:4, 0]) == [0, 1, 0, 1]
    np.testing.assert_array_equal(*found)
