"""Processes that a training starts itself."""

from __future__ import annotations

import logging
import os
import pickle
import signal
import socket
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.multiprocessing as mp
from scvi import settings
from threadpoolctl import threadpool_limits

from multiDGD.data import logger

_LOGGERS = ("lightning", "lightning.pytorch", "lightning.fabric", logger.name)
_SETTINGS = ("batch_size", "dl_num_workers", "dl_persistent_workers", "logging_dir")


def launch(function: Callable[[Any], Any], argument: Any, n_processes: int, method: str) -> Any:
    """Call a function in several new processes, and return the result of the first.

    Each process has its number in the environment variable ``LOCAL_RANK``. New processes share the
    threads of the calling one; forked ones have one thread each. If a process fails, all are ended.

    Parameters
    ----------
    function
        Function of a module that can be imported.
    argument
        Its argument. ``"spawn"`` copies it by pickling.
    n_processes
        Number of processes.
    method
        ``"spawn"`` or ``"fork"``.

    Raises
    ------
    Exception
        The first exception of a process.
    RuntimeError
        If a process was killed, or the argument cannot be pickled.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if method == "spawn":
            _send(folder / "argument", argument)
        given = (
            folder,
            function,
            None if method == "spawn" else argument,
            {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(_free_port()), "NODE_RANK": "0"},
            _settings(n_processes),
        )
        with warnings.catch_warnings():
            # Python warns of the threads of a process that is forked; forks do not use them.
            warnings.filterwarnings("ignore", ".*fork", DeprecationWarning)
            context = mp.start_processes(
                _run, args=given, nprocs=n_processes, join=False, start_method=method
            )
        try:
            while not context.join():
                pass
        except (mp.ProcessRaisedException, mp.ProcessExitedException) as error:
            raise _cause(folder, context.processes, error) from error
        finally:
            for process in context.processes:
                if process.is_alive():
                    process.kill()
        return pickle.loads((folder / "result").read_bytes())


def _send(path: Path, argument: Any) -> None:
    try:
        with path.open("wb") as file:
            # A pickle of torch.multiprocessing would share the parameters between the processes.
            pickle.dump(argument, file, protocol=pickle.HIGHEST_PROTOCOL)
    except (TypeError, AttributeError, pickle.PicklingError) as error:
        raise RuntimeError(
            f"`devices`: the data or arguments cannot be copied to new processes ({error}). Pass "
            '`strategy="fork"`, or start the processes by torchrun.'
        ) from error


def _run(
    rank: int,
    folder: Path,
    function: Callable[[Any], Any],
    argument: Any,
    environment: dict[str, str],
    known: dict[str, Any],
) -> None:
    """Call the function in a new process."""
    os.environ.update(environment, LOCAL_RANK=str(rank))
    try:
        if argument is not None:
            # The threads of the calling process do not exist in a fork, which would wait for them.
            threadpool_limits(1)
            torch.set_num_threads(1)
        else:
            _restore(known)
            argument = pickle.loads((folder / "argument").read_bytes())
        result = function(argument)
    except Exception as error:
        _store(folder / f"error{rank}", error)
        raise
    if rank == 0:
        _store(folder / "result", result)


def _store(path: Path, value: Any) -> None:
    try:
        stored = pickle.dumps(value)
    except Exception:
        if not isinstance(value, Exception):
            raise
        stored = pickle.dumps(RuntimeError(str(value)))
    path.write_bytes(stored)


def _cause(folder: Path, processes: list[Any], error: Exception) -> Exception:
    """Error to raise if a process has failed, which makes the others fail too."""
    ended = {rank: -(process.exitcode or 0) for rank, process in enumerate(processes)}
    ended = {rank: n for rank, n in ended.items() if n > 0 and n != signal.SIGTERM}
    for rank, number in ended.items():
        return RuntimeError(
            f"Process {rank} of the training was ended by {signal.Signals(number).name}. The "
            "operating system does this if the memory is exhausted. The model is the same as before; "
            "pass `resume_from` to continue from a checkpoint."
        )
    stored = sorted(folder.glob("error*"), key=lambda path: path.stat().st_mtime_ns)
    return pickle.loads(stored[0].read_bytes()) if stored else RuntimeError(str(error))


def _settings(n_processes: int) -> dict[str, Any]:
    """Settings that new processes do not inherit."""
    return {
        "threads": max(1, torch.get_num_threads() // n_processes),
        "seed": settings.seed,
        "verbosity": settings.verbosity,
        "levels": {name: logging.getLogger(name).level for name in _LOGGERS},
        **{name: getattr(settings, name) for name in _SETTINGS},
    }


def _restore(known: dict[str, Any]) -> None:
    torch.set_num_threads(known.pop("threads"))
    for name, level in known.pop("levels").items():
        logging.getLogger(name).setLevel(level)
    logging.disable(logging.INFO)  # the calling process has already logged the seed
    for name, value in known.items():
        if value is not None:
            setattr(settings, name, value)
    logging.disable(logging.NOTSET)


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]
