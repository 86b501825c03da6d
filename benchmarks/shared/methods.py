"""Compared methods, each a function ``(train, held_out, seed, max_epochs) -> Fit``."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import scvi

from benchmarks.shared.data import BATCH_KEY, Dataset
from benchmarks.shared.linear_baselines import PCABaseline, mean_profile

#: Dimensions of the latent space, except for the models of scvi-tools (their own defaults).
N_LATENT = 20
#: Arguments of ``train`` that switch off progress bars and summaries.
QUIET = {"enable_progress_bar": False, "enable_model_summary": False}


@dataclass
class Fit:
    """Result of one method on one split.

    ``predictions`` of held-out cells are ``rna`` profiles (rows sum to 1), ``atac`` expected
    accessibility (on any increasing scale) and ``prot`` expected counts. ``None`` and empty
    dictionaries stand for results that the method does not provide.
    """

    embedding: np.ndarray | None
    held_out_embedding: np.ndarray | None = None
    predictions: dict[str, np.ndarray] = field(default_factory=dict)
    epochs: int | None = None
    default_epochs: bool = True
    times: dict[str, float] = field(default_factory=dict)


@contextmanager
def _timed(times: dict[str, float], name: str):
    """Add wall and processor time of the block (s) to ``times``."""
    wall, cpu = time.perf_counter(), time.process_time()
    yield
    times[f"{name}_seconds"] = time.perf_counter() - wall
    times[f"{name}_cpu_seconds"] = time.process_time() - cpu


def _fit_model(
    cls: Any,
    train: Dataset,
    held_out: Dataset,
    predict: Callable[[Any], dict[str, np.ndarray]],
    max_epochs: int | None,
    **model_kwargs: Any,
) -> Fit:
    """Build, train and query a scvi-tools model; its setup has been called on ``train``."""
    times: dict[str, float] = {}
    with _timed(times, "train"):
        model = cls(train.data, **model_kwargs)
        limit = {} if max_epochs is None else {"max_epochs": max_epochs}
        model.train(**limit, **QUIET)
    with _timed(times, "map"):
        held_out_embedding = np.asarray(model.get_latent_representation(held_out.data))
    return Fit(
        embedding=np.asarray(model.get_latent_representation()),
        held_out_embedding=held_out_embedding,
        predictions=predict(model),
        epochs=int(model.trainer.current_epoch),
        default_epochs=max_epochs is None,
        times=times,
    )


def multidgd(
    train: Dataset,
    held_out: Dataset,
    seed: int,
    max_epochs: int | None,
    *,
    true_components: bool = True,
) -> Fit:
    """MultiDGD with one component per type, or with the default number of components."""
    from multiDGD import MultiDGD

    scvi.settings.seed = seed
    if train.data is train.modalities.get("rna"):
        MultiDGD.setup_anndata(train.data, batch_key=BATCH_KEY)
    else:
        MultiDGD.setup_mudata(train.data, batch_key=BATCH_KEY)

    def predict(model: Any) -> dict[str, np.ndarray]:
        out = {}
        for name in train.modalities:
            query = {"adata": held_out.data, "return_numpy": True}
            if len(train.modalities) > 1:
                query["modality"] = name
            if name == "atac":
                out[name] = model.get_accessibility_estimates(library_size="latent", **query)
            else:
                library = 1 if name == "rna" else "latent"
                out[name] = model.get_normalized_expression(library_size=library, **query)
        return out

    kwargs = {"n_components": train.n_types} if true_components else {}
    return _fit_model(MultiDGD, train, held_out, predict, max_epochs, n_latent=N_LATENT, **kwargs)


def multidgd_default_components(
    train: Dataset, held_out: Dataset, seed: int, max_epochs: int | None
) -> Fit:
    """MultiDGD with its default number of components: labels are not used at all."""
    return multidgd(train, held_out, seed, max_epochs, true_components=False)


def multivi(train: Dataset, held_out: Dataset, seed: int, max_epochs: int | None) -> Fit:
    """MultiVI with its defaults; held-out cells are embedded by its encoder.

    Accessibility is multiplied by the region and cell factors: the mean of its likelihood.
    """
    scvi.settings.seed = seed
    scvi.model.MULTIVI.setup_mudata(
        train.data,
        batch_key=BATCH_KEY,
        modalities={"rna_layer": "rna", "atac_layer": "atac"},
    )
    # MULTIVI requires this column in every object but adds it in its setup only.
    held_out.data.obs["_indices"] = np.arange(held_out.data.n_obs)

    def predict(model: Any) -> dict[str, np.ndarray]:
        new = held_out.data
        return {
            "rna": model.get_normalized_expression(new, return_numpy=True),
            "atac": model.get_normalized_accessibility(
                new, normalize_cells=True, normalize_regions=True, return_numpy=True
            ),
        }

    return _fit_model(scvi.model.MULTIVI, train, held_out, predict, max_epochs)


def totalvi(train: Dataset, held_out: Dataset, seed: int, max_epochs: int | None) -> Fit:
    """TotalVI with its defaults; held-out cells are embedded by its encoder.

    Proteins are expected counts with background, the mean of 25 posterior samples.
    """
    scvi.settings.seed = seed
    for part in (train, held_out):  # the background prior requires dense proteins
        part.data.mod["prot"].X = part.counts("prot").toarray()
    scvi.model.TOTALVI.setup_mudata(
        train.data,
        batch_key=BATCH_KEY,
        modalities={"rna_layer": "rna", "protein_layer": "prot"},
    )

    def predict(model: Any) -> dict[str, np.ndarray]:
        rna, prot = model.get_normalized_expression(
            held_out.data,
            n_samples=25,
            return_mean=True,
            include_protein_background=True,
            return_numpy=True,
        )
        return {"rna": rna, "prot": prot}

    return _fit_model(scvi.model.TOTALVI, train, held_out, predict, max_epochs)


def scvi_rna(train: Dataset, held_out: Dataset, seed: int, max_epochs: int | None) -> Fit:
    """scVI with its defaults; profiles are the mean of 25 posterior samples."""
    scvi.settings.seed = seed
    scvi.model.SCVI.setup_anndata(train.data, batch_key=BATCH_KEY)

    def predict(model: Any) -> dict[str, np.ndarray]:
        profiles = model.get_normalized_expression(
            held_out.data, n_samples=25, return_mean=True, return_numpy=True
        )
        return {"rna": profiles}

    return _fit_model(scvi.model.SCVI, train, held_out, predict, max_epochs)


def pca(train: Dataset, held_out: Dataset, seed: int, max_epochs: int | None) -> Fit:
    """PCA (RNA, protein) and LSI (ATAC), 20 dimensions in total, without batch correction."""
    times: dict[str, float] = {}
    names = list(train.modalities)
    with _timed(times, "train"):
        model = PCABaseline(n_components=N_LATENT // len(names), seed=seed)
        embedding = model.fit({name: train.counts(name) for name in names})
    with _timed(times, "map"):
        new, predictions = model.transform({name: held_out.counts(name) for name in names})
    return Fit(embedding, new, predictions, times=times)


def mean(train: Dataset, held_out: Dataset, seed: int, max_epochs: int | None) -> Fit:
    """Average profile of the training cells for every cell: the baseline of predictions."""
    predictions = {
        name: mean_profile(train.counts(name), held_out.counts(name), scaled=name != "rna")
        for name in train.modalities
    }
    return Fit(None, predictions=predictions)


def spectral(train: Dataset, held_out: Dataset, seed: int, max_epochs: int | None) -> Fit:
    """Spectral initialisation of MultiDGD without training."""
    from multiDGD.init import spectral_embedding

    times: dict[str, float] = {}
    batches = np.unique(train.batch, return_inverse=True)[1]
    with _timed(times, "train"):
        embedding = spectral_embedding(
            {name: train.counts(name) for name in train.modalities},
            n_latent=N_LATENT,
            feature_names={n: a.var_names.to_numpy() for n, a in train.modalities.items()},
            covariates=[batches],
            seed=seed,
        )
    return Fit(np.asarray(embedding), times=times)


Method = Callable[[Dataset, Dataset, int, int | None], Fit]

#: Name on the command line -> (title in the table, function), in the order of the table.
METHODS: dict[str, tuple[str, Method]] = {
    "multidgd": ("multidgd", multidgd),
    "multidgd-default-components": (
        "multidgd (default number of components)",
        multidgd_default_components,
    ),
    "spectral": ("spectral initialisation of multidgd", spectral),
    "multivi": ("multivi", multivi),
    "totalvi": ("totalvi", totalvi),
    "scvi": ("scvi", scvi_rna),
    "pca": ("pca / lsi", pca),
    "mean": ("average profile", mean),
}

#: Modalities required by the models of scvi-tools.
_REQUIRED_MODALITIES = {"multivi": {"rna", "atac"}, "totalvi": {"rna", "prot"}, "scvi": {"rna"}}


def is_applicable(method: str, data: Dataset) -> bool:
    """Whether a method models the modalities of a data set."""
    needs = _REQUIRED_MODALITIES.get(method)
    return needs is None or needs == set(data.modalities)
