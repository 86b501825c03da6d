"""Interruption of a training by Ctrl-C."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def interruptible() -> Iterator[None]:
    """Raise `KeyboardInterrupt` where Lightning would exit, and restore the signal handler.

    Lightning ends the process after an interrupted training, and ignores further interrupts.
    """
    is_main = threading.current_thread() is threading.main_thread()
    handler = signal.getsignal(signal.SIGINT) if is_main else None
    try:
        yield
    except SystemExit as error:
        if isinstance(error.__context__, KeyboardInterrupt):
            raise KeyboardInterrupt("The training was interrupted.") from None
        raise
    finally:
        if handler is not None:
            signal.signal(signal.SIGINT, handler)
