"""Differential abundance: densities of samples, groups of samples, labels and components."""

import mudata as md
import numpy as np
import pandas as pd
import pytest
import scvi
import torch
from tests.toy import toy_mudata
from torch.distributions import Independent, MixtureSameFamily, Normal, StudentT

from multiDGD import MultiDGD
from multiDGD.datasets import simulate_multiome

QUIET = {"enable_progress_bar": False, "accelerator": "cpu"}


@pytest.fixture(scope="module")
def model():
    """Six donors, three of which are treated and have more cells of one type."""
    scvi.settings.seed = 0
    mdata = simulate_multiome(900, 60, 80, n_types=3)
    rng = np.random.default_rng(0)
    types = mdata.obs["cell_type"].to_numpy()
    chance = np.where(types == "type_0", 0.75, 0.5)
    treated = rng.random(900) < chance
    donor = rng.integers(0, 3, 900) + 3 * treated
    mdata.obs["donor"] = pd.Categorical([f"donor_{i}" for i in donor])
    mdata.obs["condition"] = pd.Categorical(np.where(treated, "treated", "control"))
    mdata.obs["dose"] = rng.integers(0, 2, 900)
    mdata.obs["one_donor"] = np.where(donor == 0, "first", "others")
    MultiDGD.setup_mudata(mdata)
    model = MultiDGD(mdata, n_latent=6)
    model.train(max_epochs=10, **QUIET)
    return model


def compare(model, **kwargs):
    given = {"sample_key": "donor", "groupby": "condition", "group1": "treated", "silent": True}
    return model.differential_abundance(**{**given, **kwargs})


def test_aggregated_posterior_is_the_mixture_of_the_cells_posteriors(model):
    cells = np.arange(20)
    found = model.get_aggregated_posterior(indices=cells)
    assert isinstance(found, MixtureSameFamily)
    assert found.event_shape == (6,)
    mean, variance = map(
        torch.from_numpy, model.get_latent_representation(indices=cells, return_dist=True)
    )
    z = torch.from_numpy(model.get_latent_representation()[:50])
    each = Independent(Normal(mean, variance.sqrt()), 1).log_prob(z[:, None])
    expected = each.logsumexp(1) - np.log(20)
    torch.testing.assert_close(found.log_prob(z), expected, rtol=1e-4, atol=1e-4)
    student = model.get_aggregated_posterior(indices=cells, dof=3).component_distribution
    assert isinstance(student.base_dist, StudentT)


@pytest.mark.parametrize("dof", [None, 4.0])
def test_log_densities_are_those_of_the_aggregated_posteriors(model, dof):
    table = model.differential_abundance(sample_key="donor", dof=dof, silent=True)
    donors = model.adata.obs["donor"]
    assert table.index.equals(model.adata.obs_names)
    assert list(table) == list(donors.cat.categories)
    z = torch.from_numpy(model.get_latent_representation())
    at = np.flatnonzero(donors == "donor_4")
    expected = model.get_aggregated_posterior(indices=at, dof=dof).log_prob(z)
    np.testing.assert_allclose(table["donor_4"], expected, rtol=1e-3, atol=1e-2)
    stored = model.adata.obsm["da_log_probs"]
    pd.testing.assert_frame_equal(stored, table)


@pytest.mark.parametrize("by", ["cell", "component"])
def test_silent_comparisons_have_no_progress_bar(model, by, capsys):
    compare(model, by=by, batch_size=50)
    assert not capsys.readouterr().out


def test_densities_do_not_depend_on_the_size_of_blocks(model, monkeypatch):
    expected = compare(model)
    monkeypatch.setattr("multiDGD.model.abundance._abundance._BLOCK_PAIRS", 5_000)
    pd.testing.assert_frame_equal(compare(model, batch_size=100), expected, rtol=1e-4, atol=1e-5)


def test_cells_of_the_increased_type_have_higher_density(model):
    table = compare(model)
    is_more = (model.adata.obs["cell_type"] == "type_0").to_numpy()
    expected = np.log((0.75 / 0.25) / 1)
    assert table["log_ratio"][is_more].mean() > 0.4 * expected
    assert table["log_ratio"][~is_more].mean() < 0
    assert ((table["fdr"] < 0.1) & (table["log_ratio"] > 0))[is_more].mean() > 0.5
    assert ((table["fdr"] < 0.1) & (table["log_ratio"] > 0))[~is_more].mean() < 0.05
    assert (table["log_ratio_lower"] < table["log_ratio"]).all()
    assert (table["log_ratio"] < table["log_ratio_upper"]).all()
    assert (table["fdr"] >= table["p_value"]).all()


@pytest.mark.parametrize("by", ["label", "component"])
def test_proportions_of_labels_and_components(model, by):
    table = compare(model, by=by, label_key="cell_type" if by == "label" else None)
    obs = model.adata.obs
    if by == "component":
        unit = pd.Series(model.get_cluster_assignments(), index=obs.index)
    else:
        unit = obs["cell_type"].astype(str)
    counts = pd.crosstab(obs["donor"], unit)
    share = counts.div(counts.sum(axis=1), axis=0).loc[["donor_3", "donor_4", "donor_5"]].mean()
    pd.testing.assert_series_equal(
        table["proportion1"].sort_index(), share, check_names=False, check_index_type=False
    )
    assert (table["n_cells"].sort_index() == counts.sum()).all()
    assert table["p_value"].is_monotonic_increasing
    assert table["log_odds_ratio"].iloc[0] > 0.5
    assert table["fdr"].iloc[0] < 0.05
    if by == "label":
        assert table.index[0] == "type_0"
        row = table.iloc[0]
        assert row["log_odds_ratio_lower"] < np.log(3) < row["log_odds_ratio_upper"]


def test_random_groups_of_samples_do_not_differ(model):
    rng = np.random.default_rng(1)
    obs = model.adata.obs
    called = []
    for _ in range(6):
        sample = rng.integers(0, 6, len(obs))
        obs["random"] = sample
        obs["half"] = np.where(sample < 3, "a", "b")
        table = compare(model, sample_key="random", groupby="half", group1="a")
        called.append((table["p_value"] < 0.05).mean())
        assert (table["fdr"] < 0.05).mean() < 0.2
    assert np.mean(called) < 0.12


def test_all_groups_are_compared_and_small_ones_omitted(model, caplog):
    both = compare(model, group1=None, by="label", label_key="cell_type")
    assert set(both["comparison"]) == {"treated vs Rest", "control vs Rest"}
    assert both.attrs["omitted_groups"] == []
    named = compare(model, group2="control", by="label", label_key="cell_type")
    assert set(named["comparison"]) == {"treated vs control"}
    np.testing.assert_allclose(
        named["log_odds_ratio"], both[both["group1"] == "treated"]["log_odds_ratio"]
    )
    with pytest.raises(ValueError, match=r"`group2` 'Rest' needs at least 2 samples, found 1"):
        compare(model, groupby="one_donor", group1=None)


def test_groups_with_one_sample_are_omitted(model, caplog):
    model.adata.obs["three"] = model.adata.obs["condition"].astype(str)
    model.adata.obs.loc[model.adata.obs["donor"] == "donor_0", "three"] = "single"
    with caplog.at_level("WARNING", logger="scvi.multiDGD"):
        table = compare(model, groupby="three", group1=None, by="component")
    assert table.attrs["omitted_groups"] == ["single"]
    assert "single" in caplog.text
    with pytest.raises(ValueError, match=r"`group1` 'single' needs at least 2 samples"):
        compare(model, groupby="three", group1="single", by="component")


def test_cells_without_sample_or_label_are_ignored(model):
    obs = model.adata.obs
    obs["partial"] = obs["donor"].astype(object).where(np.arange(len(obs)) > 50)
    obs["some"] = obs["cell_type"].astype(object).where(np.arange(len(obs)) < 800)
    table = compare(model, sample_key="partial", by="label", label_key="some")
    assert table["n_cells"].sum() == 749
    assert len(compare(model, sample_key="partial")) == len(obs)


def test_densities_of_few_cells(model):
    found = [compare(model, num_cells_posterior=40) for _ in range(2)]
    pd.testing.assert_frame_equal(*found)
    assert not np.allclose(found[0]["log_ratio"], compare(model)["log_ratio"])


def test_more_neighbours_smooth_more(model):
    few, many = (compare(model, n_neighbors=n)["log_ratio"].std() for n in (5, 100))
    assert many < few


def test_other_cells_can_be_compared(model):
    part = model.adata[np.arange(0, 900, 2)].copy()
    table = compare(model, adata=part)
    assert table.index.equals(part.obs_names)
    view = model.adata[np.arange(0, 900, 2)]
    other = model.differential_abundance(view, sample_key="donor", silent=True)
    assert other.shape == (450, 6)


def test_registered_labels_are_the_default():
    mdata = toy_mudata(60)
    mdata.obs["sample"] = np.arange(60) % 4
    mdata.obs["group"] = np.arange(60) % 4 // 2
    MultiDGD.setup_mudata(mdata, labels_key="label", unlabeled_category="C")
    model = MultiDGD(mdata, n_latent=3)
    model.train(max_epochs=1, **QUIET)
    table = compare(model, sample_key="sample", groupby="group", group1=1, by="label")
    assert set(table.index) == {"A", "B"}
    # Samples may be numbers; the stored table can be written to a file.
    assert list(model.differential_abundance(sample_key="sample", silent=True)) == [0, 1, 2, 3]
    assert list(model.adata.obsm["da_log_probs"]) == ["0", "1", "2", "3"]
    assert isinstance(model.adata, md.MuData)
    model.get_latent_representation()


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"sample_key": None}, "`sample_key` is required"),
        ({"sample_key": "donors"}, "`sample_key`: 'donors' is not a column of `obs`"),
        ({"sample_key": "batch_of_all"}, "must have at least 2 samples, found"),
        ({"groupby": "dose"}, "must be constant within each sample, found"),
        ({"groupby": "nothing"}, "`groupby`: 'nothing' is not a column of `obs`"),
        ({"group1": "nobody"}, "`group1`: 'nobody' is not in"),
        ({"groupby": "one_donor", "group1": "first"}, "`group1` 'first' needs at least 2 samples"),
        ({"groupby": None}, "`groupby` is required"),
        ({"groupby": None, "group1": None, "by": "label"}, "`groupby` is required"),
        ({"by": "type"}, "`by` must be one of"),
        ({"by": "label"}, "`label_key` is required"),
        ({"by": "label", "label_key": "types"}, "`label_key`: 'types' is not a column of `obs`"),
        ({"by": "label", "label_key": "batch_of_all"}, "at least two labels"),
        ({"by": "label", "label_key": "of_one_donor"}, "has no labelled cell"),
        ({"level": 1}, "`level` must be between 0 and 1"),
        ({"n_neighbors": 0}, "`n_neighbors` must be an integer"),
        ({"num_cells_posterior": 0}, "`num_cells_posterior` must be an integer"),
        ({"dof": 3}, "`dof` applies only without"),
        ({"dof": -1}, "`dof` must be a number above 0"),
    ],
)
def test_errors_come_before_the_work(model, kwargs, message, monkeypatch):
    obs = model.adata.obs
    obs["batch_of_all"] = "b"
    obs["of_one_donor"] = obs["cell_type"].astype(object).where(obs["donor"] == "donor_1")
    monkeypatch.setattr(model, "get_latent_representation", None)
    monkeypatch.setattr(model, "get_cluster_assignments", None)
    with pytest.raises(ValueError, match=message):
        compare(model, **kwargs)


def test_posteriors_of_no_cells_are_refused(model):
    with pytest.raises(ValueError, match="`indices` must contain at least one cell"):
        model.get_aggregated_posterior(indices=[])
    with pytest.raises(ValueError, match="`dof`"):
        model.get_aggregated_posterior(dof=0)


def test_untrained_models_are_refused(model):
    untrained = MultiDGD(model.adata)
    with pytest.raises(RuntimeError, match="train"):
        compare(untrained)
    with pytest.raises(RuntimeError, match="train"):
        untrained.get_aggregated_posterior()
