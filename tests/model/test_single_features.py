"""Modalities with a single feature, whose share of the total count is always 1."""

import mudata as md
import numpy as np
import pytest
import scvi
import torch
from scipy import sparse
from tests.model.fitting import fitted, load, renamed_mudata
from tests.panels import part

from multiDGD import MultiDGD
from multiDGD.module import MultiDGDModule
from multiDGD.nn import Counts, Exponential, Softmax, get_likelihood

LIKELIHOODS = ["nb", "poisson", "protein"]
TRAIN = {"max_epochs": 60, "batch_size": 128}


def single_proteins(seed=0, n_cells=400, n_single=1):
    """RNA of all cells; one modality for each protein, missing in every third cell.

    Returns the cells, the mean of each protein in each cell, and the measured cells.
    """
    r = np.random.default_rng(seed)
    kind = r.integers(0, 4, n_cells)
    rna = r.poisson(2 * r.gamma(1, 1, (4, 60))[kind])
    level = np.exp(r.normal(2, 1.2, (4, n_single)))[kind]
    level[kind == 0] = 0.3  # most counts are 0
    counts = r.poisson(level * r.gamma(10, 0.1, (n_cells, n_single)))
    measured = np.arange(n_cells) % 3 > 0
    names = np.array([f"c{i}" for i in range(n_cells)])
    proteins = {
        f"s{k}": part(counts[measured][:, [k]], f"s{k}_", names[measured]) for k in range(n_single)
    }
    return md.MuData({"rna": part(rna, "g", names), **proteins}), level, measured


def correlation(x, y):
    return np.corrcoef(np.asarray(x).ravel(), np.asarray(y).ravel())[0, 1]


@pytest.fixture(scope="module")
def trained():
    """A shared model of two proteins, which tests do not change."""
    scvi.settings.seed = 0
    mdata, level, measured = single_proteins(n_single=2)
    return fitted(mdata, {"n_latent": 10}, TRAIN), level, measured


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_rates_are_predicted_from_other_modalities(likelihood):
    mdata, level, measured = single_proteins()
    model = fitted(mdata, {"n_latent": 10, "likelihoods": {"s0": likelihood}}, TRAIN)
    found = model.get_normalized_expression(modality="s0", return_numpy=True)
    missing = ~measured
    # A share of 1 at the median library size would be constant. The truth has four levels.
    assert correlation(found[missing], level[missing]) > 0.9
    ratio = found[missing].mean() / level[missing].mean()
    assert 0.75 < ratio < 1.25
    # Cells without the protein have low rates, although their counts are 0.
    assert found[level == 0.3].mean() < 2
    imputed = model.impute(modality="s0", return_numpy=True)
    assert correlation(imputed[missing], level[missing]) > 0.9


def test_units_of_a_single_feature(trained):
    model, level, measured = trained
    library = model.adata_manager.libraries
    np.testing.assert_array_equal(library[:, 1], measured)
    assert model.library_medians_["s0"] == 1
    rate = model.get_normalized_expression(modality="s0", return_numpy=True)
    latent = model.get_normalized_expression(modality="s0", library_size="latent")
    np.testing.assert_allclose(latent, rate, rtol=1e-5)
    double = model.get_normalized_expression(modality="s0", library_size=2)
    np.testing.assert_allclose(double, 2 * rate, rtol=1e-5)
    imputed = model.impute(modality="s0", library_size=2, return_numpy=True)
    np.testing.assert_allclose(
        imputed, 2 * model.impute(modality="s0", return_numpy=True), rtol=1e-4
    )


def test_several_single_features(trained):
    model, level, measured = trained
    for k, modality in enumerate(("s0", "s1")):
        found = model.get_normalized_expression(modality=modality, return_numpy=True)
        assert correlation(found[~measured], level[~measured, k]) > 0.9
    # Both are decoded from the representation of a query with RNA only.
    query = md.MuData({"rna": renamed_mudata(model.adata, "q")["rna"]})
    imputed = model.impute(query, "s1", return_numpy=True)
    assert correlation(imputed, level[:, 1]) > 0.9


def test_the_count_informs_the_representation(trained):
    """Cells of which only the protein was measured differ by their counts."""
    model, _, _ = trained
    names = [f"x{i}" for i in range(6)]
    query = md.MuData({"s0": part(np.array([[0], [0], [15], [15], [60], [60]]), "s0_", names)})
    rate = model.get_normalized_expression(query, modality="s0", return_numpy=True)
    assert np.isfinite(rate).all()
    assert rate[0, 0] < rate[2, 0] < rate[4, 0]


def test_all_methods_return_finite_values(trained):
    model, _, measured = trained
    for data in (None, renamed_mudata(model.adata, "q")):
        assert np.isfinite(list(model.get_reconstruction_error(data).values())).all()
        assert torch.isfinite(
            model.get_marginal_ll(data, n_mc_samples=20, return_mean=False)
        ).all()
        assert torch.isfinite(model.get_elbo(data, n_mc_samples=5, return_mean=False)).all()
        assert np.isfinite(model.get_typicality(data)).all()
        lower, upper = model.get_expression_interval(data, modality="s0", return_numpy=True)
        rate = model.get_normalized_expression(data, modality="s0", return_numpy=True)
        assert (lower < rate).all()
        assert (rate < upper).all()
        drawn = model.posterior_predictive_sample(data)["s0"].todense()
        assert 0.5 < drawn[measured].mean() / rate[measured].mean() < 1.5
        conditional = model.get_normalized_expression(
            data, modality="s0", condition_on_counts=True, return_numpy=True
        )
        np.testing.assert_allclose(conditional[~measured], rate[~measured], rtol=1e-5)
    table = model.differential_expression(
        idx1=np.arange(0, 200), idx2=np.arange(200, 400), modality="s0", silent=True
    )
    assert np.isfinite(table.select_dtypes(float)).all(axis=None)
    table = model.get_count_split_score()
    assert table["s0", "n_counts"].notna().any()
    links = model.gene2peak("g1", gene_modality="rna", peak_modality="s0")
    assert np.isfinite(links.select_dtypes(float)).all(axis=None)


def test_conditional_rate_lies_between_decoded_rate_and_count(trained):
    model, _, measured = trained
    rate = model.get_normalized_expression(modality="s0", return_numpy=True)[measured, 0]
    conditional = model.get_normalized_expression(
        modality="s0", condition_on_counts=True, return_numpy=True
    )[measured, 0]
    count = model.adata["s0"].X.toarray()[:, 0]
    low, high = np.minimum(rate, count), np.maximum(rate, count)
    assert ((conditional > low - 1e-4) & (conditional < high + 1e-4)).all()


def test_simulated_counts_vary(trained):
    model, _, _ = trained
    sample = model.sample(200, seed=0)
    x = sample["s0"].X.toarray()
    # At a fixed total, the count of a cell would equal its rounded mean.
    assert 0.5 < x.mean() / model.adata["s0"].X.toarray().mean() < 2
    assert (x == 0).any()


def test_saved_models_keep_their_rates(trained, tmp_path):
    model, _, _ = trained
    model.save(tmp_path / "m")
    loaded = MultiDGD.load(tmp_path / "m", adata=renamed_mudata(model.adata, ""))
    rates = loaded.get_normalized_expression(modality="s0")
    np.testing.assert_allclose(rates, model.get_normalized_expression(modality="s0"), rtol=1e-5)
    query = load(renamed_mudata(model.adata, "q"), model)
    found = query.get_normalized_expression(modality="s0")
    assert correlation(found, rates) > 0.95


def test_models_saved_before_keep_a_share_of_one(trained):
    model, _, _ = trained

    def loaded(state):
        settings = {"n_latent": 10, "n_components": model.module.mixture.n_mix_comp}
        sizes = {"n_hidden": 1, "n_hidden_modality": 1}
        module = MultiDGDModule(
            model.adata.n_obs, model.summary.n_features, **settings, decoder_kwargs=sizes
        )
        module.load_state_dict(dict(state))
        return module

    state = model.module.state_dict()
    assert isinstance(loaded(state).likelihood("s0").mean_function, Exponential)
    former = loaded({k: v for k, v in state.items() if k != "has_rates"})
    assert isinstance(former.likelihood("s0").mean_function, Softmax)
    again = loaded(former.state_dict())
    assert isinstance(again.likelihood("s0").mean_function, Softmax)


def test_anndata_with_a_single_feature():
    mdata, level, _ = single_proteins()
    names = mdata["s0"].obs_names
    x = sparse.hstack([mdata["rna"][names].X, mdata["s0"].X], format="csr")
    adata = part(x.toarray(), "f", names)
    adata.var["kind"] = ["rna"] * 60 + ["cd4"]
    model = fitted(adata, {"n_latent": 10}, TRAIN, modality_key="kind")
    # A count of 0 is a measured count.
    assert (model.adata_manager.libraries[:, model.module.modalities.index("cd4")] == 1).all()
    found = model.get_normalized_expression(modality="cd4", return_numpy=True)
    assert correlation(found, level[mdata.obs_names.get_indexer(names)]) > 0.9
    # An object without the feature has no counts of it.
    query = part(mdata["rna"].X.toarray(), "f", [f"q{i}" for i in range(mdata.n_obs)])
    query.var["kind"] = "rna"
    assert correlation(model.impute(query, "cd4", return_numpy=True), level) > 0.9


def test_panel_without_the_single_feature():
    mdata, level, measured = single_proteins()
    mdata = md.MuData({"rna": mdata["rna"][measured].copy(), "s0": mdata["s0"].copy()})
    level = level[measured]
    batch = np.arange(mdata.n_obs) % 2
    x = mdata["s0"].X.toarray()
    x[batch == 0] = 0
    mdata["s0"].X = sparse.csr_matrix(x)
    mdata.obs["batch"] = np.where(batch, "b1", "b0")
    model = fitted(mdata, {"n_latent": 10}, TRAIN, batch_key="batch", panel_key="batch")
    assert (model.adata_manager.libraries[:, 1] == batch).all()
    found = model.get_normalized_expression(modality="s0", transform_batch="b1", return_numpy=True)
    assert correlation(found[batch == 0], level[batch == 0]) > 0.8
    assert 0.6 < found[batch == 0].mean() / level[batch == 0].mean() < 1.6


@pytest.mark.parametrize("name", [*LIKELIHOODS, "bernoulli"])
def test_log_probabilities_of_rates(name):
    torch.manual_seed(0)
    likelihood = get_likelihood(name)(1).double()
    likelihood.mean_function = Exponential()
    library = torch.tensor([1.0, 1.0, 0.5]).double()
    counts = Counts.from_dense(torch.tensor([[0.0], [3.0], [1.0]]).double(), library)
    logits = torch.randn(3, 1, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda a: likelihood.log_prob(a, counts), logits)
    mean = likelihood.mean(logits, library)
    torch.testing.assert_close(mean[:, 0], logits[:, 0].exp() * library)
    zeros = likelihood.log_prob_zero(mean)[:, 0]
    found = likelihood.log_prob(logits, counts)
    torch.testing.assert_close(found[0], zeros[0])
    unmeasured = Counts.from_dense(torch.zeros(3, 1).double())
    assert (likelihood.log_prob(logits, unmeasured) == 0).all()
    output = torch.nn.Linear(2, 1).double()
    hidden = torch.randn(3, 2).double()
    torch.testing.assert_close(
        likelihood.linear_log_prob(hidden, output, counts),
        likelihood.log_prob(output(hidden), counts),
    )
