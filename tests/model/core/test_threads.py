"""Threads and forked processes that use one model at the same time."""

import multiprocessing
import sys
import threading

import numpy as np
import pytest
import torch
from tests.model.fitting import fitted, renamed_mudata
from tests.model.questions import QUESTIONS
from tests.toy import toy_mudata

#: Methods that take less than a tenth of a second for the cells of these tests.
FAST = [name for name in QUESTIONS if name not in ("differential", "perturbed", "elbo")]
N_THREADS = 8


@pytest.fixture(scope="module")
def model():
    return fitted(toy_mudata(60), batch_key="batch", labels_key="label")


@pytest.fixture
def frequent_switches():
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


def queries(model):
    """An object of other cells for each pair of threads."""
    found = []
    for seed in range(N_THREADS // 2):
        query = renamed_mudata(model.adata, f"new{seed}_")
        order = np.random.default_rng(seed).permutation(60)
        for part in query.mod.values():
            part.X = part.X[order].copy()
        found.append(query)
    return found


@pytest.mark.usefixtures("frequent_switches")
@pytest.mark.parametrize("n_calls", [12, pytest.param(500, marks=pytest.mark.slow)])
def test_threads_get_the_answers_of_serial_calls(model, n_calls):
    alone = [
        {name: np.asarray(QUESTIONS[name](model, query)) for name in FAST}
        for query in queries(model)
    ]
    shared = queries(model)
    problems = []

    def work(thread):
        rng = np.random.default_rng(thread)
        for _ in range(n_calls):
            name = FAST[rng.integers(len(FAST))]
            at = thread // 2 if rng.random() < 0.7 else rng.integers(len(shared))
            try:
                found = np.asarray(QUESTIONS[name](model, shared[at]))
                if not (found == alone[at][name]).all():
                    problems.append((name, "another answer"))
            except Exception as error:  # noqa: BLE001
                problems.append((name, repr(error)))

    threads = [threading.Thread(target=work, args=(k,)) for k in range(N_THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not problems, problems[:5]


def test_threads_map_their_own_copies(model):
    """Each thread registers an object at the same time as the others."""
    expected = [model.get_latent_representation(query) for query in queries(model)]
    for _ in range(5):
        fresh, found = queries(model), [None] * (N_THREADS // 2)

        def work(k, fresh=fresh, found=found):
            found[k] = model.get_latent_representation(fresh[k])

        threads = [threading.Thread(target=work, args=(k,)) for k in range(len(fresh))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        np.testing.assert_array_equal(found, expected)


def answer(model, query, queue):
    queue.put(model.get_latent_representation(query))


@pytest.mark.skipif(sys.platform != "linux", reason="forks")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_forked_process(model):
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    query = queries(model)[0]
    expected = model.get_latent_representation(query.copy())
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    process = context.Process(target=answer, args=(model, query, queue))
    process.start()
    np.testing.assert_array_equal(queue.get(timeout=60), expected)
    process.join()
    torch.set_num_threads(before)
