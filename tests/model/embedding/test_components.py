"""The summary of mixture components."""

import numpy as np
import pytest
import scvi
from tests.toy import toy_mudata

from multiDGD import MultiDGD
from multiDGD.datasets import simulate_multiome

QUIET = {"enable_progress_bar": False, "accelerator": "cpu"}


@pytest.fixture(scope="module")
def model():
    scvi.settings.seed = 0
    mdata = simulate_multiome(n_cells=240, n_genes=60, n_peaks=80, n_types=3, seed=1)
    MultiDGD.setup_mudata(mdata, batch_key="batch")
    trained = MultiDGD(mdata, n_latent=4, n_components=3)
    trained.train(max_epochs=20, batch_size=32, **QUIET)
    return trained


class TestSummary:
    def test_components_match_cell_types_and_their_markers(self, model):
        mdata = model.adata
        table = model.get_component_summary(label_key="cell_type")
        assert sorted(table["top_label"]) == ["type_0", "type_1", "type_2"]
        assert (table["top_share"] > 0.9).all()
        assert table["weight"].sum() == pytest.approx(1, abs=1e-5)
        assert table["n_cells"].sum() == mdata.n_obs
        sizes = mdata.obs["cell_type"].value_counts()
        np.testing.assert_allclose(table["n_cells"], sizes[table["top_label"]], atol=10)
        x = mdata["rna"].X.toarray()
        share = x / x.sum(1, keepdims=True)
        for _, row in table.iterrows():
            inside = (mdata.obs["cell_type"] == row["top_label"]).to_numpy()
            fold = np.log2((share[inside].mean(0) + 1e-3) / (share.mean(0) + 1e-3))
            names = [name.split(" (")[0] for name in row["top_rna"].split(", ")]
            at = mdata["rna"].var_names.get_indexer(names)
            assert len(at) == 5
            assert fold[at].min() > np.quantile(fold, 0.7)

    def test_label_composition(self, model):
        labels = model.adata.obs["cell_type"].astype(str).to_numpy()
        component = model.get_cluster_assignments()
        mixed = np.where(np.arange(len(labels)) % 2, "a", "b")
        query = model.adata.copy()
        query.obs["mixed"] = mixed
        table = model.get_component_summary(query, label_key="mixed")
        for k, row in table.iterrows():
            share = np.mean(mixed[component == k] == "a")
            assert row["top_share"] == pytest.approx(max(share, 1 - share))
            entropy = -share * np.log(share) - (1 - share) * np.log(1 - share)
            assert row["label_entropy"] == pytest.approx(entropy)

    def test_distances_and_standard_deviations(self, model):
        mean = model.module.mixture.mean.detach().numpy()
        table = model.get_component_summary()
        assert "top_label" not in table
        for k, row in table.iterrows():
            distance = np.linalg.norm(mean - mean[k], axis=1)
            distance[k] = np.inf
            assert row["nearest"] == distance.argmin()
            assert row["distance"] == pytest.approx(distance.min(), rel=1e-4)
        sd = model.module.mixture.stddev.detach().numpy()
        np.testing.assert_allclose(table["sd"], np.exp(np.log(sd).mean(1)), rtol=1e-5)

    def test_supervised_model_without_data(self, tmp_path):
        mdata = toy_mudata(60)
        mdata.obs["label"] = mdata.obs["label"].replace("C", "unknown")
        MultiDGD.setup_mudata(mdata, labels_key="label", batch_key="batch")
        model = MultiDGD(mdata, n_latent=3, n_components_per_class=2)
        model.train(max_epochs=2, batch_size=16, **QUIET)
        table = model.get_component_summary(n_top_features=2)
        assert list(table["label_of_component"]) == ["A", "A", "B", "B"]
        assert set(table["top_label"].dropna()) <= {"A", "B"}
        assert (table["top_atac"].str.count("atac") == 2).all()
        model.save(str(tmp_path / "model"))
        loaded = MultiDGD.load(str(tmp_path / "model"), adata=False, accelerator="cpu")
        again = loaded.get_component_summary(n_top_features=2)
        assert list(again["n_cells"]) == list(table["n_cells"])

    def test_invalid_arguments_raise(self, model):
        with pytest.raises(ValueError, match="`label_key`: 'type' is not a column of `obs`"):
            model.get_component_summary(label_key="type")
        with pytest.raises(ValueError, match="n_top_features"):
            model.get_component_summary(n_top_features=-1)


def test_summary_of_cells_without_labels(model):
    model.adata.obs["nothing"] = np.nan
    table = model.get_component_summary(label_key="nothing")
    assert table["n_cells"].sum() == model.adata.n_obs
    assert table["top_share"].isna().all()
