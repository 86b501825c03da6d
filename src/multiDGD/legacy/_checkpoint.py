"""Files of the first implementation of multiDGD, with the parameter names of this package."""

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
# Representations of each part of the split, in z and in the covariate.
_REPRESENTATIONS = {
    "train": ("representation.z", "correction_rep.z"),
    "validation": ("validation_rep.z", "correction_val_rep.z"),
    "test": ("test_rep.z", "correction_test_rep.z"),
}


@dataclass(frozen=True)
class LegacyCheckpoint:
    """Contents of the files of one model.

    Attributes
    ----------
    file
        File of the parameters.
    n_features
        Number of features of each modality, by name, in the order of the heads.
    covariate
        Column of the categorical covariate, without the prefix ``covariate_``; `None` without a
        covariate.
    model_args
        Arguments of :class:`multiDGD.MultiDGD`.
    state
        Parameters by their names in :class:`multiDGD.module.MultiDGDModule`.
    representations
        Representations of the cells of each part, ``"train"``, ``"validation"`` and ``"test"``,
        shape ``(n, n_representation)``; parts without representations are omitted.
    """

    file: Path
    n_features: dict[str, int]
    covariate: str | None
    model_args: dict[str, Any]
    state: dict[str, Tensor]
    representations: dict[str, Tensor]

    @property
    def n_categories(self) -> int:
        """Number of categories of the covariate; 0 without a covariate."""
        mean = self.state.get("covariate_mixtures.0.mean")
        return 0 if mean is None else len(mean)

    def state_for(self, modalities: list[str], categories: list[int]) -> dict[str, Tensor]:
        """Return the parameters for a module with another order of modalities and categories.

        Parameters
        ----------
        modalities
            Names of the checkpoint's modalities, in the order of the module.
        categories
            Code of each category in the checkpoint, in the order of the module.
        """
        names = list(self.n_features)
        new_index = {names.index(m): i for i, m in enumerate(modalities)}

        def renamed(key: str) -> str:
            pattern = r"\b(heads|likelihoods)\.(\d+)"
            return re.sub(pattern, lambda found: f"{found[1]}.{new_index[int(found[2])]}", key)

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
        If one of the files does not exist.
    ValueError
        If a file was not written by the first implementation, or the model is not supported.
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
            f"{name}_hyperparameters.json has no {error}: it is not a file of the first "
            "implementation."
        ) from error
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"{name}_hyperparameters.json is not a file of the first implementation: {error}."
        ) from error
    for key, supported in {"decoder_width": 1, "scaling": "sum"}.items():
        if given.get(key, supported) != supported:
            raise ValueError(
                f"{name}_hyperparameters.json: models with {key} {given[key]!r} are not "
                f"supported, only with {supported!r}."
            )
    state, representations = _renamed(file, tensors, f"hidden.{2 * (n_layers - 1)}.")
    if covariate is not None:
        mean = state.get("covariate_mixtures.0.mean", torch.zeros(0, 2))
        model_args["n_covariate_latent"] = mean.shape[1]
    return LegacyCheckpoint(
        file, n_features, covariate, model_args, state, _joined(representations, covariate)
    )


def read_split(folder: str | Path) -> pd.Series | None:
    """Read the part of the split of each cell from ``_obs.csv``; `None` without this file.

    Parameters
    ----------
    folder
        As for :meth:`multiDGD.MultiDGD.load_legacy`.

    Raises
    ------
    ValueError
        If the file is not a table or has no column ``train_val_test``.
    """
    file = Path(folder) / "_obs.csv"
    if not file.is_file():
        return None
    try:
        table = pd.read_csv(file, dtype=str)
    except ValueError as error:
        raise ValueError(f"{file} is not a table: {error}.") from error
    if SPLIT_KEY not in table:
        raise ValueError(
            f"{file} has no column {SPLIT_KEY!r}: it is not a file of the first implementation."
        )
    return table.set_index(table.columns[0])[SPLIT_KEY]


def _existing(folder: Path, name: str) -> Path:
    if (folder / name).is_file():
        return folder / name
    others = sorted(file.name for file in folder.glob("*") if file.suffix in (".pt", ".json"))
    raise FileNotFoundError(
        f"File {name!r} does not exist in {folder}. A model of the first implementation consists "
        f"of `<name>.pt` and `<name>_hyperparameters.json`; found {others}."
    )


def _read_hyperparameters(file: Path) -> dict[str, Any]:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{file} is not a JSON file: {error}.") from error
    if not isinstance(found, dict):
        raise ValueError(
            f"{file} must contain a dictionary of hyperparameters, found {type(found).__name__}."
        )
    return found


def _read_tensors(file: Path) -> dict[str, Tensor]:
    try:
        found = torch.load(file, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, EOFError, RuntimeError, ValueError, KeyError) as error:
        raise ValueError(
            f"{file} is not a state dict of the first implementation: it cannot be read "
            "(`MultiDGD.load` loads models of this package)."
        ) from error
    is_state = isinstance(found, dict) and all(isinstance(v, Tensor) for v in found.values())
    if not is_state or not {"gmm.mean", "representation.z"} <= set(found):
        raise ValueError(
            f"{file} is not a state dict of the first implementation: it has no 'gmm.mean' and "
            "'representation.z' (`MultiDGD.load` loads models of this package)."
        )
    if not all(bool(found[key].all()) for key in _STATUS if key in found):
        raise ValueError(f"{file} contains an untrained model; save it again after training.")
    return found


def _covariate(given: list[str] | str | None) -> str | None:
    names = [given] if isinstance(given, str) else list(given or ())
    if len(names) > 1:
        raise ValueError(
            f"The checkpoint has {len(names)} covariates, {names}, but the first implementation "
            "supports only one."
        )
    return names[0].removeprefix(_COVARIATE_PREFIX) if names else None


def _renamed(
    file: Path, tensors: dict[str, Tensor], output: str
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Separate parameters, under their new names, from representations, under their old ones."""
    keys = [key for pair in _REPRESENTATIONS.values() for key in pair if key in tensors]
    representations = {key: tensors[key] for key in keys}
    state = {}
    unknown = []
    for key, value in tensors.items():
        if key in representations or key in _STATUS:
            continue
        for pattern, name in _RENAMED.items():
            if re.fullmatch(pattern, key):
                # In this package, the last layer is separate from the hidden layers.
                new = re.sub(pattern, name, key).replace(output, "output.")
                state[new] = value.squeeze(0) if key.endswith("log_r") else value
                break
        else:
            unknown.append(key)
    if unknown:
        raise ValueError(
            f"{file} contains {len(unknown)} entries that do not exist in the first "
            f"implementation: {unknown[:5]}."
        )
    return state, representations


def _joined(representations: dict[str, Tensor], covariate: str | None) -> dict[str, Tensor]:
    """Join z and the covariate representation for each part of the split."""
    found = {}
    for part, keys in _REPRESENTATIONS.items():
        required = keys[:1] if covariate is None else keys
        if all(key in representations for key in required):
            found[part] = torch.cat([representations[key] for key in required], dim=1)
    return found
