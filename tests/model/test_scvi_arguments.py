"""Arguments of scvi-tools' methods: accepted, or refused with the alternative."""

import numpy as np
import pandas as pd
import pytest
import scvi
from tests.model.fitting import fitted
from tests.toy import toy_adata, toy_mudata


@pytest.fixture(scope="module")
def model():
    scvi.settings.seed = 0
    return fitted(toy_mudata(names=("rna", "prot"), rate=4), batch_key="batch")


@pytest.mark.parametrize(
    ("method", "argument", "alternative"),
    [
        ("get_latent_representation", "mc_samples", "give_mean=False"),
        ("get_latent_representation", "dataloader", "`indices`"),
        ("get_latent_representation", "modality", "`adata`"),
        ("get_normalized_expression", "protein_list", "gene_list=1"),
        ("get_normalized_expression", "sample_protein_mixing", "get_protein_foreground"),
        ("get_normalized_expression", "use_z_mean", "`n_samples`"),
        ("get_reconstruction_error", "data_loader_kwargs", "`batch_size`"),
        ("get_likelihood_parameters", "dataloader", "`indices`"),
    ],
)
def test_the_alternative_is_named(model, method, argument, alternative):
    with pytest.raises(
        TypeError, match=rf"^{method}\(\) has no argument `{argument}`:.*"
    ) as error:
        getattr(model, method)(**{argument: 1})
    assert alternative in str(error.value)


def test_messages_name_no_mixin(model):
    methods = [
        name
        for name in dir(model)
        if name.startswith(("get_", "differential", "perturb", "impute", "predict"))
        and not name.endswith("_")
        and getattr(getattr(type(model), name), "__module__", "").startswith("multiDGD")
    ]
    assert len(methods) > 15
    for method in methods:
        with pytest.raises(TypeError, match=rf"{method}\(\)") as error:
            getattr(model, method)(unknown_argument=1)
        assert "Mixin" not in str(error.value)


def test_a_draw_instead_of_the_mean(model):
    mean, variance = model.get_latent_representation(return_dist=True)
    np.testing.assert_array_equal(model.get_latent_representation(give_mean=True), mean)
    drawn = model.get_latent_representation(give_mean=False)
    np.testing.assert_array_equal(model.get_latent_representation(give_mean=False), drawn)
    scaled = (drawn - mean) / np.sqrt(variance)
    assert 0.7 < scaled.std() < 1.3


class TestNormalizedExpression:
    def test_of_several_modalities(self, model):
        both = model.get_normalized_expression(modality=["prot", "rna"])
        assert list(both) == ["prot", "rna"]
        for m, table in both.items():
            pd.testing.assert_frame_equal(table, model.get_normalized_expression(modality=m))
        lists = model.get_normalized_expression(
            modality=("rna", "prot"), gene_list={"prot": ["prot3"]}
        )
        assert [x.shape[1] for x in lists.values()] == [12, 1]

    def test_of_all_modalities(self, model):
        found = model.get_normalized_expression()
        assert list(found) == ["rna", "prot"]
        for m, table in found.items():
            pd.testing.assert_frame_equal(table, model.get_normalized_expression(modality=m))
        some = model.get_normalized_expression(gene_list={"prot": ["prot3"], "rna": ["rna1"]})
        assert {m: list(t.columns) for m, t in some.items()} == {
            "prot": ["prot3"],
            "rna": ["rna1"],
        }

    def test_names_select_their_modality(self, model):
        found = model.get_normalized_expression(gene_list=["prot3", "prot1"])
        pd.testing.assert_frame_equal(
            found, model.get_normalized_expression(modality="prot", gene_list=["prot3", "prot1"])
        )

    def test_one_modality_is_a_table(self):
        one = fitted(toy_adata())
        assert one.get_normalized_expression().shape == (40, 12)

    def test_denoised_proteins_at_a_common_library(self, model):
        given = {"modality": "prot", "return_numpy": True}
        median = np.median(np.asarray(model.adata["prot"].X.sum(1))[model.train_indices])
        np.testing.assert_allclose(
            model.get_normalized_expression(library_size="median", **given),
            median * model.get_normalized_expression(**given),
            rtol=1e-5,
        )
        given["include_protein_background"] = False
        foreground = model.get_normalized_expression(**given)
        assert (foreground.sum(1) < 1).all()
        scaled = model.get_normalized_expression(scale_protein=True, **given)
        np.testing.assert_allclose(
            scaled, foreground / foreground.sum(1, keepdims=True), rtol=1e-4
        )
        one = model.get_normalized_expression(scale_protein=True, gene_list=["prot2"], **given)
        np.testing.assert_allclose(one[:, 0], scaled[:, 2], rtol=1e-5)

    def test_other_modalities_of_a_list_keep_their_values(self, model):
        found = model.get_normalized_expression(
            modality=["rna", "prot"], include_protein_background=False, scale_protein=True
        )
        pd.testing.assert_frame_equal(
            found["rna"], model.get_normalized_expression(modality="rna")
        )

    def test_cells_are_drawn(self, model):
        rna = {"modality": "rna"}
        drawn = model.get_normalized_expression(n_samples_overall=50, indices=range(10), **rna)
        assert len(drawn) == 50 and set(drawn.index) <= set(model.adata.obs_names[:10])
        whole = model.get_normalized_expression(**rna)
        np.testing.assert_allclose(drawn, whole.loc[drawn.index], rtol=1e-5)
        model.get_normalized_expression(n_samples_overall=3, weights="uniform", silent=True)

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"weights": "importance"}, "`weights` must be 'uniform' .*, found 'importance'"),
            ({"n_samples_overall": 0}, "`n_samples_overall`"),
            ({"modality": []}, "`modality` must name at least one"),
            ({"modality": ["rna", "atac"]}, "`modality` must be one of"),
            ({"modality": ["rna", "prot"], "gene_list": ["rna1"]}, "`gene_list` must map each"),
            (
                {"modality": "rna", "gene_list": {"prot": ["prot1"]}},
                "`gene_list` must map names of `modality`",
            ),
            ({"gene_list": {"atac": ["atac1"]}}, "`modality` must be one of"),
            ({"gene_list": ["rna1", "prot99", "prot3"]}, "1 of 3 .*no modality.*'prot99'"),
            ({"gene_list": ["rna1", "prot3"]}, "1 of 2 names exist in each of"),
            ({"gene_list": ["gene"]}, "`gene_list`: 1 of 1 features do not exist"),
            ({"gene_list": 5}, "`gene_list` must be a list of names, found int"),
            ({"out": "x.npy"}, "`out` is a file for one modality"),
            ({"modality": ["rna"], "out": "x.npy"}, "`out` is a file for one modality"),
            ({"modality": ["rna"], "scale_protein": True}, "no background component"),
        ],
    )
    def test_errors(self, model, arguments, message):
        with pytest.raises(ValueError, match=message):
            model.get_normalized_expression(**arguments)


def test_progress_bars(model, capsys):
    given = {"indices": range(30), "batch_size": 5}
    model.get_typicality(silent=True, **given)
    assert not capsys.readouterr().out
    model.get_typicality(**given)
    assert "Evaluating" in capsys.readouterr().out
    # Few minibatches take little time.
    model.get_typicality(indices=range(30), batch_size=10)
    assert not capsys.readouterr().out
