"""Type of the object with the cells, which the setup of a model determines."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from mudata import MuData

from multiDGD.data import summarize_registry


def check_object_type(adata: object, registry: dict) -> None:
    """Check that an object has the type of the object on which a model was set up.

    Parameters
    ----------
    adata
        The object.
    registry
        Registry of the model.

    Raises
    ------
    ValueError
        If the type is another one. The message contains the conversion.
    """
    wanted = MuData if registry["setup_method_name"] == "setup_mudata" else AnnData
    if isinstance(adata, wanted):
        return
    found = type(adata).__name__ if isinstance(adata, AnnData | MuData) else f"{adata!r:.80}"
    article = "a" if wanted is MuData else "an"
    raise ValueError(
        f"`adata` must be {article} {wanted.__name__}, as in the setup of the model, found "
        f"{found}.{_conversion(adata, registry)}"
    )


def check_is_set_up(adata: object, model: type) -> None:
    """Check that an object can be given to a model.

    Parameters
    ----------
    adata
        The object.
    model
        Class of the model.

    Raises
    ------
    TypeError, ValueError
        If it is no AnnData or MuData, is a view, or is not set up. The message contains the call.
    """
    if not isinstance(adata, AnnData | MuData):
        raise TypeError(
            f"`adata` must be an AnnData or MuData, found {type(adata).__name__}. Read a file with "
            "`anndata.read_h5ad` or `mudata.read_h5mu`, and set it up first."
        )
    refuse_view(adata, model)
    if model._get_most_recent_anndata_manager(adata) is None:  # type: ignore[attr-defined]
        raise ValueError(f"`adata` is not set up: call `{_setup_call(adata, model)}` first.")


def refuse_view(adata: AnnData | MuData, model: type) -> None:
    """Raise if an object is a view.

    Parameters
    ----------
    adata
        The object.
    model
        Class of the model.

    Raises
    ------
    ValueError
        The message contains the calls that copy the object and set it up.
    """
    if adata.is_view:
        name = _name(adata)
        raise ValueError(
            f"`{name}` is a view of another object. Copy it and set it up: `{name} = {name}.copy()`, "
            f"`{_setup_call(adata, model)}`."
        )


def _name(adata: AnnData | MuData) -> str:
    return "mdata" if isinstance(adata, MuData) else "adata"


def _setup_call(adata: AnnData | MuData, model: type) -> str:
    method = "setup_mudata" if isinstance(adata, MuData) else "setup_anndata"
    return f"{model.__name__}.{method}({_name(adata)}, ...)"


def _conversion(adata: object, registry: dict) -> str:
    features = summarize_registry(registry).features
    if isinstance(adata, AnnData):
        name = _most_similar(features, adata.var_names)
        return f" Wrap one modality as `MuData({{{name!r}: adata}})`."
    if not isinstance(adata, MuData):
        return ""
    key = registry["setup_args"].get("modality_key")
    if key is not None:
        return (
            " Join its modalities as `anndata.concat(mdata.mod, axis=1, join='outer', "
            f"label={key!r}, merge='first')`."
        )
    names = {m: part.var_names for m, part in adata.mod.items()}
    name = _most_similar(names, np.concatenate(list(features.values())))
    return f" Pass one modality as `mdata[{name!r}]`."


def _most_similar(features: Mapping[str, Any], names: Any) -> str:
    """Modality with the largest number of the given features, the first of several."""
    wanted = pd.Index(names)
    return max(features, key=lambda m: int(wanted.isin(features[m]).sum()))
