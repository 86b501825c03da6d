"""Differential analysis of simulated changes, real marker genes and random groups."""

import mudata as md
import numpy as np
import pandas as pd
import pytest
import scanpy as sc
import scvi
from scipy import sparse

from multiDGD import MultiDGD
from multiDGD.datasets import simulate_multiome

QUIET = {"enable_progress_bar": False, "accelerator": "cpu"}
N_CELLS = 600


def treat(mdata, treated, rng, share=0.15, donors=None):
    """Change some features of the treated cells, and all features by donor."""
    for part in mdata.mod.values():
        mean = part.layers["true_mean"].astype(float)
        library_size = mean.sum(1, keepdims=True)
        changed = rng.random(part.n_vars) < share
        size = rng.uniform(1.0, 2.0, part.n_vars) * rng.choice([-1, 1], part.n_vars)
        part.var["lfc"] = np.where(changed, size, 0.0)
        mean[treated] *= 2 ** part.var["lfc"].to_numpy()
        if donors is not None:
            mean *= rng.lognormal(0, 0.4, (donors.max() + 1, part.n_vars))[donors]
        mean *= library_size / mean.sum(1, keepdims=True)
        part.X = sparse.csr_matrix(rng.poisson(rng.gamma(4.0, mean / 4.0)).astype(np.float32))
        # Shares sum to one: if some increase, the others decrease.
        true = mean / library_size
        part.var["true_lfc"] = np.log2(true[treated].mean(0) / true[~treated].mean(0))


def fitted(mdata, max_epochs=10, **setup):
    """Model after few epochs, whose errors the residual counts correct."""
    MultiDGD.setup_mudata(mdata, **setup)
    model = MultiDGD(mdata, n_latent=6)
    model.train(max_epochs=max_epochs, **QUIET)
    return model


@pytest.fixture(scope="module")
def model():
    """Half of the cells are treated, which changes a seventh of the features."""
    scvi.settings.seed = 0
    mdata = simulate_multiome(N_CELLS, 200, 250, n_types=3, true_means=True)
    rng = np.random.default_rng(1)
    treated = rng.random(N_CELLS) < 0.5
    treat(mdata, treated, rng)
    mdata.obs["condition"] = np.where(treated, "treated", "control")
    mdata.obs["weight"] = rng.random(N_CELLS)
    mdata.obs["tiny"] = np.where(np.arange(N_CELLS) < 2, "few", "many")
    return fitted(mdata, batch_key="batch")


def compare(model, method="differential_expression", **kwargs):
    given = {"groupby": "condition", "group1": "treated", "silent": True, **kwargs}
    return getattr(model, method)(**given)


@pytest.mark.parametrize("modality", ["rna", "atac"])
def test_changed_features_are_called_with_few_false_discoveries(model, modality):
    part = model.adata[modality]
    table = compare(model, modality=modality).loc[part.var_names]
    true = part.var["true_lfc"].to_numpy()
    called = table["is_de_fdr_0.05"].to_numpy()
    assert (np.abs(true) < 0.25)[called].mean() < 0.1
    changed = np.abs(true) > 0.75
    assert called[changed].mean() > 0.8
    estimate, truth = table["lfc_mean"][changed], true[changed]
    assert np.corrcoef(estimate, truth)[0, 1] > 0.95
    assert np.abs(estimate - truth).mean() < 0.3


def test_power_exceeds_wilcoxon_for_few_cells(model):
    data = model.adata
    cells = np.r_[
        np.flatnonzero(data.obs["condition"] == "treated")[:20],
        np.flatnonzero(data.obs["condition"] == "control")[:20],
    ]
    found = {"multiDGD": [0, 0], "wilcoxon": [0, 0]}
    for modality, part in data.mod.items():
        changed = np.abs(part.var["true_lfc"].to_numpy()) > 0.25
        table = model.differential_expression(
            idx1=cells[:20], idx2=cells[20:], modality=modality, silent=True
        ).loc[part.var_names]
        ranks = part[cells].copy()
        ranks.obs["condition"] = pd.Categorical(data.obs["condition"].to_numpy()[cells])
        sc.pp.normalize_total(ranks)
        sc.pp.log1p(ranks)
        sc.tl.rank_genes_groups(ranks, "condition", groups=["treated"], method="wilcoxon")
        other = sc.get.rank_genes_groups_df(ranks, "treated").set_index("names")
        called = {
            "multiDGD": table["is_de_fdr_0.05"].to_numpy(),
            "wilcoxon": other.loc[part.var_names, "pvals_adj"].to_numpy() < 0.05,
        }
        for name, is_called in called.items():
            found[name][0] += (is_called & changed).sum()
            found[name][1] += (is_called & ~changed).sum()
    assert found["multiDGD"][0] > found["wilcoxon"][0] + 5
    assert found["multiDGD"][1] <= 0.15 * sum(found["multiDGD"])


def test_random_groups_do_not_differ(model):
    rng = np.random.default_rng(0)
    n = 0
    for _ in range(3):
        half = rng.random(N_CELLS) < 0.5
        for modality in ("rna", "atac"):
            table = model.differential_expression(idx1=half, modality=modality, silent=True)
            n += table["is_de_fdr_0.05"].sum()
            assert table["lfdr"].median() > 0.9
    assert n <= 2


def test_markers_of_real_cells(bmmc_cite):
    types = bmmc_cite.obs["cell_type"].astype(str)
    MultiDGD.setup_mudata(bmmc_cite, batch_key="batch")
    model = MultiDGD(bmmc_cite)
    model.train(max_epochs=15, **QUIET)
    table = model.differential_expression(
        idx1=types.str.startswith("CD14").to_numpy(),
        idx2=types.str.contains("CD4").to_numpy(),
        modality="prot",
        silent=True,
    )
    assert "CD14" in table.index[:134]
    called = table[table["is_de_fdr_0.05"]]
    assert called.loc["CD14", "lfc_mean"] > 1
    assert called.loc["CD3", "lfc_mean"] < -1
    assert called.loc["CD4", "lfc_mean"] < 0
    # Random halves of one cell type do not differ.
    cells = np.flatnonzero(types.str.contains("CD4"))
    for seed in range(3):
        half = np.random.default_rng(seed).permutation(cells)
        chance = model.differential_expression(
            idx1=half[::2], idx2=half[1::2], modality="prot", silent=True
        )
        assert chance["is_de_fdr_0.05"].sum() <= 2


def test_groups_masks_positions_and_queries_are_equivalent(model):
    expected = compare(model)
    treated = (model.adata.obs["condition"] == "treated").to_numpy()
    for idx1, idx2 in (
        (treated, None),
        (treated, ~treated),
        (np.flatnonzero(treated), np.flatnonzero(~treated)),
        ("condition == 'treated'", "condition == 'control'"),
    ):
        found = model.differential_expression(idx1=idx1, idx2=idx2, silent=True)
        numbers = found.select_dtypes("number")
        pd.testing.assert_frame_equal(numbers, expected[numbers.columns])
        assert "group1" not in found


def test_swapped_groups(model):
    forth = compare(model, group2="control").sort_index()
    back = compare(model, group1="control", group2="treated").sort_index()
    np.testing.assert_allclose(forth["lfc_mean"], -back["lfc_mean"], atol=2e-3)
    np.testing.assert_allclose(forth["scale1"], back["scale2"])
    np.testing.assert_allclose(forth["lfdr"], back["lfdr"], atol=2e-3)


def test_all_groups_by_default(model):
    table = compare(model, groupby="cell_type", group1=None)
    assert list(table["comparison"].unique()) == [f"type_{i} vs Rest" for i in range(3)]
    for name, part in table.groupby("group1", observed=True):
        alone = compare(model, groupby="cell_type", group1=name)
        pd.testing.assert_frame_equal(part.select_dtypes("number"), alone.select_dtypes("number"))
        assert part["information"].is_monotonic_decreasing
        undecided = part[part["lfc_bound"] == 0]
        assert (undecided["lfc_mean"] / undecided["lfc_std"]).is_monotonic_decreasing


def test_columns_are_consistent(model):
    table = compare(model, cred_interval_lvls=[0.5, 0.9])
    assert np.allclose(table["proba_de"] + table["proba_not_de"], 1)
    called = table["is_de_fdr_0.05"]
    assert table["lfdr"][called].mean() <= 0.05
    assert table["lfdr"].between(1e-30, 1e-9).any()  # not rounded to the precision of 1 - p
    assert table["lfdr"][~called].min() >= table["lfdr"][called].max()
    low, high = (table[f"lfc_confidence_interval_0.9_{end}"] for end in ("min", "max"))
    assert (low <= table["lfc_confidence_interval_0.5_min"]).all()
    assert ((low <= table["lfc_median"]) & (table["lfc_median"] <= high)).all()
    x = model.adata["rna"].to_df()[(model.adata.obs["condition"] == "treated").to_numpy()]
    order = table.index
    np.testing.assert_allclose(table["raw_mean1"], x.mean()[order], rtol=1e-4)
    np.testing.assert_allclose(table["non_zeros_proportion1"], (x > 0).mean()[order], rtol=1e-4)
    normalized = x.div(x.sum(axis=1), axis=0).mean() * 1e4
    np.testing.assert_allclose(table["raw_normalized_mean1"], normalized[order], rtol=1e-4)
    assert "raw_mean1" not in compare(model, all_stats=False)


def test_larger_delta_reduces_discoveries(model):
    n = [compare(model, delta=d)["is_de_fdr_0.05"].sum() for d in (0.25, 1.0, 3.0)]
    assert n[0] > n[1] > n[2] == 0


def test_vanilla_mode_tests_the_sign(model):
    table = compare(model, mode="vanilla")
    assert np.allclose(table["proba_m1"] + table["proba_m2"], 1)
    truth = model.adata["rna"].var["lfc"][table.index]
    changed = truth != 0
    sign = np.sign(table["bayes_factor"])
    assert (sign == np.sign(truth))[changed].mean() > 0.95
    assert table["lfdr"][~changed].median() > 100 * table["lfdr"][changed].median()


def test_accessibility_has_the_columns_of_multivi(model):
    table = compare(model, "differential_accessibility")
    expression = compare(model, modality="atac").loc[table.index]
    np.testing.assert_allclose(table["prob_da"], expression["proba_de"])
    np.testing.assert_allclose(table["emp_prob2"], expression["non_zeros_proportion2"])
    np.testing.assert_allclose(table["effect_size"], table["est_prob2"] - table["est_prob1"])
    np.testing.assert_array_equal(table["is_da_fdr"], expression["is_de_fdr_0.05"])
    # Estimates are for one library size, so they differ slightly from the observed fractions.
    assert np.corrcoef(table["emp_prob1"], table["est_prob1"])[0, 1] > 0.95
    assert np.abs(table["emp_prob1"] - table["est_prob1"]).mean() < 0.07


def test_batches_are_corrected_for():
    """Two batches of the same cell types differ only in the batch effect."""
    scvi.settings.seed = 0
    mdata = simulate_multiome(N_CELLS, 150, 200, n_types=3, batch_effect=0.3)
    model = fitted(mdata, max_epochs=None, batch_key="batch")
    given = {"groupby": "batch", "group1": "batch_0", "silent": True}
    plain = model.differential_expression(**given)
    corrected = model.differential_expression(**given, batch_correction=True)
    assert plain["is_de_fdr_0.05"].mean() > 0.3
    assert corrected["is_de_fdr_0.05"].mean() < 0.05
    # In a common batch, the groups are equal. With exchanged batches, changes are opposite.
    same = model.differential_expression(
        **given, batch_correction=True, batchid1=["batch_1"], batchid2=["batch_1"]
    )
    assert same["is_de_fdr_0.05"].mean() < 0.05
    swapped = model.differential_expression(
        **given, batch_correction=True, batchid1=["batch_1"], batchid2=["batch_0"]
    )
    assert np.corrcoef(swapped["lfc_mean"][plain.index], plain["lfc_mean"])[0, 1] < -0.8


def test_samples_as_replicates():
    """Cells as replicates attribute differences between donors to the treatment."""
    scvi.settings.seed = 0
    mdata = simulate_multiome(N_CELLS, 200, 250, n_types=3, true_means=True)
    rng = np.random.default_rng(2)
    donors = rng.integers(0, 10, N_CELLS)
    treat(mdata, donors < 5, rng, donors=donors)
    mdata.obs["donor"] = [f"d{i}" for i in donors]
    mdata.obs["condition"] = np.where(donors < 5, "treated", "control")
    model = fitted(mdata)
    false = {}
    for key in (None, "donor"):
        tables = [compare(model, modality=m, sample_key=key) for m in ("rna", "atac")]
        called = pd.concat([t["is_de_fdr_0.05"] for t in tables])
        changed = pd.concat([model.adata[m].var["lfc"] != 0 for m in ("rna", "atac")])
        changed = changed[called.index]
        false[key] = (called & ~changed).sum() / max(called.sum(), 1)
        assert called[changed].mean() > 0.5
    assert false[None] > 0.5
    assert false["donor"] < 0.3


def test_weights_by_column_and_by_value(model):
    by_column = compare(model, weights="weight")
    by_value = compare(model, weights=model.adata.obs["weight"].to_numpy())
    pd.testing.assert_frame_equal(by_column, by_value)
    ones = compare(model, weights=np.ones(N_CELLS))
    pd.testing.assert_frame_equal(ones, compare(model), rtol=1e-3, atol=1e-3)
    assert not np.allclose(by_column["scale1"].sort_index(), ones["scale1"].sort_index())


def test_other_data_with_features_in_another_order(model):
    other = model.adata.copy()
    other = md.MuData({m: p[:, ::-1].copy() for m, p in other.mod.items()})
    other.obs = model.adata.obs.copy()
    found = compare(model, adata=other).sort_index()
    expected = compare(model).sort_index()
    np.testing.assert_allclose(found["lfc_mean"], expected["lfc_mean"], atol=5e-3)


def test_missing_features_are_not_reported(model):
    part = {m: p[:, :100].copy() for m, p in model.adata.mod.items()}
    fewer = md.MuData(part)
    fewer.obs = model.adata.obs.copy()
    MultiDGD.prepare_query_mudata(fewer, model)
    query = MultiDGD.load_query_data(fewer, model)
    query.is_trained_ = True
    table = compare(query)
    assert set(table.index) == set(part["rna"].var_names)
    expected = compare(model).loc[table.index]
    assert np.corrcoef(table["lfc_mean"], expected["lfc_mean"])[0, 1] > 0.95


def test_batch_size_does_not_matter(model):
    few = compare(model, batch_size=32).sort_index()
    many = compare(model, batch_size=600).sort_index()
    np.testing.assert_allclose(few["lfc_mean"], many["lfc_mean"], atol=2e-3)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"groupby": None}, "`groupby` or `idx1`"),
        ({"groupby": "conditon"}, r"Nearest names: \['condition'"),
        ({"group1": "traeted"}, r"`group1`.*Nearest names: \['treated'"),
        ({"group2": "contrl"}, r"`group2`.*Nearest names: \['control'"),
        ({"group2": "treated"}, "`group2`.*also in `group1`"),
        ({"groupby": "tiny", "group1": "few"}, "'few' has 2 cells"),
        ({"modality": "prot"}, "`modality` must be one of"),
        ({"mode": "both"}, "`mode` must be"),
        ({"delta": -1.0}, "`delta` must be at least 0"),
        ({"delta": float("nan")}, "`delta` must be a finite number"),
        ({"fdr_target": 5}, "`fdr_target` must be between 0 and 1"),
        ({"cred_interval_lvls": [90]}, "`cred_interval_lvls` must be between"),
        ({"weights": "wieght"}, r"`weights`.*Nearest names: \['weight'"),
        ({"weights": [1.0]}, f"`weights` must have {N_CELLS} entries"),
        ({"weights": np.full(N_CELLS, -1.0)}, "`weights` must be finite"),
        ({"sample_key": "donor"}, "`sample_key`: 'donor' is not a column of `obs`"),
        ({"sample_key": "condition"}, "from 1 sample of `sample_key`"),
        ({"idx1": [0, 1, 2, 3], "idx2": [3, 4, 5]}, "must not overlap, found 1 cells"),
        ({"idx1": [N_CELLS]}, f"beyond the {N_CELLS} cells"),
        ({"idx1": [True, False]}, f"must have {N_CELLS} entries"),
        ({"idx1": [0.5]}, "a query, a mask or positions"),
        ({"idx1": []}, "`group1` has 0 cells"),
        (
            {"batch_correction": True, "batchid1": ["batch_9"]},
            r"`batchid1`: \['batch_9'\] are not among the batches \['batch_0', ",
        ),
        ({"reference": "mean"}, "`reference` must be one of 'share', 'median' or a list"),
        ({"reference": ["gen_1"]}, "`reference`: 1 of 1 features do not exist .*gene_1"),
        (
            {"modality": ["rna", "atac"], "reference": ["gene_1"]},
            "`reference`: 1 of 1 features do not exist .*'atac'",
        ),
        (
            {"order_by": "p"},
            r"`order_by` must be one of 'information', 'lfc_bound', 'bayes_factor'",
        ),
        (
            {"order_by": "lfc_bound", "mode": "vanilla"},
            "must be 'bayes_factor' with `mode=.vanilla.`",
        ),
        ({"modality": ["rna", "prot"]}, "`modality` must be one of .*'prot'"),
    ],
)
def test_errors_precede_computation(model, given, message, monkeypatch):
    def fail(*args, **kwargs):
        raise AssertionError("computation started before the checks")

    monkeypatch.setattr("multiDGD.model.differential._comparisons.rate_sums", fail)
    with pytest.raises(ValueError, match=message):
        compare(model, **given)


def test_batch_correction_requires_batches():
    mdata = simulate_multiome(60, 20, 30)
    model = fitted(mdata)
    with pytest.raises(ValueError, match="needs a `batch_key`"):
        model.differential_expression(groupby="cell_type", batch_correction=True, silent=True)


def test_estimated_accessibility_does_not_depend_on_missing_regions(model):
    some = model.adata["atac"].var_names[::5]
    query = md.MuData({"atac": model.adata["atac"][:, some].copy()})
    query.obs["batch"] = model.adata.obs["batch"].to_numpy()
    query.obs["condition"] = model.adata.obs["condition"].to_numpy()
    whole = compare(model, "differential_accessibility")
    part = compare(model, "differential_accessibility", adata=query)
    for column in ("est_prob1", "est_prob2"):
        difference = (part[column] - whole.loc[part.index, column]).abs()
        assert difference.mean() < 0.02  # 0.2 if these regions had the whole median library size


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"cred_interval_lvls": 0.9}, "`cred_interval_lvls` must be a list of levels, found 0.9"),
        ({"cred_interval_lvls": ["a"]}, "`cred_interval_lvls` must be a finite number"),
        ({"fdr_target": "5 %"}, "`fdr_target` must be a finite number"),
        ({"delta": None}, "`delta` must be a finite number"),
        ({"idx2": [0, 1, 2]}, "`idx2` requires `idx1`"),
        ({"group1": []}, "`group1` must name at least one group"),
        ({"batch_size": -1}, "`batch_size` must be an integer of at least 1, found -1"),
    ],
)
def test_invalid_arguments(model, arguments, message):
    with pytest.raises(ValueError, match=message):
        compare(model, **arguments)


def test_latent_library_size_does_not_depend_on_missing_genes(model):
    some = model.adata["rna"].var_names[::4]
    query = md.MuData({"rna": model.adata["rna"][:50, some].copy()})
    query.obs["batch"] = model.adata.obs["batch"].to_numpy()[:50]
    given = {"library_size": "latent", "gene_list": some, "return_numpy": True}
    decoded = model.get_normalized_expression(query, **given).sum(1)
    np.testing.assert_allclose(decoded, query["rna"].X.sum(1).A1, rtol=1e-3)
    lower, upper = model.get_expression_interval(query, **given)
    assert (lower.sum(1) < decoded).all()
    assert (decoded < upper.sum(1)).all()


@pytest.mark.parametrize("method", ["differential_expression", "differential_accessibility"])
def test_groups_that_are_too_small_are_omitted(bmmc_cite, method, caplog):
    types = bmmc_cite.obs["cell_type"]
    sizes = types.value_counts()
    small = sorted(sizes.index[(sizes < 3) & (sizes > 0)])
    assert small
    MultiDGD.setup_mudata(bmmc_cite, batch_key="batch")
    model = MultiDGD(bmmc_cite, n_latent=5)
    model.train(max_epochs=2, **QUIET)
    compare = getattr(model, method)
    with caplog.at_level("WARNING", logger="scvi"):
        table = compare(groupby="cell_type", modality="prot", silent=True)
    warnings = [r for r in caplog.records if "too small" in r.getMessage()]
    assert len(warnings) == 1
    assert all(repr(name) in warnings[0].getMessage() for name in small)
    assert sorted(table.attrs["omitted_groups"]) == small
    assert set(table["group1"]) == set(sizes.index[sizes >= 3])
    named = [sizes.index[0]]
    expected = compare(groupby="cell_type", group1=named, modality="prot", silent=True)
    pd.testing.assert_frame_equal(table[table["group1"].isin(named)], expected, rtol=1e-4)
    with pytest.raises(ValueError, match=r"`group1` '.*' has [12] cells"):
        compare(groupby="cell_type", group1=small[0], modality="prot", silent=True)
    few = bmmc_cite.obs["cell_type"].isin(small)
    model.adata.obs["few"] = np.where(few, types.astype(str), None)
    with pytest.raises(ValueError, match="`groupby`: no group is large enough"):
        compare(groupby="few", modality="prot", silent=True)
