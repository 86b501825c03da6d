"""Loading of a saved model, with the interface of scvi-tools."""

from __future__ import annotations

import shutil
import warnings
from functools import partial
from typing import Any, Literal, Self

import numpy as np
from anndata import AnnData, read_h5ad
from mudata import MuData, read_h5mu
from scvi.data import AnnDataManager

from multiDGD._checks import caller_level
from multiDGD.data import CellManager, listed, logger
from multiDGD.saving import (
    FORMER,
    Contents,
    Place,
    download,
    find_data,
    read_former,
    read_registry,
    read_save,
    reading,
    write_save,
)

from ._device import find_device
from ._object_type import check_object_type
from ._training import TrainingMixin
from ._training_cells import TrainingCells

# Raised by anndata, mudata and h5py for files that are damaged or have other content.
_DATA_ERRORS = (OSError, RuntimeError, LookupError, TypeError, ValueError, AttributeError)


class LoadMixin(TrainingMixin):
    """Loading of models without running code from their files."""

    @classmethod
    def load(
        cls,
        dir_path: str,
        adata: AnnData | MuData | Literal[False] | None = None,
        accelerator: str = "auto",
        device: int | str = "auto",
        prefix: str | None = None,
        backup_url: str | None = None,
        datamodule: None = None,
        allowed_classes_names_list: list[str] | None = None,
    ) -> Self:
        """Load a saved model.

        All files are compared with their checksums, and no code from them is run. Models that
        were saved by earlier versions, as ``model.pt`` only, are loaded too.

        Parameters
        ----------
        dir_path
            Path of the folder.
        adata
            Data of the model; no setup is necessary. By default, the data in the folder are used.
            With `False`, the model is loaded without data.
        accelerator, device
            Device of the model, as for :class:`lightning.pytorch.Trainer`.
        prefix
            Prefix of the file names.
        backup_url
            Address of a ``model.pt``, which is downloaded if there is no model in the folder.
        datamodule
            Must be `None`; only other models of scvi-tools support it.
        allowed_classes_names_list
            Names of other classes whose models are accepted.

        Returns
        -------
        The model.

        Raises
        ------
        ValueError
            If there is no model, or if a file is damaged, belongs to another save, was written by
            another program or a later version, or contains code. The message contains the path.

        Examples
        --------
        >>> model = MultiDGD.load("results/", adata=False)  # doctest: +SKIP
        """
        if datamodule is not None:
            raise ValueError("`datamodule` must be None: a MultiDGD is loaded with its `adata`.")
        target = find_device(accelerator, device)
        place = Place.of(dir_path, prefix)
        if backup_url is not None and not place.exists():
            download(backup_url, place.file(FORMER))
        with reading(place):
            contents = read_save(place)
            _check_class(place, contents, [cls.__name__, *(allowed_classes_names_list or [])])
            data = _read_data(place, contents.setup_method) if adata is None else adata
        model = cls._from_contents(place, contents, None if data is False else data)
        model.to_device(target)
        model.module.eval().requires_grad_(False)
        if model.adata is not None:
            model._validate_anndata(model.adata)
            _warn_of_other_cells(model._learned.cells, model.adata_manager)
        model._complete_checkpoint()
        return model

    @classmethod
    def _from_contents(cls, place: Place, contents: Contents, data: Any) -> Self:
        """Build a model from its saved state, on the CPU."""
        attributes = dict(contents.attributes)
        registry = attributes.pop("registry_")
        arguments = attributes.pop("init_params_")
        if data is not None:
            check_object_type(data, registry)
            _warn_of_other_features(data, contents.var_names)
            setup = getattr(cls, contents.setup_method)
            setup(data, source_registry=registry, **registry["setup_args"])
        given = dict(arguments["non_kwargs"])
        for kwargs in arguments["kwargs"].values():
            given |= kwargs
        model = cls(data, registry=registry, **given)
        for name, value in attributes.items():
            setattr(model, name, value)
        model.module.on_load(model)
        try:
            model.module.load_state_dict(contents.parameters)
        except RuntimeError as error:
            raise ValueError(
                f"The parameters in {place.folder} do not fit the arguments of the model: {error}"
            ) from error
        return model

    @staticmethod
    def load_registry(dir_path: str, prefix: str | None = None) -> dict:
        """Return the registry of a saved model, without running code from its files.

        Parameters
        ----------
        dir_path
            Path of the folder.
        prefix
            Prefix of the file names.

        Raises
        ------
        ValueError
            As for :meth:`load`.

        Examples
        --------
        >>> MultiDGD.load_registry("results/")["setup_args"]  # doctest: +SKIP
        """
        place = Place.of(dir_path, prefix)
        with reading(place):
            return read_registry(place)

    @staticmethod
    def view_setup_args(dir_path: str, prefix: str | None = None) -> None:
        """Print the arguments of the setup of a saved model.

        Parameters
        ----------
        dir_path
            Path of the folder.
        prefix
            Prefix of the file names.
        """
        AnnDataManager.view_setup_method_args(LoadMixin.load_registry(dir_path, prefix))

    @classmethod
    def convert_legacy_save(
        cls,
        dir_path: str,
        output_dir_path: str,
        overwrite: bool = False,
        prefix: str | None = None,
        trusted: bool = False,
        **save_kwargs: Any,
    ) -> None:
        """Rewrite a ``model.pt`` of an earlier version as a save of the present format.

        :meth:`load` reads such files too, unless they contain objects other than tensors, arrays,
        tables and plain values. With ``trusted=True`` this method reads all objects, **which can
        run any code**. Attributes that the present format cannot contain are left out.

        Parameters
        ----------
        dir_path
            Folder of the ``model.pt``.
        output_dir_path
            Folder of the new save.
        overwrite
            Whether to save to an existing folder and replace a model there.
        prefix
            Prefix of the file names.
        trusted
            Whether you made the file yourself or trust its author.
        **save_kwargs
            Arguments of :func:`torch.save` for the new ``model.pt``.

        Raises
        ------
        ValueError
            If the file is damaged, or contains such objects and ``trusted`` is `False`; or if the
            new folder exists and ``overwrite`` is `False`.

        Examples
        --------
        >>> MultiDGD.convert_legacy_save("old/", "new/", trusted=True)  # doctest: +SKIP
        """
        source, target = Place.of(dir_path, prefix), Place.of(output_dir_path, prefix)
        if target.folder.exists() and not overwrite:
            raise ValueError(
                f"{output_dir_path} already exists. Pass another `output_dir_path`, or "
                "`overwrite=True`."
            )
        contents = read_former(source, trusted)
        _check_class(source, contents, [cls.__name__])
        data = find_data(source, contents.setup_method)
        left_out = write_save(
            target,
            contents,
            write_data=None if data is None else partial(shutil.copyfile, data),
            save_kwargs=save_kwargs,
            skip_unsupported=trusted,
        )
        if left_out:
            logger.warning("These attributes cannot be saved and are left out: %s.", left_out)


def _check_class(place: Place, contents: Contents, allowed: list[str]) -> None:
    name = contents.attributes["registry_"].get("model_name", allowed[0])
    if name not in allowed:
        raise ValueError(
            f"It appears you are loading a model from a different class: {place.folder} contains "
            f"a {name}. Load it with that class, or pass "
            f"`allowed_classes_names_list=[{name!r}]`."
        )


def _read_data(place: Place, setup_method: str) -> AnnData | MuData | None:
    path = find_data(place, setup_method)
    if path is None:
        warnings.warn(
            f"{place.folder} contains no data, and `adata` was not passed: the model is loaded "
            "without data. Pass `adata`, or `adata=False` if it needs none.",
            UserWarning,
            stacklevel=caller_level(),
        )
        return None
    try:
        return read_h5mu(path) if setup_method == "setup_mudata" else read_h5ad(path)
    except _DATA_ERRORS as error:
        raise ValueError(
            f"{path} cannot be read: {error}. Pass the data as `adata`, or `adata=False`."
        ) from error


def _warn_of_other_features(data: AnnData | MuData, expected: Any) -> None:
    if isinstance(expected, dict) and isinstance(data, MuData):
        names = {m: data.mod[m].var_names if m in data.mod else [] for m in expected}
        same = all(np.array_equal(names[m], expected[m]) for m in expected)
    else:
        same = np.array_equal(data.var_names, expected)
    if not same:
        warnings.warn(
            "The `var_names` of `adata` are not those that the model was trained on. Features are "
            "matched by name.",
            UserWarning,
            stacklevel=caller_level(),
        )


def _warn_of_other_cells(known: TrainingCells, manager: CellManager) -> None:
    """Log a warning if cells have the names of training cells, but other counts or covariates."""
    names = manager.adata.obs_names
    rows = known.find(manager, np.arange(len(names)))
    changed = names[(rows < 0) & names.isin(known.names)]
    if len(changed):
        logger.warning(
            "%d of %d cells have the names of training cells, but other counts or covariates: %s. "
            "They are treated as new cells.",
            len(changed),
            len(names),
            listed(changed),
        )
