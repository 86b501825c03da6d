import mudata as md
import numpy as np
import pandas as pd
import pytest
import scvi
from scipy.stats import spearmanr
from sklearn.metrics import roc_auc_score

from multiDGD import MultiDGD
from multiDGD.datasets import simulate_multiome

QUIET = {"enable_progress_bar": False, "accelerator": "cpu"}
FEW = {"n_controls": 10, "n_samples": 2, "n_cells": 60}


def trained(mdata, max_epochs=None, **kwargs):
    scvi.settings.seed = 0
    MultiDGD.setup_mudata(mdata, batch_key="batch")
    model = MultiDGD(mdata, **kwargs)
    model.train(max_epochs=max_epochs, **QUIET)
    return model


@pytest.fixture(scope="module")
def simulated():
    mdata = simulate_multiome(n_cells=600, n_genes=100, n_peaks=300)
    return mdata, trained(mdata, max_epochs=25)


def log_normalised(part):
    x = part.X.toarray()
    return np.log1p(1e4 * x / x.sum(1, keepdims=True))


def correlations(x, y):
    x, y = ((a - a.mean(0)) / a.std(0) for a in (x, y))
    return x.T @ y / len(x)


def test_simulated_links_have_high_ranks(simulated):
    mdata, model = simulated
    links = mdata.uns["truth"]["links"]
    peaks = mdata["atac"].var_names
    genes = mdata["rna"].var_names[::10]
    raw = correlations(log_normalised(mdata["rna"]), log_normalised(mdata["atac"]))
    imputed = correlations(
        *(model.get_normalized_expression(modality=m, return_numpy=True) for m in ("rna", "atac"))
    )
    scores = {"raw": [], "imputed": [], "association": [], "published": [], "shift": []}
    for gene in genes:
        linked = peaks.isin(links["peak"][links["gene"] == gene])
        at = mdata["rna"].var_names.get_loc(gene)
        scores["raw"].append(roc_auc_score(linked, raw[at]))
        scores["imputed"].append(roc_auc_score(linked, imputed[at]))
        for method, sign in (("association", 1), ("published", -1)):
            found = model.gene2peak(gene, method=method, n_controls=2)
            score = sign * found.iloc[:, 0].reindex(peaks)
            scores[method].append(roc_auc_score(linked, score))
    for gene in genes[::2]:
        linked = peaks.isin(links["peak"][links["gene"] == gene])
        change = model.perturb(gene, **FEW)
        change = change[change["modality"] == "atac"].reindex(peaks)
        scores["shift"].append(roc_auc_score(linked, -change["z_score"]))
    means = {name: np.mean(s) for name, s in scores.items()}
    assert means["association"] > 0.9
    assert means["association"] > max(means["raw"], means["imputed"]) + 0.01
    assert means["shift"] > 0.8
    assert means["published"] > 0.7


def test_linked_genes_have_high_ranks(simulated):
    mdata, model = simulated
    links = mdata.uns["truth"]["links"].iloc[::10]
    ranks = [
        model.peak2gene(peak, n_controls=5).index.get_loc(gene)
        for gene, peak in zip(links["gene"], links["peak"], strict=True)
    ]
    assert np.median(ranks) < 10  # of 100
    found = model.peak2gene(links["peak"].iloc[0], n_controls=5)
    assert found.loc[links["gene"].iloc[0], "distance"] == pytest.approx(
        links["distance"].iloc[0], abs=500
    )


def test_tables(simulated):
    mdata, model = simulated
    found = model.gene2peak("gene_3", n_controls=30)
    assert list(found) == ["association", "p_value", "chrom", "start", "end", "distance"]
    assert found["association"].abs().is_monotonic_decreasing
    assert found["p_value"].between(1 / 31, 1).all()
    other = found["chrom"].astype(str) != str(mdata["rna"].var.loc["gene_3", "chrom"])
    assert found["distance"].isna().equals(other)
    own = mdata["atac"].var.loc[found.index[0]]
    middle = (own["start"] + own["end"]) / 2 - mdata["rna"].var.loc["gene_3", "start"]
    assert found["distance"].iloc[0] == middle or np.isnan(found["distance"].iloc[0])
    again = model.gene2peak("gene_3", n_controls=30)
    pd.testing.assert_frame_equal(found, again)

    change = model.perturb(
        ["gene_3", "gene_5"], direction="overexpress", groupby="cell_type", **FEW
    )
    assert set(change["group"]) == set(mdata.obs["cell_type"].astype(str))
    assert change["modality"].value_counts().tolist() == [
        300 * change["group"].nunique(),
        100 * change["group"].nunique(),
    ]
    selected = change.loc[["gene_3", "gene_5"]]
    assert selected["lfc"].between(0.7, 1.1).all()
    # Two draws may be equal by chance, as numbers of single precision.
    assert (change["lfc_sd"] > 0).mean() > 0.99
    assert set(change["perturbation"]) == {"gene_3, gene_5 overexpression"}
    change = model.perturb("gene_3", **FEW)
    assert change.loc["gene_3", "p_value"] == 1 / 11
    assert set(change["perturbation"]) == {"gene_3 knock-down"}
    change = model.perturb([f"gene_{i}" for i in range(4)], fold=0.25, **FEW)
    assert set(change["perturbation"]) == {"4 features × 0.25"}


def test_folds(simulated):
    _, model = simulated
    lfc = {
        fold: model.perturb("gene_3", direction=direction, fold=fold, **FEW).loc["gene_3", "lfc"]
        for direction, fold in (("knock-down", 0.5), ("knock-down", 0.8), ("overexpress", 4.0))
    }
    for fold, found in lfc.items():
        assert found == pytest.approx(np.log2(fold), rel=0.15)


def test_missing_genes_increase_uncertainty():
    """With few uninformative genes in the query, posterior draws vary more than with all genes."""
    mdata = simulate_multiome(n_cells=300, n_genes=60, n_peaks=60)
    MultiDGD.setup_mudata(mdata, batch_key="batch")
    model = MultiDGD(mdata, n_latent=5)
    model.train(max_epochs=20, **QUIET)
    cells = mdata["rna"][:60]
    shares = model.get_normalized_expression(modality="rna", indices=range(60))
    few = np.log(shares).std().nsmallest(5).index
    sds = []
    for part in (cells[:, few].copy(), cells.copy()):
        query = md.MuData({"rna": part})
        query.obs["batch"] = mdata.obs["batch"].to_numpy()[:60]
        table = model.perturb("gene_3", adata=query, n_controls=2, n_samples=20)
        sds.append(table["lfc_sd"].median())
    assert sds[0] > 1.2 * sds[1]


def test_associations_of_real_genes_agree_between_donors(bmmc_multiome):
    """Correlations between models of single donors are higher for the same gene than for others.

    They are 0.21 (links) and 0.25 (perturbation) for the same gene, 0.05 and 0.15 for others.
    """
    donors = [
        trained(bmmc_multiome[bmmc_multiome.obs["batch"] == b].copy(), n_latent=20)
        for b in bmmc_multiome.obs["batch"].unique()
    ]
    x = bmmc_multiome["rna"].X.toarray()
    genes = bmmc_multiome["rna"].var_names[np.argsort(x.mean(0) - x.var(0))[:10]]

    def agreement(method):
        one, two = ([method(model, gene).sort_index() for gene in genes] for model in donors)
        table = spearmanr(np.stack([*one, *two], axis=1))[0][: len(one), len(one) :]
        same = np.eye(len(one), dtype=bool)
        return table[same].mean() - table[~same].mean()

    assert agreement(lambda m, g: m.gene2peak(g, n_controls=2)["association"]) > 0.1
    assert (
        agreement(lambda m, g: m.perturb(g, n_controls=2, n_samples=2, n_cells=60)["lfc"]) > 0.06
    )


def test_positions_in_names(bmmc_multiome):
    bmmc_multiome = bmmc_multiome[:100].copy()
    MultiDGD.setup_mudata(bmmc_multiome)
    model = MultiDGD(bmmc_multiome, n_latent=4)
    model.train(max_epochs=1, **QUIET)
    gene = bmmc_multiome["rna"].var_names[0]
    assert "distance" not in model.gene2peak(gene, n_controls=5)
    table = pd.DataFrame({"chrom": ["chr1"], "start": [1000], "end": [2000]}, index=[gene])
    found = model.gene2peak(gene, n_controls=5, positions=table)
    peak = found.index[found["distance"].notna()][0]
    _, start, end = peak.split("-")
    assert found.loc[peak, "distance"] == (int(start) + int(end)) / 2 - 1000
    with pytest.raises(ValueError, match=r"`positions` must have.*found \['chrom', 'start'\]"):
        model.gene2peak(gene, positions=table[["chrom", "start"]])


def test_errors(simulated):
    _, model = simulated
    wrong = [
        (lambda: model.gene2peak("gene_x"), "gene_x.*Nearest"),
        (lambda: model.gene2peak("gene_3", method="magic"), "`method`"),
        (lambda: model.gene2peak("gene_3", peak_modality="prot"), "`modality`.*prot"),
        (lambda: model.gene2peak("gene_3", n_controls=0), "`n_controls`"),
        (lambda: model.gene2peak("gene_3", n_cells=0), "`n_cells`"),
        (lambda: model.gene2peak("gene_3", indices=[]), "`indices`.*at least one cell"),
        (lambda: model.perturb("gene_x"), "gene_x.*Nearest"),
        (lambda: model.perturb([]), "at least one"),
        (lambda: model.perturb("gene_3", direction="up"), "`direction`.*knock-out"),
        (lambda: model.perturb("gene_3", fold=2.0), "`fold`.*knock-down"),
        (lambda: model.perturb("gene_3", fold=-1.0), "`fold`"),
        (lambda: model.perturb("gene_3", groupby="nothing"), "`groupby`.*nothing"),
        (lambda: model.perturb("gene_3", n_samples=1), "`n_samples`"),
        (lambda: model.perturb("gene_3", n_controls=2.5), "`n_controls`"),
        (
            lambda: model.perturb([f"gene_{i}" for i in range(99)]),
            "`features` must leave .* modality 'rna'.*found 1",
        ),
    ]
    for call, message in wrong:
        with pytest.raises(ValueError, match=message):
            call()


@pytest.mark.parametrize(
    ("features", "message"),
    [
        (
            {"gene_3": 0},
            r"`features` .* \{'gene_3': 0\}.*perturb\('gene_3', direction='knock-out'",
        ),
        ({"gene_3"}, "`features` must be a list of names, found set"),
        (pd.DataFrame({"gene_3": [0]}), "`features` must be a list of names, found DataFrame"),
        ([["gene_3"]], "`features` must be a list of names, found list"),
        ([3], "`features` must be a list of names"),
        (3, "`features` must be a list of names, found int 3"),
        (None, "`features` must be a name or a list of names, found None"),
    ],
)
def test_other_shapes_of_features_are_refused(simulated, features, message):
    _, model = simulated
    with pytest.raises(ValueError, match=message):
        model.perturb(features)


def test_arrays_of_names_are_lists(simulated):
    _, model = simulated
    few = {"n_controls": 2, "n_samples": 2, "n_cells": 5}
    expected = model.perturb(["gene_3", "gene_5"], **few)
    for features in (np.array(["gene_3", "gene_5"]), pd.Index(["gene_3", "gene_5"])):
        pd.testing.assert_frame_equal(model.perturb(features, **few), expected)


def test_baselines_are_beside_the_answer(simulated):
    mdata, model = simulated
    few = {"n_controls": 3, "n_samples": 2, "n_cells": 200}
    plain = model.perturb("gene_3", **few)
    found = model.perturb("gene_3", baselines=True, **few)
    pd.testing.assert_frame_equal(found[plain.columns], plain)
    assert found.columns[len(plain.columns) :].tolist() == ["lfc_additive", "lfc_linear"]
    for column in ("lfc_additive", "lfc_linear"):
        assert found.loc["gene_3", column] == pytest.approx(-1, abs=1e-3)
    links = mdata.uns["truth"]["links"]
    peak = links["peak"][links["gene"] == "gene_3"].iloc[0]
    assert (found.loc[peak, ["lfc_additive", "lfc_linear"]] < 0).all()
