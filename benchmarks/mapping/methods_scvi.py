"""Models of scvi-tools for the mapping tasks, used as in its tutorials.

Cells without a modality have zeros in it and are part of the training data, as a batch of their
own if the tutorial does so. Queries are mapped to trained models by scArches.
"""

from __future__ import annotations

from typing import Any

import mudata as md
import numpy as np
import scanpy as sc
import scvi

from benchmarks.mapping.tasks import Transfer
from benchmarks.shared.data import BATCH_KEY, LABEL_KEY, Dataset
from benchmarks.shared.missing_modalities import stacked, with_zeros
from benchmarks.shared.settings import QUIET

#: Epochs of totalVI on pbmc10k_cite: the default of 400 is too slow here.
TOTALVI_EPOCHS = 100
#: Arguments of references in the tutorials of scArches.
ARCHES = {
    "use_layer_norm": "both",
    "use_batch_norm": "none",
    "encode_covariates": True,
    "dropout_rate": 0.2,
    "n_layers": 2,
}
#: Arguments of ``train`` for queries.
QUERY = {"max_epochs": 100, "plan_kwargs": {"weight_decay": 0.0}, **QUIET}
N_GENES = 2000


def _dense(data: md.MuData, modality: str) -> None:
    data.mod[modality].X = data.mod[modality].X.toarray()


def _prepare_totalvi(data: md.MuData, batch_key: str, protein: str) -> Any:
    _dense(data, protein)  # the background prior requires dense proteins
    modalities = {"rna_layer": "rna", "protein_layer": protein, "batch_key": "rna"}
    for part in data.mod.values():
        part.obs[batch_key] = data.obs[batch_key].to_numpy()
    scvi.model.TOTALVI.setup_mudata(data, batch_key=batch_key, modalities=modalities)
    return scvi.model.TOTALVI(data, n_layers_decoder=2)


def totalvi_protein(
    train: Dataset, query: Dataset, modality: str, seed: int, max_epochs: int | None = None
) -> np.ndarray:
    """TotalVI; query cells are a batch without proteins, decoded as the batch with proteins."""
    scvi.settings.seed = seed
    whole = stacked({"paired": train.data, "new": with_zeros(query.data, train.data)})
    model = _prepare_totalvi(whole, "modality", modality)
    model.train(max_epochs=max_epochs or TOTALVI_EPOCHS, **QUIET)
    new = np.flatnonzero(whole.obs["modality"] == "new")
    _, prot = model.get_normalized_expression(
        indices=new,
        n_samples=25,
        return_mean=True,
        transform_batch="paired",
        include_protein_background=True,
        return_numpy=True,
    )
    return prot


def multivi_multiome(
    train: Dataset, query: dict[str, Dataset], seed: int
) -> dict[str, np.ndarray]:
    """MultiVI; query cells are added to the paired cells twice, with one modality each."""
    scvi.settings.seed = seed
    parts = {m: with_zeros(q.data, train.data) for m, q in query.items()}
    whole = stacked({"paired": train.data, **parts})
    scvi.model.MULTIVI.setup_mudata(
        whole,
        batch_key="modality",
        categorical_covariate_keys=[BATCH_KEY],
        modalities={"rna_layer": "rna", "atac_layer": "atac"},
    )
    model = scvi.model.MULTIVI(whole)
    model.train(**QUIET)
    kind = whole.obs["modality"].to_numpy()
    options = {"transform_batch": "paired", "return_numpy": True}
    return {
        "atac": model.get_normalized_accessibility(
            indices=np.flatnonzero(kind == "rna"), normalize_regions=True, **options
        ),
        "rna": model.get_normalized_expression(indices=np.flatnonzero(kind == "atac"), **options),
    }


def scanvi_transfer(train: Dataset, query: Dataset, seed: int) -> Transfer:
    """SCANVI from SCVI on 2,000 variable genes, with scArches."""
    scvi.settings.seed = seed
    reference, new = train.data.copy(), query.data.copy()
    sc.pp.highly_variable_genes(
        reference, flavor="seurat_v3", n_top_genes=N_GENES, batch_key=BATCH_KEY
    )
    reference = reference[:, reference.var["highly_variable"]].copy()
    new = new[:, reference.var_names].copy()
    scvi.model.SCVI.setup_anndata(reference, batch_key=BATCH_KEY)
    base = scvi.model.SCVI(reference, **ARCHES)
    base.train(**QUIET)
    model = scvi.model.SCANVI.from_scvi_model(
        base, unlabeled_category="Unknown", labels_key=LABEL_KEY
    )
    model.train(max_epochs=20, n_samples_per_label=100, **QUIET)
    new.obs[LABEL_KEY] = "Unknown"
    mapped = scvi.model.SCANVI.load_query_data(new, model)
    mapped.train(check_val_every_n_epoch=10, **QUERY)
    return Transfer(
        model.get_latent_representation(),
        mapped.get_latent_representation(),
        np.asarray(mapped.predict()).astype(str),
    )


def multivi_transfer(train: Dataset, query: Dataset, seed: int) -> Transfer:
    """MultiVI with scArches; it does not predict labels."""
    scvi.settings.seed = seed
    reference, new = train.data.copy(), query.data.copy()
    scvi.model.MULTIVI.setup_mudata(
        reference, batch_key=BATCH_KEY, modalities={"rna_layer": "rna", "atac_layer": "atac"}
    )
    model = scvi.model.MULTIVI(reference, encode_covariates=True)
    model.train(**QUIET)
    new.obs["_indices"] = np.arange(new.n_obs)
    mapped = scvi.model.MULTIVI.load_query_data(new, model)
    mapped.train(max_epochs=100, weight_decay=0.0, **QUIET)
    return Transfer(model.get_latent_representation(), mapped.get_latent_representation())


METHODS = {
    ("protein", "totalvi"): totalvi_protein,
    ("multiome", "multivi"): multivi_multiome,
    ("protocols", "scanvi"): scanvi_transfer,
    ("donors", "multivi"): multivi_transfer,
}
