"""Number of mixture components: defaults and estimates."""

import pytest
from tests.model.fitting import fitted
from tests.toy import toy_mudata

from multiDGD import MultiDGD
from multiDGD.datasets import simulate_multiome

QUIET = {"enable_progress_bar": False, "accelerator": "cpu"}


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("n_types", [2, 3, 5, 8])
def test_estimate_differs_from_the_simulated_number_by_at_most_one(n_types, seed):
    mdata = simulate_multiome(600, n_types=n_types, seed=seed)
    MultiDGD.setup_mudata(mdata, batch_key="batch")
    model = MultiDGD(mdata, n_components="auto")
    assert abs(model.module.mixture.n_mix_comp - n_types) <= 1


def test_estimate_is_saved_as_a_number(tmp_path):
    mdata = simulate_multiome(200, n_genes=60, n_peaks=60, n_types=3)
    MultiDGD.setup_mudata(mdata, labels_key="cell_type")
    model = MultiDGD(mdata, n_latent=5, n_components="auto", supervised=False)
    model.train(max_epochs=1, **QUIET)
    model.save(str(tmp_path / "model"))
    loaded = MultiDGD.load(str(tmp_path / "model"), adata=False, accelerator="cpu")
    assert loaded.module.mixture.n_mix_comp == model.module.mixture.n_mix_comp


def test_estimate_with_labels_raises():
    mdata = toy_mudata(30)
    MultiDGD.setup_mudata(mdata, labels_key="label")
    with pytest.raises(ValueError, match="n_components_per_class"):
        MultiDGD(mdata, n_components="auto")


def test_default_without_labels():
    mdata = toy_mudata(100)
    MultiDGD.setup_mudata(mdata)
    assert MultiDGD(mdata).module.mixture.n_mix_comp == 4


def test_unsupervised_labels_determine_the_number():
    model = fitted(toy_mudata(), model={"supervised": False}, labels_key="label")
    assert model.module.mixture.n_mix_comp == 3
    with pytest.raises(ValueError, match="supervised"):
        model.predict()
