"""Error messages for invalid checkpoints and mismatched data."""

import os
import shutil

import mudata as md
import pandas as pd
import pytest
import torch
from tests.legacy.conftest import joint
from tests.toy import toy_mudata

from multiDGD import MultiDGD


class TestErrors:
    def test_missing_files(self, changed, cells, tmp_path):
        folder = changed()
        with pytest.raises(
            FileNotFoundError, match=r"File 'other_hyper.*does not exist.*found \['dgd"
        ):
            MultiDGD.load_legacy(folder, "other", adata=cells)
        (folder / "dgd.pt").unlink()
        with pytest.raises(
            FileNotFoundError, match=r"File 'dgd.pt' does not exist in .*dgd_hyperparameters"
        ):
            MultiDGD.load_legacy(folder, "dgd", adata=cells)

    def test_other_files(self, changed, cells, model):
        folder = changed()
        (folder / "dgd.pt").write_text("nothing")
        with pytest.raises(
            ValueError, match=r"dgd.pt is not a state dict of the first implementation"
        ):
            MultiDGD.load_legacy(folder, adata=cells)
        model.save(folder / "ours")
        shutil.copyfile(folder / "ours" / "model.pt", folder / "dgd.pt")
        with pytest.raises(ValueError, match=r"not a state dict .*`MultiDGD.load` loads models"):
            MultiDGD.load_legacy(folder, adata=cells)
        torch.save({"weight": torch.zeros(3)}, folder / "dgd.pt")
        with pytest.raises(ValueError, match=r"has no 'gmm.mean' and 'representation.z'"):
            MultiDGD.load_legacy(folder, adata=cells)

    def test_code_in_a_file_is_not_executed(self, changed, cells):
        folder = changed()
        witness = folder / "witness"
        evil = {"gmm.mean": _CreatesFolder(str(witness)), "representation.z": torch.zeros(1)}
        torch.save(evil, folder / "dgd.pt")
        with pytest.raises(ValueError, match="not a state dict"):
            MultiDGD.load_legacy(folder, adata=cells)
        assert not witness.exists()

    def test_hyperparameters(self, changed, cells):
        folder = changed(hyperparameters={"decoder_width": 2})
        with pytest.raises(ValueError, match="decoder_width 2 are not supported, only with 1"):
            MultiDGD.load_legacy(folder, adata=cells)
        folder = changed(hyperparameters={"correction_variable": ["covariate_a", "covariate_b"]})
        with pytest.raises(ValueError, match="has 2 covariates"):
            MultiDGD.load_legacy(folder, adata=cells)
        file = folder / "dgd_hyperparameters.json"
        file.write_text('{"modalities": ["GEX"]}')
        with pytest.raises(ValueError, match="json has no 'n_features_per_modality'"):
            MultiDGD.load_legacy(folder, adata=cells)
        for other in ({"modalities": ["GEX"]}, {"n_hidden_modality": None}):
            folder = changed(hyperparameters=other)
            with pytest.raises(ValueError, match="json is not a file of the first implementation"):
                MultiDGD.load_legacy(folder, adata=cells)
        file.write_text("[1]")
        with pytest.raises(
            ValueError, match="must contain a dictionary of hyperparameters, found list"
        ):
            MultiDGD.load_legacy(folder, adata=cells)
        file.write_text("{")
        with pytest.raises(ValueError, match="is not a JSON file"):
            MultiDGD.load_legacy(folder, adata=cells)

    def test_parameters(self, changed, cells):
        folder = changed({"decoder.attention": torch.zeros(1)})
        with pytest.raises(ValueError, match=r"contains 1 entries .* \['decoder.attention'\]"):
            MultiDGD.load_legacy(folder, adata=cells)
        folder = changed(without=["decoder.out_modules.1.fc.4.bias"])
        with pytest.raises(ValueError, match=r"decoder.heads.1.output.bias is missing"):
            MultiDGD.load_legacy(folder, adata=cells)
        folder = changed(hyperparameters={"n_units": 64})
        with pytest.raises(ValueError, match=r"has shape \(100, 22\), expected \(64, 22\)"):
            MultiDGD.load_legacy(folder, adata=cells)
        folder = changed(hyperparameters={"n_hidden": 1})
        with pytest.raises(ValueError, match=r"decoder.trunk.2.weight is unexpected"):
            MultiDGD.load_legacy(folder, adata=cells)
        folder = changed({"trained_status": torch.tensor([False])})
        with pytest.raises(ValueError, match="contains an untrained model"):
            MultiDGD.load_legacy(folder, adata=cells)

    def test_invalid_split_file(self, changed, cells):
        folder = changed()
        (folder / "_obs.csv").write_text("")
        with pytest.raises(ValueError, match=r"_obs.csv is not a table"):
            MultiDGD.load_legacy(folder, adata=cells)

    def test_no_data(self, folder):
        with pytest.raises(
            ValueError, match="`adata` must be the AnnData or MuData with the training cells"
        ):
            MultiDGD.load_legacy(folder, adata=None)

    def test_other_features(self, folder, cells):
        fewer = md.MuData({"rna": cells["rna"][:, :-1].copy(), "atac": cells["atac"].copy()})
        fewer.obs["batch"] = cells.obs["batch"]
        with pytest.raises(
            ValueError, match=r"600 features of 'GEX', but `adata` has 599 in 'rna'"
        ):
            MultiDGD.load_legacy(folder, adata=fewer)

    def test_other_modalities(self, folder, cells):
        lone = md.MuData({"rna": cells["rna"].copy()})
        lone.obs["batch"] = cells.obs["batch"]
        message = r"modalities \['GEX', 'ATAC'\], but `adata` has \['rna'\]"
        with pytest.raises(ValueError, match=message):
            MultiDGD.load_legacy(folder, adata=lone)
        flat = joint(cells, key="kind")
        with pytest.raises(ValueError, match=r"`adata.var` has no column with the modalities"):
            MultiDGD.load_legacy(folder, adata=flat)

    def test_other_cells(self, folder, changed, cells):
        toy = toy_mudata(30, (600, 600))
        with pytest.raises(
            ValueError, match=r"none of the 400 training .*AAACCAACATTAAGCT.*'cell0'"
        ):
            MultiDGD.load_legacy(folder, adata=toy)
        table = pd.read_csv(folder / "_obs.csv", index_col=0)
        with pytest.raises(ValueError, match=r"has 400 train cells, but 'train_val_test' has 390"):
            MultiDGD.load_legacy(changed(obs=table[10:]), adata=cells)
        with pytest.raises(ValueError, match=r"_obs.csv has no column 'train_val_test'"):
            folder = changed(obs=table.drop(columns="train_val_test"))
            MultiDGD.load_legacy(folder, adata=cells)

    def test_other_covariates(self, folder, cells):
        other = cells.copy()
        del other.obs["batch"]
        with pytest.raises(ValueError, match="neither 'batch' nor 'covariate_batch'"):
            MultiDGD.load_legacy(folder, adata=other)
        MultiDGD.setup_mudata(other)
        with pytest.raises(
            ValueError, match=r"covariates \['batch'\], but `adata` is set up with \[\]"
        ):
            MultiDGD.load_legacy(folder, adata=other)
        other = cells.copy()
        batch = other.obs["batch"].astype(str)
        batch.iloc[-3:] = "s4d9"
        other.obs["batch"] = batch
        with pytest.raises(ValueError, match=r"not trained on: \['s4d9'\]"):
            MultiDGD.load_legacy(folder, adata=other)
        other = cells[(cells.obs["batch"] == "s1d1").to_numpy()].copy()
        with pytest.raises(ValueError, match=r"2 categories of 'batch', .* have \['s1d1'\]"):
            MultiDGD.load_legacy(folder, adata=other)

    def test_covariate_with_one_category(self, changed, cells, state):
        parts = ("mean", "neglogvar", "weight")
        folder = changed({f"correction_gmm.{p}": state[f"correction_gmm.{p}"][:1] for p in parts})
        cells.obs["batch"] = "the one"
        with pytest.raises(ValueError, match="one category of 'batch'.* not supported"):
            MultiDGD.load_legacy(folder, adata=cells)


class _CreatesFolder:
    """Object that creates a folder when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (self.path,)
