"""Foreground probabilities of proteins."""

import anndata as ad
import mudata as md
import numpy as np
import pytest
import scipy.stats
import scvi
from scipy import sparse
from sklearn.metrics import roc_auc_score
from tests.toy import toy_mudata

from multiDGD import MultiDGD

QUIET = {"enable_progress_bar": False, "accelerator": "cpu", "logger": False}
BACKGROUND, FOREGROUND = 6.0, 150.0


def simulated(n_cells=240, n_proteins=6, seed=0):
    """Three cell types with two markers each; a layer contains which counts are foreground."""
    rng = np.random.default_rng(seed)
    kind = np.arange(n_cells) % 3
    genes = np.ones((3, 30))
    genes[np.arange(30) % 3, np.arange(30)] = 8
    rna = rng.poisson(genes[kind] * rng.lognormal(0, 0.2, (n_cells, 1)))
    has = np.arange(n_proteins) % 3 == kind[:, None]
    mean = np.where(has, FOREGROUND, BACKGROUND)
    r = np.where(has, 20.0, 2.0)
    prot = rng.poisson(mean * rng.gamma(r) / r)
    parts = {"rna": rna, "prot": prot}
    parts = {
        m: ad.AnnData(sparse.csr_matrix(x.astype(np.float32)), layers={}) for m, x in parts.items()
    }
    for m, part in parts.items():
        part.obs_names = [f"cell_{i}" for i in range(n_cells)]
        part.var_names = [f"{m}_{j}" for j in range(part.n_vars)]
    parts["prot"].layers["foreground"] = has
    mdata = md.MuData(parts)
    mdata.obs["batch"] = np.where(rng.random(n_cells) < 0.5, "a", "b")
    return mdata


def fitted(mdata, likelihoods, **train):
    scvi.settings.seed = 0
    MultiDGD.setup_mudata(mdata, batch_key="batch")
    model = MultiDGD(mdata, n_latent=4, n_components=3, likelihoods=likelihoods)
    model.train(batch_size=32, **train, **QUIET)
    return model


@pytest.fixture(scope="module")
def model():
    return fitted(simulated(), {"prot": "protein"}, max_epochs=40)


@pytest.fixture(scope="module")
def table(model):
    return model.get_protein_foreground_probability()


def mixture_terms(model, mean):
    """Share, mean and dispersion of background and foreground by the formula."""
    likelihood = model.module.likelihood("prot")
    logs = likelihood.log_level, likelihood.log_r_background, likelihood.log_r_foreground
    b, *r = (p.detach().exp().numpy() for p in logs)
    t = (mean / b) ** likelihood.sharpness.detach().numpy()
    share = 1 / (1 + t**2)
    a = likelihood.contrast.detach().numpy()
    return [
        (share, mean / (1 + a * t), r[0]),
        (1 - share, mean + a * mean / (t * (1 + a * t)), r[1]),
    ]


def decoded(model, **where):
    return model.get_normalized_expression(
        modality="prot", library_size="latent", return_numpy=True, **where
    ).astype(float)


def test_true_foreground_is_detected(model, table):
    """The accuracy would be 0.67 for background only and 0.33 for foreground only."""
    held_out = simulated(120, seed=1)
    held_out.obs_names = [f"new_{i}" for i in range(120)]
    for part in held_out.mod.values():
        part.obs_names = held_out.obs_names
    held_out.update()
    assert list(table.columns) == list(model.adata["prot"].var_names)
    of_held_out = model.get_protein_foreground_probability(held_out)
    for found, mdata in ((table, model.adata), (of_held_out, held_out)):
        has = mdata["prot"].layers["foreground"]
        assert ((found > 0.5) == has).to_numpy().mean() > 0.85
        for j, name in enumerate(found):
            assert roc_auc_score(has[:, j], found[name]) > 0.98


def test_bayes_rule_at_the_decoded_mean(model, table):
    x = model.adata["prot"].X.toarray()
    one, other = (
        share * scipy.stats.nbinom.pmf(x, r, r / (r + m))
        for share, m, r in mixture_terms(model, decoded(model))
    )
    np.testing.assert_allclose(table, other / (one + other), rtol=1e-2, atol=1e-4)


def test_subsets_and_minibatches(model, table):
    probability = model.get_protein_foreground_probability
    np.testing.assert_allclose(probability(batch_size=7), table, atol=1e-5)
    some = probability(indices=[5, 2], protein_list=["prot_3", "prot_0"])
    expected = table.iloc[[5, 2]][["prot_3", "prot_0"]]
    assert list(some.columns) == ["prot_3", "prot_0"]
    assert list(some.index) == list(expected.index)
    np.testing.assert_allclose(some, expected, atol=1e-5)
    subset = model.adata[[5, 2]].copy()
    np.testing.assert_allclose(probability(subset), table.iloc[[5, 2]], atol=1e-5)


def test_draws(model, table):
    probability = model.get_protein_foreground_probability
    draws = probability(n_samples=20, return_mean=False, indices=range(40))
    assert draws.shape == (20, 40, 6)
    # Observed counts separate both components so well that only prior probabilities vary.
    assert probability(n_samples=20, return_mean=False, transform_batch="b").std(0).max() > 0
    mean = probability(n_samples=20, indices=range(40), return_numpy=True, batch_size=9)
    np.testing.assert_allclose(draws.mean(0), mean, atol=1e-4)
    assert np.abs(mean - table.iloc[:40]).to_numpy().mean() < 0.1


def test_prior_probability_without_a_count(model):
    probability = model.get_protein_foreground_probability
    (_, _, _), (share, _, _) = mixture_terms(model, decoded(model, transform_batch="b"))
    np.testing.assert_allclose(probability(transform_batch="b"), share, rtol=1e-3, atol=1e-5)

    paired = simulated(60, seed=2)
    alone = md.MuData({"rna": paired["rna"].copy()})
    alone.obs["batch"] = paired.obs["batch"]
    alone.obs_names = [f"new_{i}" for i in range(60)]
    alone["rna"].obs_names = alone.obs_names
    alone.update()
    found = probability(alone)
    median = model.library_medians_["prot"]
    mean = model.get_normalized_expression(alone, modality="prot", library_size=median)
    (_, _, _), (share, _, _) = mixture_terms(model, mean.to_numpy().astype(float))
    np.testing.assert_allclose(found, share, rtol=1e-3, atol=1e-5)
    assert ((found > 0.5) == paired["prot"].layers["foreground"]).to_numpy().mean() > 0.85


def test_proteins_missing_in_a_query(model, table):
    query = model.adata[:50].copy()
    query = md.MuData({"rna": query["rna"].copy(), "prot": query["prot"][:, 2:].copy()})
    query.obs["batch"] = model.adata.obs["batch"][:50]
    query.obs_names = [f"new_{i}" for i in range(50)]
    for part in query.mod.values():
        part.obs_names = query.obs_names
    query.update()
    found = model.get_protein_foreground_probability(query)
    has = model.adata["prot"].layers["foreground"][:50]
    assert ((found > 0.5) == has).to_numpy()[:, 2:].mean() > 0.85
    # RNA and the other proteins determine the cell type, and thereby the expected counts.
    assert ((found > 0.5) == has).to_numpy()[:, :2].mean() > 0.8


def test_expression_without_background(model):
    mean = decoded(model)
    ((share, background, _), _) = mixture_terms(model, mean)
    found = decoded(model, include_protein_background=False)
    np.testing.assert_allclose(found, mean - share * background, rtol=1e-2, atol=1e-3)
    has = model.adata["prot"].layers["foreground"]
    assert found[~has].mean() < 0.6 * mean[~has].mean()
    assert found[has].mean() > 0.95 * mean[has].mean()
    # The share of the background does not depend on the requested total.
    part = model.get_normalized_expression(
        modality="prot", library_size=7, include_protein_background=False, return_numpy=True
    )
    whole = model.get_normalized_expression(modality="prot", library_size=7, return_numpy=True)
    np.testing.assert_allclose(part / whole, found / mean, rtol=1e-3)


def test_errors_contain_modality_likelihood_and_remedy(model, monkeypatch):
    plain = toy_mudata(30, names=("rna", "prot"))
    MultiDGD.setup_mudata(plain)
    other = MultiDGD(plain, n_latent=2, likelihoods="nb")
    other.train(max_epochs=1, **QUIET)

    def fail(*args, **kwargs):
        raise AssertionError("representations were computed before the checks")

    for m in (model, other):
        monkeypatch.setattr(m, "_representation", fail)
    advice = "likelihoods={'prot': 'protein'}"
    for call in (
        lambda: other.get_protein_foreground_probability(),
        lambda: other.get_protein_foreground_probability(modality="prot"),
        lambda: other.get_normalized_expression(modality="prot", include_protein_background=False),
    ):
        with pytest.raises(ValueError, match="'prot' has .*'nb'") as error:
            call()
        assert advice in str(error.value)
    with pytest.raises(ValueError, match="'rna' has the likelihood 'nb'"):
        model.get_protein_foreground_probability(modality="rna")
    with pytest.raises(ValueError, match="Nearest names"):
        model.get_protein_foreground_probability(protein_list=["prot_99"])
    with pytest.raises(ValueError, match="must be one of"):
        model.get_protein_foreground_probability(modality="adt")


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_markers_are_foreground_in_their_cell_types(pbmc10k_cite, seed):
    """Evaluated on held-out cells. With a background proportional to the cell's mean, the AUC of
    CD3 is 0.82 and its foreground probability in B cells 0.97."""
    rna, prot = pbmc10k_cite["rna"], pbmc10k_cite["prot"]
    frequent = np.argsort(-np.asarray(rna.X.mean(0)).ravel())[:400]
    order = np.random.default_rng(seed).permutation(pbmc10k_cite.n_obs)
    known = pbmc10k_cite.obs["cell_type"].astype(str).to_numpy()
    order = order[~np.isin(known[order], ["NA", "nan"])]

    def part(cells):
        return md.MuData({"rna": rna[cells, frequent].copy(), "prot": prot[cells].copy()})

    train, held_out = part(order[:800]), part(order[800:1100])
    kind = known[order[800:1100]]
    scvi.settings.seed = seed
    MultiDGD.setup_mudata(train)
    model = MultiDGD(train, likelihoods={"prot": "protein"})
    model.train(max_epochs=40, **QUIET)
    found = model.get_protein_foreground_probability(held_out)
    for marker, kinds in {
        "CD3": ["CD4+ T-cells", "CD8+ T-cells"],
        "CD19": ["B-cells"],
        "CD14": ["Monocytes"],
    }.items():
        p, has = found[f"{marker}_TotalSeqB"], np.isin(kind, kinds)
        assert roc_auc_score(has, p) > 0.95
        assert p[has].mean() > 0.85
        assert p[~has].mean() < 0.25
