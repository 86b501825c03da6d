"""A model in random use, and a slow and simple oracle of its answers.

The oracle is a save of the model after its last successful training, loaded without data. It answers
for a fresh copy of the present data, so it depends neither on caches nor on registrations. Errors
are predicted from the counts of each cell at the last training and registration.
"""

import copy
import pickle
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scvi
import torch
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)
from lightning.pytorch.callbacks import Callback
from scipy import sparse
from tests.model.fitting import TRAIN
from tests.properties import edits
from tests.properties.objects import (
    COLUMNS,
    answers,
    assert_same,
    digests,
    fresh,
    training_data,
)

from multiDGD import MultiDGD

SEEDS = st.integers(0, 2**32 - 1)
HOOKS = [
    *("setup", "on_fit_start", "on_train_start", "on_train_epoch_start", "on_train_batch_start"),
    *("on_before_backward", "on_before_optimizer_step", "on_before_zero_grad"),
    *("on_train_batch_end", "on_train_epoch_end", "on_validation_start", "on_validation_end"),
    *("on_train_end", "on_fit_end", "teardown"),
]
STEPS = ["_initialise", "_infer_remaining", "_learn", "_learn_imputers", "_complete"]
ERRORS = [OSError, KeyboardInterrupt, MemoryError, SystemExit, RuntimeError]
#: Arguments that `train` refuses.
REFUSED = [
    {"max_epochs": 0},
    {"batch_size": -1},
    {"train_size": 2.0},
    {"start": "middle"},
    {"start": np.zeros((2, 2))},
    {"plan_kwargs": {"no_such": 1}},
    {"plan_kwargs": {"lr": -1.0}},
    {"resume_from": "/no/such/file.ckpt"},
    {"early_stopping_monitor": "no_such"},
    {"no_such": 1},
    {"devices": 2, "strategy": "ddp"},
    {"precision": "16-true"},
    {"datasplitter_kwargs": {"no_such": 1}},
]
FEATURES = list(training_data(2).var_names)


class Raise(Callback):
    """Raise an error in the given call of a hook."""

    def __init__(self, hook, error, call):
        self.error, self.left = error, call
        setattr(self, hook, self._raise)

    def _raise(self, *args, **kwargs):
        self.left -= 1
        if self.left < 0:
            raise self.error("stopped by the test")


def counts_by_cell(adata):
    """Counts of the model's features as bytes, by cell name; 0 for missing features."""
    x = adata.X.toarray() if sparse.issparse(adata.X) else np.asarray(adata.X)
    at = pd.Index(adata.var_names).get_indexer(FEATURES)
    table = np.where(at >= 0, x[:, at], 0).astype(np.float32)
    return {str(n): row.tobytes() for n, row in zip(adata.obs_names, table, strict=True)}


class ModelInUse(RuleBasedStateMachine):
    """Trainings, interruptions, changes of data, questions, saves and copies in random order."""

    saves = Bundle("saves")

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.root, self.n_files = Path(folder), 0
        self.oracle = None
        self.trained, self.accepted = {}, {}

    def teardown(self):
        shutil.rmtree(self.root, ignore_errors=True)

    def path(self):
        self.n_files += 1
        self.root.mkdir(exist_ok=True)
        return self.root / str(self.n_files)

    # The oracle.

    def remember(self):
        """Take the present state as the last successful one."""
        path = self.path()
        self.model.save(path)
        self.oracle = MultiDGD.load(path, adata=False, accelerator="cpu")
        self.trained = self.accepted = counts_by_cell(self.adata)
        self.n_epochs = len(self.model.history["train_loss"])

    def has_changed_training_cells(self):
        return any(
            name in self.accepted
            and self.accepted[name] != now
            and self.trained.get(name) == self.accepted[name]
            for name, now in counts_by_cell(self.adata).items()
        )

    def check(self, data=None):
        """Compare the answers about the model's own data, or about another object."""
        own = data is None
        data = self.adata if own else data
        before, state = digests(data), torch.random.get_rng_state()
        if self.oracle is None:
            with pytest.raises(RuntimeError, match="not trained"):
                answers(self.model, None if own else data)
        elif own and self.has_changed_training_cells():
            with pytest.raises(ValueError, match="after the model was trained on them"):
                answers(self.model, None)
        else:
            found = answers(self.model, None if own else data)
            assert_same(found, answers(self.oracle, fresh(data)))
        assert digests(data) == before
        assert torch.equal(torch.random.get_rng_state(), state)

    @invariant()
    def answers_follow_the_data(self):
        if not hasattr(self, "model"):
            return
        self.check()
        self.check(self.query)
        assert self.model.is_trained == (self.oracle is not None)
        if self.oracle is not None:
            assert len(self.model.history["train_loss"]) == self.n_epochs

    # Rules.

    @initialize(seed=SEEDS, is_trained=st.booleans())
    def start(self, seed, is_trained):
        scvi.settings.seed = seed
        self.adata, self.query = training_data(24), training_data(6, seed=7)
        self.query.obs_names = [f"q{i}" for i in range(6)]
        MultiDGD.setup_anndata(self.adata, **COLUMNS)
        self.model = MultiDGD(self.adata, n_latent=3)
        self.accepted = counts_by_cell(self.adata)
        if is_trained:
            self.train(seed, None)

    @rule(seed=SEEDS, start=st.sampled_from([None, "zero", "spectral"]))
    def train(self, seed, start):
        scvi.settings.seed = seed
        before = digests(self.adata)
        n_epochs = 0 if self.oracle is None else self.n_epochs
        self.model.train(**TRAIN, start=start)
        assert digests(self.adata) == before
        self.remember()
        assert self.n_epochs == n_epochs + TRAIN["max_epochs"]

    @rule(hook=st.sampled_from(HOOKS), error=st.sampled_from(ERRORS), call=st.integers(0, 3))
    def interrupt(self, hook, error, call):
        before = digests(self.adata)
        try:
            self.model.train(**TRAIN, start="zero", callbacks=[Raise(hook, error, call)])
        except error:
            pass
        else:
            self.remember()  # The hook was not called so many times.
        assert digests(self.adata) == before

    @rule(step=st.sampled_from(STEPS), error=st.sampled_from(ERRORS))
    def interrupt_between_steps(self, step, error):
        def stop(*args, **kwargs):
            raise error("stopped by the test")

        with pytest.MonkeyPatch.context() as patch, pytest.raises(error):
            patch.setattr(MultiDGD, step, stop)
            self.model.train(**TRAIN)

    @rule(arguments=st.sampled_from(REFUSED))
    def refuse(self, arguments):
        with pytest.raises((ValueError, TypeError)):
            self.model.train(**{**TRAIN, "start": "zero", **arguments})

    @rule(change=st.sampled_from(edits.VALID), seed=SEEDS)
    def change_own_data(self, change, seed):
        if self.adata.n_obs > 14 or change is not edits.fewer_cells:
            change(self.adata, np.random.default_rng(seed))

    @rule(change=st.sampled_from(edits.VALID), seed=SEEDS)
    def change_query(self, change, seed):
        change(self.query, np.random.default_rng(seed))

    @rule(
        change=st.sampled_from(list(edits.INVALID)),
        seed=SEEDS,
        at_query=st.booleans(),
        trains=st.booleans(),
    )
    def break_and_repair(self, change, seed, at_query, trains):
        data = self.query if at_query else self.adata
        good = fresh(data)
        change(data, np.random.default_rng(seed))
        if self.oracle is not None:
            with pytest.raises(ValueError):
                answers(self.model, self.query if at_query else None)
        if trains and not at_query:
            with pytest.raises(ValueError):
                self.model.train(**TRAIN)
        data.X, data.obs_names, data.var_names = good.X, good.obs_names, good.var_names
        for key in ("batch", "age"):
            data.obs[key] = good.obs[key].to_numpy()

    @precondition(lambda self: self.oracle is not None)
    @rule()
    def restore_counts(self):
        names = [str(n) for n in self.adata.obs_names]
        if set(names) <= set(self.accepted) and set(FEATURES) <= set(self.adata.var_names):
            x = np.stack([np.frombuffer(self.accepted[n], np.float32) for n in names])
            at = pd.Index(FEATURES).get_indexer(self.adata.var_names)
            if (at >= 0).all():
                self.adata.X = sparse.csr_matrix(x[:, at])

    @rule(seed=SEEDS)
    def another_query(self, seed):
        self.query = training_data(6, seed=seed % 1000)
        self.query.obs_names = [f"q{seed}_{i}" for i in range(6)]

    @precondition(lambda self: self.oracle is not None)
    @rule(target=saves, with_data=st.booleans())
    def save(self, with_data):
        path, before = self.path(), digests(self.adata)
        self.model.save(path, save_anndata=with_data)
        assert digests(self.adata) == before
        data = fresh(self.adata)
        return path, with_data, data, self.oracle, self.trained, self.n_epochs

    @rule(saved=saves, own=st.sampled_from(["saved", "present", "copy"]))
    def load(self, saved, own):
        path, with_data, data, oracle, trained, n_epochs = saved
        if own == "saved" and not with_data:
            own = "copy"
        given = {"saved": None, "present": self.adata, "copy": data.copy()}[own]
        self.model = MultiDGD.load(path, adata=given, accelerator="cpu")
        self.adata = self.model.adata
        self.oracle, self.trained, self.n_epochs = oracle, trained, n_epochs
        self.accepted = counts_by_cell(self.adata)
        if own != "present":
            assert_same(answers(self.model, None), answers(oracle, fresh(data)))

    @rule(how=st.sampled_from(["copy", "deepcopy", "pickle"]), use_copy=st.booleans(), seed=SEEDS)
    def copy_model(self, how, use_copy, seed):
        make = {
            "copy": copy.copy,
            "deepcopy": copy.deepcopy,
            "pickle": lambda m: pickle.loads(pickle.dumps(m)),
        }[how]
        other = make(self.model)
        if use_copy:
            self.model, self.adata = other, other.adata
            if how != "copy":
                self.accepted = counts_by_cell(self.adata)
        elif how != "copy":
            other.adata.X = other.adata.X * 2
            other.train(**TRAIN, start="zero")

    @rule(seed=st.integers(0, 99), epoch=st.integers(1, 3), change=st.none() | st.just(1))
    def resume(self, seed, epoch, change):
        """A training that is interrupted and resumed is equal to one that is not."""
        arguments = {**TRAIN, "max_epochs": 4, "checkpoint_dir": self.path()}
        twin = copy.deepcopy(self.model)
        scvi.settings.seed = seed
        twin.train(**{**arguments, "checkpoint_dir": None})
        scvi.settings.seed = seed
        stop = Raise("on_train_epoch_start", OSError, epoch)
        with pytest.raises(OSError):
            self.model.train(**arguments, callbacks=[stop])
        self.answers_follow_the_data()
        scvi.settings.seed = seed + 1
        again = {**arguments, "resume_from": arguments["checkpoint_dir"]}
        if change is not None:
            other = copy.deepcopy(self.model)
            other.adata.X = other.adata.X * 2
            with pytest.raises(ValueError, match="`resume_from`"):
                other.train(**again)
        self.model.train(**again)
        self.remember()
        found, expected = answers(self.model, None), answers(twin, None)
        for question, rows in expected.items():
            np.testing.assert_array_equal(found[question], rows, err_msg=question)

    @rule()
    def other_model_of_the_same_object(self):
        MultiDGD.setup_anndata(self.adata, batch_key="plate")
        MultiDGD(self.adata, n_latent=2)

    @precondition(lambda self: self.oracle is not None)
    @rule()
    def other_model_answers(self):
        """A second loaded model registers the same objects."""
        path = self.path()
        self.model.save(path)
        other = MultiDGD.load(path, adata=False, accelerator="cpu")
        other.get_latent_representation(self.query)
        other.get_latent_representation(self.adata)

    @precondition(lambda self: self.oracle is not None)
    @rule()
    def replace_own_data(self):
        """Assign a copy of the data to `model.adata`."""
        self.adata = fresh(self.adata)
        self.model.adata = self.adata
        self.accepted = counts_by_cell(self.adata)

    @precondition(lambda self: self.oracle is not None)
    @rule()
    def deregister(self):
        self.model.get_latent_representation(self.query)
        self.model.deregister_manager()

    @rule(gradients=st.booleans(), double=st.booleans(), size=st.sampled_from([1, 5, 128]))
    def ask_in_other_surroundings(self, gradients, double, size):
        before = scvi.settings.batch_size
        scvi.settings.batch_size = size
        torch.set_default_dtype(torch.float64 if double else torch.float32)
        try:
            with torch.set_grad_enabled(gradients):
                self.check()
                self.check(self.query)
        finally:
            scvi.settings.batch_size = before
            torch.set_default_dtype(torch.float32)
