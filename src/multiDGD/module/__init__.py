"""The module, which combines latent space and decoder, its objective and variants."""

from ._categories import add_categories, category_means
from ._config import ModuleConfig
from ._feature_panels import FeaturePanels
from ._feature_subset import FeatureSubset
from ._frozen import cell_losses, frozen, frozen_gradient
from ._full_mixture import full_mixture_module
from ._minibatches import find_unknown, join, pools, take_cells
from ._module import MultiDGDModule
from ._surrogate import surrogate_module

__all__ = [
    "FeaturePanels",
    "FeatureSubset",
    "ModuleConfig",
    "MultiDGDModule",
    "add_categories",
    "category_means",
    "cell_losses",
    "find_unknown",
    "frozen",
    "frozen_gradient",
    "full_mixture_module",
    "join",
    "pools",
    "surrogate_module",
    "take_cells",
]
