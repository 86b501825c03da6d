"""``multidgd de``."""

import anndata as ad
import mudata as md
import numpy as np
import pandas as pd
import pytest

from multiDGD import MultiDGD


@pytest.fixture(scope="module")
def cells(trained_cells) -> md.MuData:
    data = md.read_h5mu(trained_cells)
    data.obs["cluster"] = np.arange(data.n_obs) % 2
    data.obs["state"] = np.where(np.arange(data.n_obs) < 2, "rare", data.obs["cell_type"])
    data.obs["donor"] = [f"donor_{i % 6}" for i in range(data.n_obs)]
    return data


@pytest.fixture
def compared(run, fitted, cells, tmp_path):
    """Run a comparison; return its table and standard output, and check which groups it skips."""
    cells.write(tmp_path / "cells.h5mu")

    def call(*argv, skipped=None):
        code, out, err = run("de", fitted, tmp_path / "cells.h5mu", *argv, "--out", tmp_path)
        assert code == 0
        assert "Reading" in err
        assert "Comparing" not in out
        has_default = not {"--modality", "--accessibility"} & set(argv)
        assert ("Using modality rna;" in err) == has_default
        message = f"1 group is too small and is omitted: {skipped!r}"
        assert (message in err) if skipped else ("omitted" not in err)
        path = tmp_path / "differential.tsv"
        assert out.splitlines()[-1] == f"table: {path}"
        return pd.read_csv(path, sep="\t", index_col="feature"), out.splitlines()[:-1]

    return call


@pytest.fixture
def expected(fitted, cells):
    model = MultiDGD.load(str(fitted / "model"), adata=False)

    def call(method="differential_expression", **arguments):
        return getattr(model, method)(cells, silent=True, **arguments)

    return call


def check(found: pd.DataFrame, expected: pd.DataFrame) -> None:
    pd.testing.assert_frame_equal(
        found, expected.rename_axis("feature"), check_dtype=False, rtol=1e-4, atol=1e-5
    )


def test_all_groups(compared, expected):
    found, lines = compared("--groupby", "cell_type")
    table = expected(groupby="cell_type")
    check(found, table)
    assert len(lines) == 3
    for line, (comparison, part) in zip(
        lines, table.groupby("comparison", sort=False), strict=True
    ):
        marked = part[part["is_de_fdr_0.05"]]
        assert len(marked) > 0
        n_higher = (marked["lfc_mean"] > 0).sum()
        assert line == (
            f"{comparison}: {len(marked)} of 30 features differ at a false discovery rate of 0.05, "
            f"{n_higher} higher and {len(marked) - n_higher} lower"
        )


def test_every_option(compared, expected):
    found, lines = compared(
        "--groupby", "cell_type", "--group1", "type_0", "type_2", "--group2", "type_1",
        "--modality", "atac", "--delta", 0.5, "--fdr", 0.2, "--batch-correction",
        "--sample-key", "donor",
    )  # fmt: skip
    table = expected(
        groupby="cell_type",
        group1=["type_0", "type_2"],
        group2="type_1",
        modality="atac",
        delta=0.5,
        fdr_target=0.2,
        batch_correction=True,
        sample_key="donor",
    )
    check(found, table)
    assert "is_de_fdr_0.2" in found
    assert [line.split(":")[0] for line in lines] == ["type_0 vs type_1", "type_2 vs type_1"]


def test_vanilla_mode(compared, expected):
    found, lines = compared("--groupby", "cell_type", "--group1", "type_1", "--mode", "vanilla")
    table = expected(groupby="cell_type", group1="type_1", mode="vanilla")
    check(found, table)
    # The most certain features whose mean probability of a wrong sign is at most 0.05.
    means = np.cumsum(np.sort(table["lfdr"])) / np.arange(1, len(table) + 1)
    n_found = (means <= 0.05).sum()
    n_higher = (table["proba_m1"][:n_found] > 0.5).sum()
    assert f": {n_found} of 30" in lines[0]
    assert f" {n_higher} higher" in lines[0]


def test_accessibility(compared, expected):
    found, lines = compared("--groupby", "cell_type", "--accessibility")
    table = expected("differential_accessibility", groupby="cell_type")
    check(found, table)
    assert "est_prob1" in found
    assert " of 60 features" in lines[0]


def test_numeric_groups(compared, expected):
    found, lines = compared("--groupby", "cluster", "--group1", 1, "--group2", 0)
    check(found, expected(groupby="cluster", group1=1, group2=0))
    assert lines[0].startswith("1 vs 0: ")


def test_small_groups(compared, expected, fails, fitted, tmp_path):
    found, lines = compared("--groupby", "state", skipped="rare")
    check(found, expected(groupby="state", group1=["type_0", "type_1", "type_2"]))
    found, lines = compared("--groupby", "state", "--group2", "type_0", skipped="rare")
    assert [line.split(":")[0] for line in lines] == ["type_1 vs type_0", "type_2 vs type_0"]
    argv = ["--groupby", "state", "--group1", "rare", "--out", tmp_path]
    assert "'rare' has 2 cells" in fails("de", fitted, tmp_path / "cells.h5mu", *argv)


@pytest.mark.parametrize(
    ("argv", "messages"),
    [
        (["--groupby", "cell_typ"], ["'cell_typ' is not a column of `obs`", "'cell_type'"]),
        (["--groupby", "cell_type", "--group1", "type_9"], ["--group1: 'type_9'", "'type_0'"]),
        (["--groupby", "cell_type", "--group2", "B"], ["--group2: 'B'", "Nearest names"]),
        (
            ["--groupby", "cell_type", "--modality", "prot"],
            ["--modality must be", "'atac', found 'prot'"],
        ),
        (["--groupby", "cell_type", "--fdr", "2"], ["--fdr must", "2.0"]),
        (["--groupby", "cell_type", "--delta", "-1"], ["--delta must", "-1.0"]),
        (["--groupby", "cell_type", "--sample-key", "animal"], ["--sample-key: 'animal'"]),
    ],
)
def test_invalid_options(fails, fitted, trained_cells, tmp_path, argv, messages):
    line = fails("de", fitted, trained_cells, *argv, "--out", tmp_path)
    for message in messages:
        assert message in line
    assert not (tmp_path / "differential.tsv").exists()


def test_batch_correction_without_a_batch(fails, fitted_h5ad, tmp_path):
    data = ad.read_h5ad(fitted_h5ad / "rna.h5ad")
    data.obs["half"] = np.arange(data.n_obs) % 2
    data.write_h5ad(tmp_path / "rna.h5ad")
    argv = ["--groupby", "half", "--batch-correction", "--out", tmp_path]
    assert "needs a `batch_key`" in fails("de", fitted_h5ad, tmp_path / "rna.h5ad", *argv)


def test_reference_and_order(compared, expected):
    group = ("--groupby", "cell_type", "--group1", "type_0")
    arguments = {"groupby": "cell_type", "group1": "type_0"}
    for reference in ("share", ["gene_1", "gene_2"]):
        given = [reference] if isinstance(reference, str) else reference
        found, _ = compared(*group, "--reference", *given, "--order-by", "bayes_factor")
        check(found, expected(**arguments, reference=reference, order_by="bayes_factor"))
