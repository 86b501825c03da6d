"""Messages of other libraries: those without use are hidden, all others stay."""

import logging
import warnings

import pytest

from multiDGD import MultiDGD
from multiDGD._quiet import quiet_training
from tests.model.fitting import TRAIN, fitted
from tests.toy import toy_mudata

LIGHTNING = "lightning.pytorch.utilities.rank_zero"


@pytest.fixture
def model():
    MultiDGD.setup_mudata(mdata := toy_mudata(), batch_key="batch")
    return MultiDGD(mdata, n_latent=3)


def test_training_shows_progress_and_devices_only(model, capsys, caplog):
    caplog.set_level(logging.INFO)
    before = list(warnings.filters)
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        model.train(**{**TRAIN, "enable_progress_bar": True})
    assert not [w for w in warned if "LeafSpec" in str(w.message)]
    lightning = [r.getMessage() for r in caplog.records if r.name.startswith("lightning")]
    assert all("GPU available" in message for message in lightning)
    shown = "".join(capsys.readouterr())
    assert "v_num" not in shown
    assert "train_loss" in shown
    assert list(warnings.filters) == before


def test_other_messages_stay(caplog):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with quiet_training():
            logging.getLogger(LIGHTNING).warning("The loss is not finite.")
            with pytest.raises(FutureWarning):
                warnings.warn("will change", FutureWarning, stacklevel=1)
        with pytest.raises(FutureWarning):
            warnings.warn(
                "`isinstance(treespec, LeafSpec)` is deprecated", FutureWarning, stacklevel=1
            )
    logging.getLogger(LIGHTNING).warning("💡 Tip: after the training")
    assert [r.getMessage()[:5] for r in caplog.records] == ["The l", "💡 Tip"]


def test_filters_of_the_user_stay():
    message = r"`isinstance\(treespec, LeafSpec\)` is deprecated"
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message)
        before = list(warnings.filters)
        with quiet_training():
            warnings.filterwarnings("ignore", "added meanwhile")
        assert list(warnings.filters)[1:] == before


def test_saving_shows_no_announcement_of_mudata(model, tmp_path):
    query, reference = toy_mudata(), fitted(toy_mudata())
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        model.save(tmp_path / "saved", save_anndata=True)
        MultiDGD.prepare_query_mudata(query, reference)
    assert not [w for w in warned if "From 0.4" in str(w.message)]
