"""Number of mixture components: defaults and estimates."""

import pytest
import scvi
from sklearn.metrics import adjusted_rand_score
from tests.model.fitting import fitted
from tests.toy import toy_mudata

from multiDGD import MultiDGD
from multiDGD.datasets import simulate_multiome
from multiDGD.init import choose_n_components
from multiDGD.model.core import _n_components

QUIET = {"enable_progress_bar": False, "accelerator": "cpu"}


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("n_types", [2, 3, 5, 8])
def test_estimate_differs_from_the_simulated_number_by_at_most_one(n_types, seed):
    mdata = simulate_multiome(600, n_types=n_types, seed=seed)
    MultiDGD.setup_mudata(mdata, batch_key="batch")
    model = MultiDGD(mdata, n_components="auto")
    assert abs(model.module.mixture.n_mix_comp - n_types) <= 1


def test_estimate_from_a_subset_of_many_cells(monkeypatch):
    mdata = simulate_multiome(900, n_genes=60, n_peaks=60, n_types=4, seed=1)
    MultiDGD.setup_mudata(mdata, batch_key="batch")
    monkeypatch.setattr(_n_components, "_MAX_CELLS", 400)
    sizes = []
    monkeypatch.setattr(
        _n_components,
        "choose_n_components",
        lambda z, **kwargs: sizes.append(len(z)) or choose_n_components(z, **kwargs),
    )
    assert MultiDGD(mdata, n_latent=5).module.mixture.n_mix_comp == 4
    assert sizes == [400]


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


def test_default_without_labels_is_the_estimate():
    mdata = simulate_multiome(300, n_genes=60, n_peaks=60, n_types=4, seed=1)
    MultiDGD.setup_mudata(mdata, batch_key="batch")
    default, estimated = (
        MultiDGD(mdata, n_latent=5, n_components=n).module.mixture.n_mix_comp
        for n in (None, "auto")
    )
    assert default == estimated == 4


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_components_are_the_simulated_types(seed):
    mdata = simulate_multiome(600, n_types=5, seed=seed)
    scvi.settings.seed = seed
    MultiDGD.setup_mudata(mdata, batch_key="batch")
    model = MultiDGD(mdata)
    model.train(max_epochs=30, **QUIET)
    types = mdata.obs["cell_type"].to_numpy()
    assert adjusted_rand_score(types, model.get_cluster_assignments()) > 0.9


def test_unsupervised_labels_determine_the_number():
    model = fitted(toy_mudata(), model={"supervised": False}, labels_key="label")
    assert model.module.mixture.n_mix_comp == 3
    with pytest.raises(ValueError, match="supervised"):
        model.predict()
