"""What a save contains, apart from the data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor


@dataclass(frozen=True)
class Contents:
    """State of a model as plain values and tensors.

    Attributes
    ----------
    attributes
        Attributes of the model with a trailing underscore, by name. ``registry_`` and
        ``init_params_`` are required.
    var_names
        Feature names of the registered object.
    parameters
        Parameters and buffers of the module, by name.
    """

    attributes: dict[str, Any]
    var_names: Any
    parameters: dict[str, Tensor]

    @property
    def setup_method(self) -> str:
        """Name of the method that registered the data."""
        return self.attributes["registry_"]["setup_method_name"]
