"""Saved models, and the cells that they are asked about."""

from __future__ import annotations

import logging
import pickle
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path

from anndata import AnnData
from mudata import MuData

from multiDGD import MultiDGD
from multiDGD._checks import choice
from multiDGD.data import find_categories, observed_features

from ._errors import UserError, blame_user
from ._io import read_data

logger = logging.getLogger(__name__)

_MODEL_FILE = "model.pt"
# What torch and scvi-tools raise for files that are cut off or hold something else.
_LOAD_ERRORS = (
    OSError,
    EOFError,
    RuntimeError,
    pickle.UnpicklingError,
    ImportError,
    AttributeError,
    KeyError,
    TypeError,
    ValueError,
)


@contextmanager
def asking() -> Iterator[None]:
    """Ask a model: what it prints is progress, and what it finds wrong is the user's.

    Raises
    ------
    UserError
        In place of :class:`ValueError` and :class:`KeyError`.

    Examples
    --------
    >>> with asking():
    ...     model.get_typicality(data)  # doctest: +SKIP
    """
    with redirect_stdout(sys.stderr), blame_user(ValueError, KeyError):
        yield


def load_model(folder: Path) -> MultiDGD:
    """Load a trained model without its data.

    Parameters
    ----------
    folder
        Where it was saved, or the folder of ``--out`` that has it in ``model``.

    Raises
    ------
    UserError
        If there is none, or it cannot be read.

    Examples
    --------
    >>> load_model(Path("multidgd_fit"))  # doctest: +SKIP
    """
    if not folder.exists():
        raise UserError(f"no such folder: {folder}")
    found = [f for f in (folder, folder / "model") if (f / _MODEL_FILE).is_file()]
    if not found:
        raise UserError(
            f"no model in {folder}: expected a folder that MultiDGD.save wrote (it holds "
            f"{_MODEL_FILE}), or that of --out of `multidgd fit`"
        )
    with (
        redirect_stdout(sys.stderr),
        _without_news_of_downloads(),
        blame_user(*_LOAD_ERRORS, doing=f"cannot read the model in {found[0]}: "),
    ):
        model = MultiDGD.load(str(found[0]), adata=False)
    if not model.is_trained_:
        raise UserError(f"the model in {found[0]} is not trained")
    return model


def read_model_and_data(
    folder: Path, file: Path, modality: str | None = None
) -> tuple[MultiDGD, AnnData | MuData]:
    """Read a model and cells to ask it about.

    An AnnData for a model of a MuData becomes the modality whose features it has. Categories of
    covariates that the model does not know are learned, on a copy of the model.

    Parameters
    ----------
    folder
        As for :func:`load_model`.
    file
        As for :func:`multiDGD.cli._io.read_data`.
    modality
        That the model is to be asked about, if any.

    Returns
    -------
    The model and the cells.

    Raises
    ------
    UserError
        If either cannot be read, they do not fit each other, or the model has no such modality.

    Examples
    --------
    >>> model, data = read_model_and_data(Path("multidgd_fit"), Path("new.h5mu"))  # doctest: +SKIP
    """
    model = load_model(folder)
    if modality is not None:
        with blame_user(ValueError):
            choice("modality", modality, model.module.modalities)
    logger.info("Reading %s", file)
    data = _as_modelled(model, read_data(file), file)
    new = _new_categories(model, data)
    if new:
        logger.info("Learning categories that the model does not know: %s", "; ".join(new))
        with asking():
            model = MultiDGD.load_query_data(data, model)
            model.train()
    return model, data


def _as_modelled(model: MultiDGD, data: AnnData | MuData, file: Path) -> AnnData | MuData:
    """The data in the kind of object that the model was made from."""
    if model.registry_["setup_method_name"] == "setup_anndata":
        if isinstance(data, AnnData):
            return data
        raise UserError(f"the model was fitted on a .h5ad or .h5 file, but {file} is a .h5mu")
    if isinstance(data, MuData):
        return data
    features = model.summary.features
    found = [m for m in features if observed_features(data, {m: features[m]})]
    if len(found) != 1:
        what = f"features of {found}" if found else "no feature of any"
        raise UserError(
            f"the model was fitted on a .h5mu with modalities {list(features)}, and {file} has "
            f"{what}: write it as a .h5mu whose modalities have these names"
        )
    logger.info("%s is taken for modality %r", file, found[0])
    obs = data.obs
    data.obs = obs[[]]
    whole = MuData({found[0]: data})
    whole.obs = obs
    return whole


def _new_categories(model: MultiDGD, data: AnnData | MuData) -> list[str]:
    """New categories of each covariate that has any, as text; columns are checked elsewhere."""
    news = []
    for key, known in model.summary.covariates.items():
        if key in data.obs:
            _, new = find_categories(data.obs[key], known)
            if len(new):
                news.append(f"{key} " + ", ".join(map(str, new)))
    return news


@contextmanager
def _without_news_of_downloads() -> Iterator[None]:
    """Keep scvi-tools from saying that a file on disk is downloaded."""
    scvi_logger = logging.getLogger("scvi")
    level = scvi_logger.level
    scvi_logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        scvi_logger.setLevel(level)
