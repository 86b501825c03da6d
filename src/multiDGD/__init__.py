"""The multi-omics Deep Generative Decoder for single cells."""

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pkgutil import iter_modules
from typing import TYPE_CHECKING, Any

from ._quiet import quiet_import

if TYPE_CHECKING:
    from . import datasets, init, latent, nn, pl
    from .model import MultiDGD

try:
    __version__ = version("multidgd")
except PackageNotFoundError:  # source tree without an installed package
    __version__ = "0.0.0"

__all__ = ["MultiDGD", "__version__", "datasets", "init", "latent", "nn", "pl"]

if not TYPE_CHECKING:
    # Importing PyTorch and scvi-tools takes seconds, so they are imported with the first use.

    def __getattr__(name: str) -> Any:
        if name == "MultiDGD":
            with quiet_import():
                globals()[name] = import_module(".model", __name__).MultiDGD
            return globals()[name]
        if not name.startswith("_") and name in {m.name for m in iter_modules(__path__)}:
            with quiet_import():
                return import_module(f".{name}", __name__)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}", name=name)

    def __dir__() -> list[str]:
        # Without the names that this file imports.
        public = {m.name for m in iter_modules(__path__) if not m.name.startswith("_")}
        return sorted({*(name for name in globals() if name.startswith("__")), *public, *__all__})
