import pytest
import torch
from tests.toy import remove_counts, toy_mudata

from multiDGD import MultiDGD
from multiDGD.data import CellManager
from multiDGD.module import take_cells
from multiDGD.train import ResidentCells

CPU = torch.device("cpu")


def batches(data, size, **setup):
    MultiDGD.setup_mudata(data, **setup)
    manager = MultiDGD(data, n_latent=2).adata_manager
    assert isinstance(manager, CellManager)
    return list(manager.batches(batch_size=size))


def with_empty_cells():
    data = toy_mudata()
    remove_counts(data["atac"], [0, 5, 39])
    return data


@pytest.mark.parametrize("size", [7, 40])
@pytest.mark.parametrize("cells", [[3, 5, 39, 0], [0, 5], [17], list(range(40)), []])
@pytest.mark.filterwarnings("ignore:.*no counts")
def test_minibatches_equal_those_of_the_counts(size, cells):
    whole = batches(with_empty_cells(), 40, batch_key="batch", continuous_covariate_keys=["age"])
    (expected,) = whole
    index = torch.tensor(cells, dtype=torch.int64)
    parts = batches(with_empty_cells(), size, batch_key="batch", continuous_covariate_keys=["age"])
    found = ResidentCells(parts, CPU).take(index)
    expected = take_cells(expected, index)
    for name in ("cells", "labels", "covariates", "continuous"):
        assert torch.equal(found[name], expected[name])
    for modality, counts in found["counts"].items():
        assert torch.equal(counts.to_dense(), expected["counts"][modality].to_dense())
        assert torch.equal(counts.library, expected["counts"][modality].library)
        assert (counts.rows.diff() >= 0).all()
        assert counts.columns.dtype == counts.rows.dtype == torch.int64


@pytest.mark.filterwarnings("ignore:.*no counts")
def test_shapes_depend_on_the_number_of_cells_only():
    cells = ResidentCells(batches(with_empty_cells(), 40), CPU)
    for n in (1, 5, 40):
        shapes = {
            tuple(len(c.values) for c in cells.take(torch.randperm(40)[:n])["counts"].values())
            for _ in range(20)
        }
        assert len(shapes) == 1


@pytest.mark.parametrize("cells", [[38, 4, 20], [4, 38, 4]])
def test_some_cells_of_the_data(cells):
    """As in one of several processes, which may visit one of its cells twice."""
    (expected,) = batches(toy_mudata(), 40, batch_key="batch")
    own, index = torch.arange(0, 40, 2), torch.tensor(cells)
    found = ResidentCells([take_cells(expected, own)], CPU, own.numpy()).take(index)
    assert found["cells"].tolist() == cells
    for modality, counts in found["counts"].items():
        dense = expected["counts"][modality].to_dense()
        assert torch.equal(counts.to_dense(), dense[index])


@pytest.mark.filterwarnings("ignore:.*no counts")
def test_all_cells_and_the_largest_twice():
    (whole,) = batches(with_empty_cells(), 40)
    largest = int(whole["counts"]["rna"].rows.bincount().argmax())
    index = torch.tensor([*range(40), largest])
    found = ResidentCells([whole], CPU).take(index)["counts"]["rna"]
    assert torch.equal(found.to_dense(), whole["counts"]["rna"].to_dense()[index])


def test_unknown_codes_are_noted():
    known = batches(toy_mudata(), 40, batch_key="batch", labels_key="label")
    assert ResidentCells(known, CPU).take(torch.tensor([0]))["has_unknown"] == (False, False)
    some = [
        {**batch, "labels": batch["labels"].index_fill(0, torch.tensor([9]), -1)}
        for batch in known
    ]
    assert ResidentCells(some, CPU).take(torch.tensor([0]))["has_unknown"] == (True, False)
