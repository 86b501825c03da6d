"""The whole model on small simulated objects."""

import anndata as ad
import mudata as md
import numpy as np
import pandas as pd
import pytest
import scvi
import torch
from scvi.train import SaveCheckpoint
from tests.toy import toy_adata, toy_mudata

from multiDGD import MultiDGD

TRAIN = {"max_epochs": 2, "batch_size": 16, "enable_progress_bar": False, "accelerator": "cpu"}


def fitted(data, model=None, train=None, **setup):
    method = MultiDGD.setup_mudata if isinstance(data, md.MuData) else MultiDGD.setup_anndata
    method(data, **setup)
    found = MultiDGD(data, **{"n_latent": 3, **(model or {})})
    found.train(**{**TRAIN, **(train or {})})
    return found


def renamed(mdata, prefix):
    """The same counts under other names."""
    parts = {}
    for name, part in mdata.mod.items():
        parts[name] = part.copy()
        parts[name].obs_names = [prefix + n for n in part.obs_names]
    other = md.MuData(parts)
    for column in mdata.obs:
        if not column.startswith("_scvi"):
            other.obs[column] = mdata.obs[column].to_numpy()
    return other


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
        other = renamed(toy_mudata(), "new")
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
        found = model.get_latent_representation(renamed(model.adata, "new"))
        assert np.isfinite(found).all()

    def test_after_the_counts_were_transformed(self, model, z):
        model.adata["rna"].X = model.adata["rna"].X.log1p()
        np.testing.assert_array_equal(model.get_latent_representation(), z)


def test_inference_of_new_cells_is_remembered(monkeypatch):
    model = fitted(toy_mudata(), batch_key="batch")
    query = renamed(model.adata, "new")
    first = model.get_latent_representation(query, indices=[3, 5])
    whole = model.get_latent_representation(query)
    np.testing.assert_array_equal(whole[[3, 5]], first)
    monkeypatch.setattr("multiDGD.model._cells.infer_representations", None)
    model.get_normalized_expression(query)
    model.get_cluster_assignments(query)


@pytest.mark.parametrize("with_data", [True, False])
def test_save_and_load(tmp_path, with_data):
    mdata = toy_mudata()
    model = fitted(mdata, labels_key="label", batch_key="batch", continuous_covariate_keys=["age"])
    query = renamed(mdata, "new")
    model.save(tmp_path / "model")
    loaded = MultiDGD.load(tmp_path / "model", adata=mdata if with_data else False)
    np.testing.assert_array_equal(
        loaded.get_latent_representation(), model.get_latent_representation()
    )
    np.testing.assert_array_equal(
        loaded.get_covariate_representation("batch"), model.get_covariate_representation("batch")
    )
    np.testing.assert_array_equal(loaded.predict(None if with_data else mdata), model.predict())
    np.testing.assert_allclose(
        loaded.get_latent_representation(query), model.get_latent_representation(query), atol=1e-4
    )
    pd.testing.assert_frame_equal(
        loaded.get_normalized_expression(mdata, modality="atac"),
        model.get_normalized_expression(mdata, modality="atac"),
    )
    assert loaded.summary.n_features == {"rna": 12, "atac": 15}
    assert loaded.history is not None


def test_load_with_other_cells(tmp_path):
    mdata = toy_mudata()
    model = fitted(mdata, batch_key="batch")
    model.save(tmp_path / "model", save_anndata=True)
    part = mdata[10:20].copy()
    loaded = MultiDGD.load(tmp_path / "model", adata=part)
    np.testing.assert_array_equal(
        loaded.get_latent_representation(), model.get_latent_representation()[10:20]
    )
    again = MultiDGD.load(tmp_path / "model")
    assert again.adata.n_obs == 40


def test_training_goes_on_with_other_cells(tmp_path):
    mdata = toy_mudata()
    model = fitted(mdata, batch_key="batch")
    model.save(tmp_path / "model")
    rates = dict.fromkeys(("lr", "lr_representation", "lr_mixture", "weight_precision"), 0.0)
    order = np.random.default_rng(0).permutation(40)
    for cells in (order, order[:25]):
        loaded = MultiDGD.load(tmp_path / "model", adata=mdata[cells].copy())
        loaded.train(**{**TRAIN, "train_size": 1.0, "plan_kwargs": rates})
        np.testing.assert_array_equal(
            loaded.get_latent_representation(), model.get_latent_representation()[cells]
        )


def test_loading_without_data_still_needs_it_to_decode(tmp_path):
    model = fitted(toy_mudata())
    model.save(tmp_path / "model")
    loaded = MultiDGD.load(tmp_path / "model", adata=False)
    with pytest.raises(ValueError, match="`adata` is needed"):
        loaded.get_normalized_expression()
    with pytest.raises(ValueError, match="load it with `adata`"):
        loaded.train()
    loaded.save(tmp_path / "again")
    again = MultiDGD.load(tmp_path / "again", adata=False)
    np.testing.assert_array_equal(
        again.get_latent_representation(), model.get_latent_representation()
    )


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
    new = model.get_latent_representation(renamed(model.adata, "new"))
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


def test_feature_lists():
    model = fitted(toy_mudata())
    table = model.get_normalized_expression(modality="atac", gene_list=["atac4", "atac1"])
    assert list(table.columns) == ["atac4", "atac1"]
    whole = model.get_normalized_expression(modality="atac")
    pd.testing.assert_frame_equal(table, whole[["atac4", "atac1"]])
    with pytest.raises(ValueError, match=r"'atac99'.*Nearest names: \['atac9'"):
        model.get_normalized_expression(modality="atac", gene_list=["atac1", "atac99"])
    with pytest.raises(ValueError, match="`modality`.*'prot'"):
        model.get_normalized_expression(modality="prot")


def test_library_sizes():
    mdata = toy_mudata()
    model = fitted(mdata)
    share = model.get_normalized_expression(modality="rna", return_numpy=True)
    np.testing.assert_allclose(
        model.get_normalized_expression(modality="rna", library_size=100, return_numpy=True),
        share * 100,
        rtol=1e-5,
    )
    totals = np.asarray(mdata["rna"].X.sum(1))
    np.testing.assert_allclose(
        model.get_normalized_expression(modality="rna", library_size="latent", return_numpy=True),
        share * totals,
        rtol=1e-5,
    )


def test_accessibility_is_the_chance_of_a_count():
    mdata = toy_mudata()
    model = fitted(mdata, model={"likelihoods": {"atac": "poisson"}})
    share = model.get_normalized_expression(modality="atac", return_numpy=True)
    found = model.get_accessibility_estimates(library_size=7, return_numpy=True)
    np.testing.assert_allclose(found, -np.expm1(-7 * share), rtol=1e-4)
    median = np.median(np.asarray(mdata["atac"].X.sum(1))[model.train_indices])
    np.testing.assert_allclose(
        model.get_accessibility_estimates(return_numpy=True),
        -np.expm1(-median * share),
        rtol=1e-4,
    )


@pytest.mark.parametrize("with_data", [True, False])
def test_untrained_model_is_saved_and_trained_later(tmp_path, with_data):
    mdata = toy_mudata()
    MultiDGD.setup_mudata(mdata)
    MultiDGD(mdata, n_latent=3).save(tmp_path / "model")
    model = MultiDGD.load(tmp_path / "model", adata=mdata if with_data else False)
    assert not model.is_trained_
    with pytest.raises(RuntimeError, match="not trained"):
        model.get_latent_representation(mdata)
    if with_data:
        model.train(max_epochs=1, enable_progress_bar=False, accelerator="cpu")
        assert model.get_latent_representation().shape == (40, 3)


def test_values_in_a_file(tmp_path, monkeypatch):
    model = fitted(toy_mudata(), train={"max_epochs": 2})
    given = {"n_samples": 3, "return_numpy": True}
    for more in ({}, {"return_mean": False}):
        expected = model.get_normalized_expression(**given, **more)
        found = model.get_normalized_expression(**given, **more, out=tmp_path / "values.npy")
        np.testing.assert_array_equal(found, expected)
        in_file = np.load(tmp_path / "values.npy", mmap_mode="r")
        np.testing.assert_array_equal(in_file.reshape(expected.shape), expected)
    # A machine of 100 kB, which 3 draws of 40 cells and 12 features fit and 100 do not.
    monkeypatch.setattr("multiDGD.model._wide._physical_memory", lambda: 100_000)
    model.get_normalized_expression(n_samples=3, return_mean=False)
    model.get_normalized_expression(n_samples=100)
    with pytest.raises(ValueError, match=r"shape \(100, 40, 12\).*`out`"):
        model.get_normalized_expression(n_samples=100, return_mean=False)
    with pytest.raises(ValueError, match=r"`out` must end in .npy, found 'values.h5'"):
        model.get_accessibility_estimates(out="values.h5")


def test_transform_batch_moves_only_the_batch():
    model = fitted(toy_mudata(), batch_key="batch", train={"max_epochs": 10})
    one, two = (
        model.get_normalized_expression(transform_batch=b, return_numpy=True) for b in ("b0", "b1")
    )
    assert np.abs(one - two).max() > 1e-5
    both = model.get_normalized_expression(transform_batch=["b0", "b1"], return_numpy=True)
    np.testing.assert_allclose(both, (one + two) / 2, rtol=1e-5)
    is_open = [
        model.get_accessibility_estimates(transform_batch=b, return_numpy=True)
        for b in ("b0", "b1", ["b0", "b1"])
    ]
    np.testing.assert_allclose(is_open[2], (is_open[0] + is_open[1]) / 2, rtol=1e-5)
    assert not np.allclose(is_open[0], is_open[1])
    with pytest.raises(ValueError, match="`transform_batch`"):
        model.get_normalized_expression(transform_batch=[])
    with pytest.raises(ValueError, match="`transform_batch`: 'b7'"):
        model.get_normalized_expression(transform_batch="b7")


def test_reconstruction_error_is_the_mean_of_the_likelihood():
    model = fitted(toy_mudata(), train={"train_size": 1.0})
    error = model.get_reconstruction_error()
    assert error["reconstruction_loss"] == pytest.approx(
        error["reconstruction_loss_rna"] + error["reconstruction_loss_atac"], rel=1e-5
    )
    sizes = [model.get_reconstruction_error(batch_size=b)["reconstruction_loss"] for b in (7, 40)]
    assert sizes[0] == pytest.approx(sizes[1], rel=1e-5)


def test_checkpoints_can_be_loaded(tmp_path):
    mdata = toy_mudata()
    callback = SaveCheckpoint(dirpath=str(tmp_path), monitor="validation_loss")
    model = fitted(mdata, train={"callbacks": [callback], "check_val_every_n_epoch": 1})
    loaded = MultiDGD.load(callback.best_model_path, adata=mdata)
    assert loaded.get_latent_representation().shape == (40, 3)
    assert model.is_trained


def test_no_validation_cells():
    model = fitted(toy_adata(), train={"train_size": 1.0, "early_stopping": True})
    assert "validation_loss" not in model.history


def test_one_cell_is_embedded():
    model = fitted(toy_mudata(), batch_key="batch")
    one = renamed(model.adata[3:4].copy(), "new")
    assert model.get_latent_representation(one).shape == (1, 3)


def test_unseen_batch_is_refused():
    model = fitted(toy_mudata(), batch_key="batch")
    query = renamed(model.adata, "new")
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


def test_a_modality_that_no_file_can_hold(tmp_path):
    mdata = toy_mudata(names=("rna/spliced", "atac"))
    model = fitted(mdata)
    with pytest.raises(ValueError, match="`save_anndata`: .*modality 'rna/spliced'"):
        model.save(tmp_path / "both", save_anndata=True)
    assert not (tmp_path / "both").exists()
    model.save(tmp_path / "model")
    again = MultiDGD.load(tmp_path / "model", adata=mdata)
    assert (again.get_latent_representation() == model.get_latent_representation()).all()


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
