"""Files of saved models: plain values, arrays and tensors, without pickles."""

from ._contents import Contents
from ._download import download
from ._place import FORMER, Place
from ._read import find_data, read_former, read_registry, read_save
from ._swap import reading
from ._write import write_save

__all__ = [
    "FORMER",
    "Contents",
    "Place",
    "download",
    "find_data",
    "read_former",
    "read_registry",
    "read_save",
    "reading",
    "write_save",
]
