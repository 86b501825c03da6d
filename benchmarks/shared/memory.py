"""Resident memory of this process (Linux)."""

from __future__ import annotations

import resource
from pathlib import Path


def resident() -> float:
    """Resident memory (MiB)."""
    return _status("VmRSS")


def anonymous() -> float:
    """Resident memory that belongs to no file (MiB)."""
    return _status("RssAnon")


def reset_peak() -> bool:
    """Reset the peak that the kernel records; returns whether this is possible."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return False
    return True


def peak(is_reset: bool) -> float:
    """Peak of the resident memory (MiB), since :func:`reset_peak` if it was possible."""
    if is_reset:
        return _status("VmHWM")
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _status(key: str) -> float:
    """Value of a line of /proc/self/status (MiB)."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(key + ":"):
            return int(line.split()[1]) / 1024
    raise KeyError(key)
