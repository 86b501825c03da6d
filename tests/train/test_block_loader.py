"""Order and minibatches of cells on disk."""

import anndata as ad
import numpy as np
import pytest
from tests.model.fitting import fitted
from tests.toy import toy_adata

from multiDGD import MultiDGD
from multiDGD.data import ModalityReader
from multiDGD.train import BlockLoader, BlockOrder, CellSplitter, EpochOrder


def order(n=50, seed=0, epoch=0, block_size=4, n_blocks=3):
    return list(BlockOrder(n, seed, lambda: epoch, block_size, n_blocks))


@pytest.fixture
def backed(tmp_path):
    toy_adata().write_h5ad(tmp_path / "x.h5ad")
    adata = ad.read_h5ad(tmp_path / "x.h5ad", backed="r")
    yield adata
    adata.file.close()


class TestOrder:
    def test_each_cell_once(self):
        np.testing.assert_array_equal(np.sort(np.concatenate(order())), np.arange(50))

    def test_depends_on_seed_and_epoch_only(self):
        first = np.concatenate(order(seed=3, epoch=2))
        np.random.default_rng().random()
        np.testing.assert_array_equal(first, np.concatenate(order(seed=3, epoch=2)))
        for other in (order(seed=4, epoch=2), order(seed=3, epoch=3)):
            assert (first != np.concatenate(other)).any()

    def test_a_buffer_mixes_a_few_whole_blocks(self):
        for buffer in order(n=48):
            blocks, n = np.unique(buffer // 4, return_counts=True)
            assert len(blocks) <= 3
            assert (n == 4).all()
            assert np.ptp(blocks) >= len(blocks) - 1
        firsts = [buffer[:4] // 4 for buffer in order(n=48)]
        assert max(len(np.unique(first)) for first in firsts) > 1

    def test_blocks_of_a_buffer_are_not_neighbours(self):
        spans = [np.ptp(np.unique(buffer // 4)) for buffer in order(n=400, n_blocks=5)]
        assert np.mean(spans) > 30

    def test_one_buffer_is_the_order_in_memory(self):
        (buffer,) = order(n=12)
        assert buffer.tolist() == list(EpochOrder(12, 0, lambda: 0))


class TestLoader:
    @pytest.mark.parametrize("drop_last", [False, True])
    def test_minibatches_have_the_cells_of_the_order(self, backed, drop_last):
        MultiDGD.setup_anndata(backed, batch_key="batch")
        manager = MultiDGD._get_most_recent_anndata_manager(backed, required=True)
        cells = np.arange(1, backed.n_obs, 2)
        dataset = manager.create_torch_dataset(cells)
        blocks = BlockOrder(len(cells), 0, lambda: 0, 4, 2)
        loader = BlockLoader(dataset, blocks, 7, drop_last)
        found = list(loader)
        assert len(found) == len(loader)
        sizes = [len(batch["cells"]) for batch in found]
        assert set(sizes[:-1]) == {7}
        assert sizes[-1] == 7 if drop_last else sum(sizes) == len(cells)
        expected = cells[np.concatenate(list(blocks))][: sum(sizes)]
        x = toy_adata(dense=True).X
        at = np.concatenate([batch["cells"] for batch in found])
        np.testing.assert_array_equal(at, expected)
        rows = np.concatenate([batch["counts"]["counts"].to_dense() for batch in found])
        np.testing.assert_array_equal(rows, x[expected])

    def test_each_buffer_is_read_once(self, backed, monkeypatch):
        MultiDGD.setup_anndata(backed, batch_key="batch")
        manager = MultiDGD._get_most_recent_anndata_manager(backed, required=True)
        read, fetch = [], ModalityReader.fetch
        dataset = manager.create_torch_dataset()
        monkeypatch.setattr(
            ModalityReader, "fetch", lambda r, cells: read.append(cells) or fetch(r, cells)
        )
        blocks = BlockOrder(len(dataset), 0, lambda: 0, 4, 2)
        list(BlockLoader(dataset, blocks, 3))
        assert len(read) == len(list(blocks))
        assert all((np.diff(cells) > 0).all() for cells in read)


def test_training_on_disk_reads_blocks_and_can_be_repeated(backed, monkeypatch):
    made, init = [], BlockLoader.__init__
    monkeypatch.setattr(
        BlockLoader, "__init__", lambda self, *args: made.append(args[1]) or init(self, *args)
    )
    blocks = {"datasplitter_kwargs": {"block_size": 4, "n_blocks": 2}}
    z = [fitted(backed, train=blocks).get_latent_representation() for _ in range(2)]
    np.testing.assert_array_equal(*z)
    assert {(o.block_size, o.n_blocks) for o in made} == {(4, 2)}
    fitted(toy_adata(), train=blocks)
    assert len(made) == 2


@pytest.mark.parametrize("argument", ["block_size", "n_blocks"])
def test_invalid_sizes_raise(argument):
    adata = toy_adata()
    MultiDGD.setup_anndata(adata)
    manager = MultiDGD._get_most_recent_anndata_manager(adata, required=True)
    with pytest.raises(ValueError, match=f"`{argument}` must be an integer of at least 1"):
        CellSplitter(manager, **{argument: 0})
