"""File format of the first implementation."""

from ._load import load_legacy

__all__ = ["load_legacy"]
