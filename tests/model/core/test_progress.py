"""Progress bars of several threads."""

import sys
import threading
import time

import pytest

from multiDGD.model.core import _progress


def test_one_bar_is_made_at_a_time(monkeypatch):
    making, most = [], []

    def slow(sequence, description, **options):
        making.append(description)
        most.append(len(making))
        time.sleep(0.01)
        making.pop()
        return sequence

    monkeypatch.setattr(_progress, "scvi_track", slow)
    threads = [threading.Thread(target=_progress.track, args=([], "x")) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1] * 8


@pytest.mark.usefixtures("capsys")
def test_bars_of_threads():
    """scvi-tools closes the bars of other threads, which must be complete."""
    problems = []

    def work():
        try:
            for _ in range(200):
                assert list(_progress.track(range(3), "x")) == [0, 1, 2]
        except Exception as error:  # noqa: BLE001
            problems.append(repr(error))

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert not problems
