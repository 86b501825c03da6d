"""Error messages for queries that do not fit the reference."""

import mudata as md
import pytest
from tests.model.fitting import fitted, load, renamed
from tests.model.queries.conftest import query_mudata
from tests.toy import toy_adata, toy_mudata

from multiDGD import MultiDGD


class TestErrors:
    def test_other_features(self, reference):
        query = query_mudata(reference.adata)
        query["rna"].var_names = [f"ENSMUSG{j}" for j in range(12)]
        message = (
            r"0 of the model's 12 features of modality 'rna' matched.*'rna0', 'rna1', 'rna2', .*"
            "'ENSMUSG0', 'ENSMUSG1', 'ENSMUSG2'"
        )
        for call in (
            lambda: reference.get_latent_representation(query),
            lambda: MultiDGD.load_query_data(query, reference),
            lambda: MultiDGD.prepare_query_mudata(query, reference),
        ):
            with pytest.raises(ValueError, match=message):
                call()

    def test_other_modalities(self, reference):
        query = query_mudata(reference.adata)
        query = md.MuData({"GEX": query["rna"].copy()})
        message = r"0 of the model's 27 features.*'rna' with 'rna0'.*'GEX' with 'rna0', 'rna1'"
        with pytest.raises(ValueError, match=message):
            reference.get_latent_representation(query)

    def test_other_features_of_one_adata(self):
        model = fitted(toy_adata())
        with pytest.raises(ValueError, match="0 of the model's 12.*'gene0'.*'Gene0', 'Gene1'"):
            model.get_latent_representation(toy_adata(prefix="Gene"))

    def test_new_categories_require_load_query_data(self, reference):
        query = query_mudata(reference.adata)
        query.obs["site"] = "w"
        with pytest.raises(ValueError, match=r"'w' of `obs\['site'\]`.*load_query_data"):
            reference.get_latent_representation(query)
        assert "_scvi_batch" not in query.obs

    def test_missing_columns(self, reference):
        query = query_mudata(reference.adata)
        del query.obs["site"]
        for call in (reference.get_latent_representation, lambda q: load(q, reference)):
            with pytest.raises(ValueError, match="`categorical_covariate_keys`: 'site'"):
                call(query)

    @pytest.mark.parametrize(
        ("arguments", "error", "message"),
        [
            ({"reference_model": None}, ValueError, "`reference_model` is required"),
            ({"reference_model": 3}, ValueError, "`reference_model`.*int"),
            ({"unfrozen": True}, ValueError, "`unfrozen`"),
            ({"freze": True}, TypeError, "freze"),
        ],
    )
    def test_arguments(self, reference, arguments, error, message):
        query = query_mudata(reference.adata)
        with pytest.raises(error, match=message):
            MultiDGD.load_query_data(query, **{"reference_model": reference, **arguments})

    @pytest.mark.parametrize("argument", ["max_epochs", "batch_size"])
    @pytest.mark.parametrize("value", [0, 2.5])
    def test_sizes_must_be_positive_integers(self, reference, argument, value):
        query_model = MultiDGD.load_query_data(query_mudata(reference.adata), reference)
        with pytest.raises(ValueError, match=f"`{argument}` must be an integer of at least 1"):
            query_model.train(**{argument: value})

    def test_no_cells(self):
        with pytest.raises(ValueError, match="`adata` has no cells"):
            fitted(toy_adata()).get_latent_representation(renamed(toy_adata()[:0].copy()))

    def test_duplicate_feature_names(self):
        query = toy_adata()
        query.var_names = ["gene0", "gene0", *query.var_names[2:]]
        for inplace in (True, False):
            with pytest.raises(ValueError, match="must be unique.*'gene0'"):
                MultiDGD.prepare_query_anndata(query, fitted(toy_adata()), inplace=inplace)

    def test_untrained_reference_and_query(self, reference):
        mdata = toy_mudata()
        MultiDGD.setup_mudata(mdata)
        with pytest.raises(ValueError, match="not trained"):
            MultiDGD.load_query_data(toy_mudata(), MultiDGD(mdata))
        query_model = MultiDGD.load_query_data(query_mudata(reference.adata), reference)
        with pytest.raises(RuntimeError, match="not trained"):
            query_model.get_latent_representation()

    def test_wrong_type_of_object(self, reference):
        with pytest.raises(ValueError, match="must be a MuData"):
            MultiDGD.load_query_data(toy_adata(), reference)
        with pytest.raises(ValueError, match=r"MuData\(\{'rna': adata\}\)"):
            MultiDGD.prepare_query_mudata(toy_adata(), reference)
