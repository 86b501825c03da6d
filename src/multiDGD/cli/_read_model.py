"""Loading of saved models and of the cells to apply them to."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path

from anndata import AnnData
from mudata import MuData

from multiDGD import MultiDGD
from multiDGD._checks import choice
from multiDGD._log import logger
from multiDGD.data import find_categories, listed, observed_features
from multiDGD.saving import Place

from ._errors import UserError, as_user_error
from ._feature_names import match_names
from ._output import MODEL_FOLDER
from ._read_data import read_data

# Raised for files that cannot be read, are damaged or have other content.
_LOAD_ERRORS = (OSError, RuntimeError, AttributeError, KeyError, TypeError, ValueError)


@contextmanager
def calling_model() -> Iterator[None]:
    """Call a loaded model: its output goes to standard error, its errors are the user's.

    Raises
    ------
    UserError
        In place of :class:`ValueError` and :class:`KeyError`.

    Examples
    --------
    >>> with calling_model():
    ...     model.get_typicality(data)  # doctest: +SKIP
    """
    with redirect_stdout(sys.stderr), as_user_error(ValueError, KeyError):
        yield


def load_model(folder: Path, data: AnnData | MuData | None = None) -> MultiDGD:
    """Load a trained model, by default without its data.

    Parameters
    ----------
    folder
        Folder of the model, or the ``--out`` folder that contains it as ``model``.
    data
        Training cells, if they are needed.

    Returns
    -------
    MultiDGD
        The model.

    Raises
    ------
    UserError
        If there is no model, or it cannot be read or is not trained.

    Examples
    --------
    >>> load_model(Path("multidgd_fit"))  # doctest: +SKIP
    """
    found = [f for f in (folder, folder / MODEL_FOLDER) if Place.of(f).exists()]
    if not found:
        raise UserError(
            f"no model in {folder}: expected a folder written by MultiDGD.save (with the file "
            "model.json or model.pt), or the --out folder of `multidgd fit`"
        )
    with (
        redirect_stdout(sys.stderr),
        as_user_error(*_LOAD_ERRORS, prefix=f"cannot read the model in {found[0]}: "),
    ):
        model = MultiDGD.load(str(found[0]), adata=False if data is None else data)
    if not model.is_trained_:
        raise UserError(f"the model in {found[0]} is not trained")
    return model


def read_model_and_data(
    folder: Path, file: Path, modality: str | None = None
) -> tuple[MultiDGD, AnnData | MuData]:
    """Read a model and cells to apply it to.

    An AnnData for a model of a MuData becomes the modality with the same features. New categories
    of covariates are learned on a copy of the model.

    Parameters
    ----------
    folder
        As for :func:`load_model`.
    file
        As for :func:`multiDGD.cli._read_data.read_data`.
    modality
        Modality that the command uses, if any.

    Returns
    -------
    tuple of MultiDGD and (AnnData or MuData)
        The model and the cells.

    Raises
    ------
    UserError
        If the model or the file cannot be read, the file does not match the model, or the model
        has no such modality.

    Examples
    --------
    >>> model, data = read_model_and_data(Path("multidgd_fit"), Path("new.h5mu"))  # doctest: +SKIP
    """
    model = load_model(folder)
    if modality is not None:
        with as_user_error(ValueError):
            choice("modality", modality, model.module.modalities)
    logger.info("Reading %s", file)
    data = read_data(file)
    is_mudata_model = model.registry_["setup_method_name"] == "setup_mudata"
    if isinstance(data, AnnData) and (file.suffix == ".h5" or is_mudata_model):
        data = match_names(model, data, file)
    data = _match_container(model, data, file)
    new = _new_categories(model, data)
    if new:
        logger.info("Learning new categories: %s", "; ".join(new))
        with calling_model():
            model = MultiDGD.load_query_data(data, model)
            model.train()
    return model, data


def _match_container(model: MultiDGD, data: AnnData | MuData, file: Path) -> AnnData | MuData:
    """Return the data as AnnData or MuData, whichever the model was fitted on."""
    if model.registry_["setup_method_name"] == "setup_anndata":
        if isinstance(data, AnnData):
            return data
        raise UserError(
            f"the model was fitted on a .h5ad or .h5 file, but {file} is a .h5mu file: convert it "
            "to .h5ad"
        )
    if isinstance(data, MuData):
        return data
    features = model.summary.features
    found = [m for m in features if observed_features(data, {m: features[m]})]
    if len(found) > 1:
        # Genes and proteins share names, which do not show to which modality the data belong.
        own = {
            m: set(features[m]).difference(*(features[o] for o in found if o != m)) for m in found
        }
        found = [m for m in found if not own[m].isdisjoint(data.var_names)] or found
    if not found:
        raise UserError(
            f"no feature of {file} is in the model: the file has {listed(data.var_names)}, the model "
            + "; ".join(f"{m}: {listed(names)}" for m, names in features.items())
        )
    if len(found) != 1:
        raise UserError(
            f"the model was fitted on a .h5mu file with modalities {list(features)}, but {file} "
            f"has features of {found}: write it as a .h5mu file whose modalities have these names"
        )
    logger.info("Using %s as modality %r", file, found[0])
    obs = data.obs
    data.obs = obs[[]]
    whole = MuData({found[0]: data})
    whole.obs = obs
    return whole


def _new_categories(model: MultiDGD, data: AnnData | MuData) -> list[str]:
    """One text for each covariate with new categories; the model reports missing columns."""
    texts = []
    for key, known in model.summary.covariates.items():
        if key in data.obs:
            _, new = find_categories(data.obs[key], known)
            if len(new):
                texts.append(f"{key} " + ", ".join(map(str, new)))
    return texts
