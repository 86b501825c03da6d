"""Model cards for the hub of scvi-tools."""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from multiDGD import MultiDGD, __version__

if TYPE_CHECKING:
    from huggingface_hub import ModelCard

__all__ = ["model_card"]

_TEXT = """\
# MultiDGD

The [multi-omics Deep Generative Decoder](https://doi.org/10.1038/s41467-024-53340-z) as a
[scvi-tools](https://scvi-tools.org) model. Load it with `scvi.hub.HubModel`; it needs
`pip install multidgd`.

# Description

{description}

# Data

{n_cells} cells.

| modality | features | likelihood |
|---|---|---|
{modalities}

Labels: {labels}. Covariates: {covariates}.

# Arguments

Setup:

```json
{setup}
```

Model:

```json
{arguments}
```

# Versions

multidgd {multidgd}, scvi-tools {scvi}, anndata {anndata}.

# References

{references}
"""


def model_card(
    folder: str | Path,
    license_info: str,
    *,
    description: str = "To be added.",
    references: str = "To be added.",
    tissues: Sequence[str] = (),
) -> ModelCard:
    """Create the model card of a saved model for :class:`scvi.hub.HubModel`.

    :class:`scvi.hub.HubModelCardHelper` supports only the models of scvi-tools itself.

    Parameters
    ----------
    folder
        Folder of the model, written by :meth:`multiDGD.MultiDGD.save`.
    license_info
        Identifier of the licence, such as ``"cc-by-4.0"``.
    description
        Training data and purpose of the model.
    references
        Publications to cite.
    tissues
        Tissues of the cells.

    Returns
    -------
    A :class:`huggingface_hub.ModelCard`.

    Raises
    ------
    ImportError
        If huggingface_hub is not installed.

    Examples
    --------
    >>> import scvi.hub  # doctest: +SKIP
    >>> from multiDGD.hub import model_card
    >>> model.save("bone_marrow", save_anndata=True)  # doctest: +SKIP
    >>> metadata = scvi.hub.HubMetadata.from_dir(  # doctest: +SKIP
    ...     "bone_marrow", anndata_version="0.12", model_parent_module="multiDGD"
    ... )
    >>> card = model_card("bone_marrow", "cc-by-4.0", tissues=["bone marrow"])  # doctest: +SKIP
    >>> scvi.hub.HubModel(
    ...     "bone_marrow", metadata=metadata, model_card=card
    ... ).save()  # doctest: +SKIP
    """
    try:
        from huggingface_hub import ModelCard, ModelCardData
    except ImportError as error:
        raise ImportError(
            "Model cards need huggingface_hub: `pip install 'scvi-tools[hub]'`."
        ) from error
    model = MultiDGD.load(str(folder), adata=False)
    summary = model.summary
    scvi, anndata = model.registry_["scvi_version"], version("anndata")
    tags = ["biology", "genomics", "single-cell", "model_cls_name:MultiDGD"]
    tags += [f"scvi_version:{scvi}", f"anndata_version:{anndata}"]
    tags += [f"modality:{m}" for m in summary.features]
    tags += [f"tissue:{tissue}" for tissue in tissues]
    tags.append(f"annotated:{len(summary.labels) > 0}")
    header = ModelCardData(license=license_info, library_name="scvi-tools", tags=tags)
    rows = [
        f"| {m} | {n} | {model.module.likelihood(m).name} |" for m, n in summary.n_features.items()
    ]
    covariates = [f"{key} ({len(found)} categories)" for key, found in summary.covariates.items()]
    text = _TEXT.format(
        description=description,
        n_cells=len(model.cell_names_),
        modalities="\n".join(rows),
        labels=", ".join(map(str, summary.labels)) or "none",
        covariates=", ".join([*covariates, *summary.continuous]) or "none",
        setup=json.dumps(model.registry_["setup_args"], indent=2, default=str),
        arguments=json.dumps(model.init_params_["non_kwargs"], indent=2, default=str),
        multidgd=__version__,
        scvi=scvi,
        anndata=anndata,
        references=references,
    )
    return ModelCard(f"---\n{header.to_yaml()}\n---\n\n{text}")
