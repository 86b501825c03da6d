"""Processes that end in the middle of a save."""

import os
import resource
import signal
import threading
import time
import warnings

CHANGES = ("mkdir", "rename", "replace", "fsync", "unlink", "rmdir")


def fork(work):
    """Do some work in another process; return its exit status, 0 after success."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12: several threads
        pid = os.fork()
    if not pid:
        status = 1
        try:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
            work()
            status = 0
        finally:
            os._exit(status)
    return pid


def wait(pid):
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def crash_at(call, save):
    """Save, and end the process before the given change of the file system (from 1).

    Returns whether the save ended before.
    """
    left = call

    def counted(function):
        def wrapper(*args, **kwargs):
            nonlocal left
            left -= 1
            if not left:
                os._exit(9)
            return function(*args, **kwargs)

        return wrapper

    def work():
        for name in CHANGES:
            setattr(os, name, counted(getattr(os, name)))
        save()

    return wait(fork(work)) == 0


def kill_after(seconds, save):
    """Save, and kill the process after some time; return whether the save ended before."""
    pid = fork(save)
    timer = threading.Timer(seconds, os.kill, (pid, signal.SIGKILL))
    timer.start()
    status = wait(pid)
    timer.cancel()
    return status == 0


def with_limit(n_bytes, save):
    """Save in a process whose files cannot be larger; return whether the save succeeded."""

    def work():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, n_bytes))
        save()

    return wait(fork(work)) == 0


def duration(save):
    """Seconds of a save in another process."""
    start = time.perf_counter()
    assert wait(fork(save)) == 0
    return time.perf_counter() - start
