"""The published settings."""

from tests.toy import toy_mudata

from multiDGD import MultiDGD


def test_published_defaults_are_a_fresh_copy_and_run():
    preset = MultiDGD.published_defaults()
    preset["model"]["decoder_kwargs"]["n_units"] = 1
    preset = MultiDGD.published_defaults()
    assert preset["model"]["decoder_kwargs"]["n_units"] == 100
    mdata = toy_mudata()
    MultiDGD.setup_mudata(mdata, labels_key="label")
    model = MultiDGD(mdata, **preset["model"])
    model.train(**{**preset["train"], "max_epochs": 1}, enable_progress_bar=False)
    assert model.module.mixture.n_mix_comp == 3
