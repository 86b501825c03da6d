"""Files for Vitessce: a zarr store of the cells and a configuration of the views."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from anndata import AnnData, settings
from anndata.io import write_elem

from multiDGD._files import replacing
from multiDGD._log import logger
from multiDGD._names import are_coordinates
from multiDGD._ranking import rank_features, take_turns

CONFIG = "vitessce.json"
STORE = "vitessce.zarr"
# Vitessce reads addresses in a configuration only with their server.
_SERVER = "http://localhost:8000"
# Newer versions of Vitessce read older configurations. This one describes AnnData as below.
_SCHEMA = "1.0.16"
_COMPONENT = "multidgd_component"
_HEATMAP = "heatmap"
_N_HEATMAP = 50
# Stored entries of the matrix in one file.
_CHUNK = 2**17
# Each view with the colours that it shares with others, and its place on a grid of 12 columns.
_VIEWS = (
    ("scatterplot", "sets", (0, 0, 4, 7)),
    ("scatterplot", "feature", (4, 0, 4, 7)),
    ("obsSets", "sets", (8, 0, 2, 7)),
    ("featureList", "feature", (10, 0, 2, 7)),
    ("heatmap", "sets", (0, 7, 6, 5)),
    ("obsSetFeatureValueDistribution", "sets", (6, 7, 6, 5)),
)


def write_vitessce(cells: AnnData, folder: Path, columns: Sequence[str]) -> dict[str, Path]:
    """Write ``vitessce.zarr`` and ``vitessce.json``.

    Without zarr, nothing is written, and a message is logged.

    Parameters
    ----------
    cells
        Result of :func:`multiDGD.cli._explorer.make_explorer`.
    folder
        The output folder; files of an earlier run are replaced.
    columns
        Columns of obs whose categories are sets of cells, with ``multidgd_component``.

    Returns
    -------
    dict
        The path of the configuration, if it was written.
    """
    if importlib.util.find_spec("zarr") is None:
        logger.info("No files for Vitessce: they require zarr (`pip install zarr`)")
        return {}
    columns = list(dict.fromkeys(columns))
    ranked = _rank(cells)
    with replacing(folder / STORE) as partial:
        _write_store(_with_sets(cells, columns, ranked), partial)
    name = folder.resolve().name
    config = _config(name, list(cells.obsm), columns, list(cells.var_names[ranked[:1]]))
    with replacing(folder / CONFIG) as partial:
        partial.write_text(json.dumps(config, indent=2), encoding="utf-8")
    return {"vitessce": folder / CONFIG}


def _rank(cells: AnnData) -> np.ndarray:
    """Positions of the features of the heatmap, as the report selects them."""
    modality, ranked = cells.var["modality"].to_numpy(), {}
    component = cells.obs[_COMPONENT].to_numpy()
    groups = {m: np.flatnonzero(modality == m) for m in dict.fromkeys(modality)}
    readable = {m: at for m, at in groups.items() if not are_coordinates(cells.var_names[at])}
    for m, at in (readable or groups).items():
        values = cells.X[:, at]
        present = np.asarray(values.sum(1)).ravel() > 0
        ranked[m] = at[rank_features(values, component, present, cells.var_names[at])]
    return np.array([at for _, at in take_turns(ranked, _N_HEATMAP)], dtype=int)


def _with_sets(cells: AnnData, columns: Sequence[str], ranked: np.ndarray) -> AnnData:
    """Cells with columns as categories of text, and the features of the heatmap marked."""
    obs, var = cells.obs.copy(), cells.var.copy()
    for column in columns:
        obs[column] = obs[column].astype(str).astype("category")
    var[_HEATMAP] = np.isin(np.arange(cells.n_vars), ranked)
    return AnnData(cells.X, obs=obs, var=var, obsm=dict(cells.obsm))


def _write_store(cells: AnnData, path: Path) -> None:
    """Write version 2 of zarr, which all versions of Vitessce read."""
    import zarr

    # zarr 2 has no other version, and no such argument.
    version: dict[str, Any] = {"zarr_format": 2} if hasattr(zarr, "config") else {}
    group = zarr.open_group(str(path), mode="w", **version)
    annotations = AnnData(obs=cells.obs, var=cells.var, obsm=dict(cells.obsm))
    # With pandas 3, AnnData writes names with a mask, which only Vitessce 4 reads.
    with settings.override(allow_write_nullable_strings=False):
        write_elem(group, "/", annotations)
        write_elem(group, "X", cells.X, dataset_kwargs={"chunks": (_CHUNK,)})


def _config(
    name: str, embeddings: Sequence[str], columns: Sequence[str], selected: Sequence[str]
) -> dict[str, Any]:
    """Configuration with the UMAP, sets of cells, features, a heatmap and violins."""
    values = {
        "obsType": "cell",
        # Vitessce looks up the names of genes on the web.
        "featureType": "feature",
        "featureValueType": "log count",
    }
    cells = {
        "fileType": "anndata.zarr",
        "url": f"{_SERVER}/{STORE}",
        "coordinationValues": values,
        "options": {
            "obsFeatureMatrix": {"path": "X", "initialFeatureFilterPath": f"var/{_HEATMAP}"},
            "obsEmbedding": [
                {"path": f"obsm/{key}", "dims": [0, 1], "embeddingType": key.removeprefix("X_")}
                for key in embeddings
            ],
            "obsSets": [{"name": column, "path": f"obs/{column}"} for column in columns],
        },
    }
    space = {
        "dataset": {"A": "A"},
        **{key: {"A": value} for key, value in values.items()},
        "embeddingType": {"A": "umap"},
        "featureSelection": {"A": list(selected)},
        "obsColorEncoding": {"sets": "cellSetSelection", "feature": "geneSelection"},
    }
    return {
        "version": _SCHEMA,
        "name": name,
        "description": "Log-normalised counts and representations by multiDGD",
        "initStrategy": "auto",
        "datasets": [{"uid": "A", "name": name, "files": [cells]}],
        "coordinationSpace": space,
        "layout": [
            {
                "component": component,
                "coordinationScopes": {**dict.fromkeys(space, "A"), "obsColorEncoding": color},
                **dict(zip("xywh", place, strict=True)),
            }
            for component, color, place in _VIEWS
        ],
    }
