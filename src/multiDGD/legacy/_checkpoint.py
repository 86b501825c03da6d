"""Files of the first implementation of multiDGD, in the names of this one."""

from __future__ import annotations

import json
import pickle
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor

SPLIT_KEY = "train_val_test"
_COVARIATE_PREFIX = "covariate_"
_STATUS = ("trained_status", "_trained_status")
_RENAMED = {
    r"gmm\.(mean|neglogvar|weight)": r"mixture.\1",
    r"correction_gmm\.(mean|neglogvar|weight)": r"covariate_mixtures.0.\1",
    r"decoder\.main\.(\d+)\.(weight|bias)": r"decoder.trunk.\1.\2",
    r"decoder\.out_modules\.(\d+)\.fc\.(\d+)\.(weight|bias)": r"decoder.heads.\1.hidden.\2.\3",
    r"decoder\.out_modules\.(\d+)\.distribution\.(log_r)": r"likelihoods.\1.\2",
}
# Representations of each part of the cells, in z and in the covariate.
_ROWS = {
    "train": ("representation.z", "correction_rep.z"),
    "validation": ("validation_rep.z", "correction_val_rep.z"),
    "test": ("test_rep.z", "correction_test_rep.z"),
}


@dataclass(frozen=True)
class LegacyCheckpoint:
    """What the files say.

    Attributes
    ----------
    file
        Where the parameters were read.
    n_features
        Number of features of each modality, by name, in the order of the heads.
    covariate
        Column of the one categorical covariate, without the prefix ``covariate_``; `None` without
        any.
    model_args
        Arguments of :class:`multiDGD.MultiDGD`.
    state
        Parameters by the names that they have in :class:`multiDGD.module.MultiDGDModule`.
    representations
        Rows of the cells of each part, ``"train"``, ``"validation"`` and ``"test"``, shape
        ``(n, n_representation)``; parts without any are left out.
    """

    file: Path
    n_features: dict[str, int]
    covariate: str | None
    model_args: dict[str, Any]
    state: dict[str, Tensor]
    representations: dict[str, Tensor]

    @property
    def n_categories(self) -> int:
        """Number of the covariate's categories, 0 without a covariate."""
        mean = self.state.get("covariate_mixtures.0.mean")
        return 0 if mean is None else len(mean)

    def state_for(self, modalities: list[str], categories: list[int]) -> dict[str, Tensor]:
        """Parameters for a module whose modalities and categories have another order.

        Parameters
        ----------
        modalities
            Their names, in the module's order.
        categories
            The checkpoint's code of each category, in the module's order.
        """
        names = list(self.n_features)
        place = {names.index(m): i for i, m in enumerate(modalities)}

        def renamed(key: str) -> str:
            pattern = r"\b(heads|likelihoods)\.(\d+)"
            return re.sub(pattern, lambda found: f"{found[1]}.{place[int(found[2])]}", key)

        found = {renamed(key): value for key, value in self.state.items()}
        for key, value in found.items():
            if key.startswith("covariate_mixtures"):
                found[key] = value[categories]
        return found


def read_checkpoint(folder: str | Path, name: str) -> LegacyCheckpoint:
    """Read ``<name>.pt`` and ``<name>_hyperparameters.json``.

    Parameters
    ----------
    folder, name
        As for :meth:`multiDGD.MultiDGD.load_legacy`.

    Raises
    ------
    FileNotFoundError
        If one of the files is not there.
    ValueError
        If one is something else, or a model that cannot be represented here.
    """
    given = _read_hyperparameters(_existing(Path(folder), f"{name}_hyperparameters.json"))
    file = _existing(Path(folder), f"{name}.pt")
    tensors = _read_tensors(file)
    covariate = _covariate(given.get("correction_variable"))
    try:
        n_features = dict(zip(given["modalities"], given["n_features_per_modality"], strict=True))
        n_layers = max(int(given["n_hidden_modality"]), 1)
        model_args = {
            "n_latent": given["latent_dimension"],
            "n_components": given["n_components"],
            "supervised": False,
            "likelihoods": "nb",
            "covariance_type": "diagonal",
            "softball": (given["softball_scale"], given["softball_hardness"]),
            "sd_mean": given["sd_mean"],
            "sd_sd": given["sd_sd"],
            "dirichlet_alpha": given["dirichlet_a"],
            "dirichlet_alpha_covariates": 2.0,
            "decoder_kwargs": {
                "n_units": given["n_units"],
                "n_hidden": given["n_hidden"],
                "n_hidden_modality": n_layers,
            },
        }
    except KeyError as error:
        raise ValueError(
            f"{name}_hyperparameters.json has no {error}: it is not a file of the first multiDGD."
        ) from error
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"{name}_hyperparameters.json is not a file of the first multiDGD: {error}."
        ) from error
    for key, only in {"decoder_width": 1, "scaling": "sum"}.items():
        if given.get(key, only) != only:
            raise ValueError(
                f"{name}_hyperparameters.json: models with {key} {given[key]!r} cannot be "
                f"represented, only {only!r} can."
            )
    state, rows = _renamed(file, tensors, f"hidden.{2 * (n_layers - 1)}.")
    if covariate is not None:
        mean = state.get("covariate_mixtures.0.mean", torch.zeros(0, 2))
        model_args["n_covariate_latent"] = mean.shape[1]
    return LegacyCheckpoint(
        file, n_features, covariate, model_args, state, _representations(rows, covariate)
    )


def read_split(folder: str | Path) -> pd.Series | None:
    """Part that each cell belongs to, by its name, from ``_obs.csv``; `None` if it is not there.

    Parameters
    ----------
    folder
        As for :meth:`multiDGD.MultiDGD.load_legacy`.

    Raises
    ------
    ValueError
        If the file is no table or has no such column.
    """
    file = Path(folder) / "_obs.csv"
    if not file.is_file():
        return None
    try:
        table = pd.read_csv(file, dtype=str)
    except ValueError as error:
        raise ValueError(f"{file} is not a table: {error}.") from error
    if SPLIT_KEY not in table:
        raise ValueError(f"{file} has no column {SPLIT_KEY!r}: it is not of the first multiDGD.")
    return table.set_index(table.columns[0])[SPLIT_KEY]


def _existing(folder: Path, name: str) -> Path:
    if (folder / name).is_file():
        return folder / name
    others = sorted(file.name for file in folder.glob("*") if file.suffix in (".pt", ".json"))
    raise FileNotFoundError(
        f"There is no file {name!r} in {folder}. A model of the first multiDGD is `<name>.pt` and "
        f"`<name>_hyperparameters.json`; found there: {others}."
    )


def _read_hyperparameters(file: Path) -> dict[str, Any]:
    try:
        found = json.loads(file.read_text())
    except ValueError as error:
        raise ValueError(f"{file} is not a JSON file: {error}.") from error
    if not isinstance(found, dict):
        raise ValueError(f"{file} holds no hyperparameters: found a {type(found).__name__}.")
    return found


def _read_tensors(file: Path) -> dict[str, Tensor]:
    try:
        found = torch.load(file, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, EOFError, RuntimeError, ValueError, KeyError) as error:
        raise ValueError(
            f"{file} is not a state dict of the first multiDGD: it cannot be read as one "
            "(`MultiDGD.load` reads models of this package)."
        ) from error
    is_state = isinstance(found, dict) and all(isinstance(v, Tensor) for v in found.values())
    if not is_state or not {"gmm.mean", "representation.z"} <= set(found):
        raise ValueError(
            f"{file} is not a state dict of the first multiDGD: it has no 'gmm.mean' and "
            "'representation.z' (`MultiDGD.load` reads models of this package)."
        )
    if not all(bool(found[key].all()) for key in _STATUS if key in found):
        raise ValueError(f"{file} was saved before it was trained: there is nothing to load.")
    return found


def _covariate(given: list[str] | str | None) -> str | None:
    names = [given] if isinstance(given, str) else list(given or ())
    if len(names) > 1:
        raise ValueError(
            f"The checkpoint names {len(names)} covariates, {names}; the first multiDGD could "
            "only learn one."
        )
    return names[0].removeprefix(_COVARIATE_PREFIX) if names else None


def _renamed(
    file: Path, tensors: dict[str, Tensor], output: str
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Parameters under their new names, and representations under their old ones."""
    rows = {key: tensors[key] for keys in _ROWS.values() for key in keys if key in tensors}
    state = {}
    unknown = []
    for key, value in tensors.items():
        if key in rows or key in _STATUS:
            continue
        for pattern, name in _RENAMED.items():
            if re.fullmatch(pattern, key):
                # The last layer is apart here.
                new = re.sub(pattern, name, key).replace(output, "output.")
                state[new] = value.squeeze(0) if key.endswith("log_r") else value
                break
        else:
            unknown.append(key)
    if unknown:
        raise ValueError(
            f"{file} holds {len(unknown)} entries that the first multiDGD does not have: "
            f"{unknown[:5]}."
        )
    return state, rows


def _representations(rows: dict[str, Tensor], covariate: str | None) -> dict[str, Tensor]:
    found = {}
    for part, keys in _ROWS.items():
        needed = keys[:1] if covariate is None else keys
        if all(key in rows for key in needed):
            found[part] = torch.cat([rows[key] for key in needed], dim=1)
    return found
