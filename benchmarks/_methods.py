"""The methods compared: each a function ``(train, held_out, seed, max_epochs) -> Fit``."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import scvi
from _baselines import PCABaseline, mean_profile
from _data import BATCH_KEY, Dataset

#: Dimensions of every latent space that we choose (scvi-tools' models keep their own default).
N_LATENT = 20
#: Progress bars and summaries off.
QUIET = {"enable_progress_bar": False, "enable_model_summary": False}


@dataclass
class Fit:
    """What one method made of one split.

    ``predictions`` holds, for held-out cells: ``rna`` profiles (rows sum to 1), ``atac`` expected
    accessibility (any increasing scale), ``prot`` expected counts. A method that gives no
    embedding, or cannot place new cells, leaves ``None`` or an empty dictionary.
    """

    embedding: np.ndarray | None
    held_out_embedding: np.ndarray | None = None
    predictions: dict[str, np.ndarray] = field(default_factory=dict)
    epochs: int | None = None
    default_epochs: bool = True
    times: dict[str, float] = field(default_factory=dict)


@contextmanager
def _timed(times: dict[str, float], name: str):
    """Add wall and processor seconds of the block to ``times``."""
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
    """Build, train and query a scvi-tools model whose set-up has been called on ``train``."""
    times: dict[str, float] = {}
    with _timed(times, "train"):
        model = cls(train.data, **model_kwargs)
        limit = {} if max_epochs is None else {"max_epochs": max_epochs}
        model.train(**limit, **QUIET)
    with _timed(times, "map"):
        new = np.asarray(model.get_latent_representation(held_out.data))
    return Fit(
        embedding=np.asarray(model.get_latent_representation()),
        held_out_embedding=new,
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
    """MultiDGD; with as many components as there are types, or with its own default."""
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


def multidgd_no_labels(
    train: Dataset, held_out: Dataset, seed: int, max_epochs: int | None
) -> Fit:
    """MultiDGD with its own default number of components: nothing at all known of the labels."""
    return multidgd(train, held_out, seed, max_epochs, true_components=False)


def multivi(train: Dataset, held_out: Dataset, seed: int, max_epochs: int | None) -> Fit:
    """MultiVI with its defaults; held-out cells go through its encoder.

    Its accessibility is scaled by its region and cell factors: the mean of its own likelihood.
    """
    scvi.settings.seed = seed
    scvi.model.MULTIVI.setup_mudata(
        train.data,
        batch_key=BATCH_KEY,
        modalities={"rna_layer": "rna", "atac_layer": "atac"},
    )
    # MULTIVI asks for this column in every new object but only adds it in its set-up.
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
    """TotalVI with its defaults; held-out cells go through its encoder.

    Its proteins are expected counts, background included, the mean of 25 posterior samples.
    """
    scvi.settings.seed = seed
    for part in (train, held_out):  # its background prior takes dense proteins only
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
    """PCA (RNA, protein) and LSI (ATAC), 20 dimensions in all; no batch correction."""
    times: dict[str, float] = {}
    names = list(train.modalities)
    with _timed(times, "train"):
        model = PCABaseline(n_components=N_LATENT // len(names), seed=seed)
        embedding = model.fit({name: train.counts(name) for name in names})
    with _timed(times, "map"):
        new, predictions = model.transform({name: held_out.counts(name) for name in names})
    return Fit(embedding, new, predictions, times=times)


def mean(train: Dataset, held_out: Dataset, seed: int, max_epochs: int | None) -> Fit:
    """The training cells' average profile for every cell: what the predictions have to beat."""
    predictions = {
        name: mean_profile(train.counts(name), held_out.counts(name), scaled=name != "rna")
        for name in train.modalities
    }
    return Fit(None, predictions=predictions)


def spectral(train: Dataset, held_out: Dataset, seed: int, max_epochs: int | None) -> Fit:
    """MultiDGD's spectral start alone, untrained."""
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

#: Name on the command line -> (title in the table, function).
METHODS: dict[str, tuple[str, Method]] = {
    "multidgd": ("multidgd", multidgd),
    "multidgd-no-labels": ("multidgd (no labels at all)", multidgd_no_labels),
    "spectral": ("multidgd's spectral start", spectral),
    "multivi": ("multivi", multivi),
    "totalvi": ("totalvi", totalvi),
    "scvi": ("scvi", scvi_rna),
    "pca": ("pca / lsi", pca),
    "mean": ("average profile", mean),
}

_COMPETITORS = {"multivi": {"rna", "atac"}, "totalvi": {"rna", "prot"}, "scvi": {"rna"}}


def suits(method: str, data: Dataset) -> bool:
    """Whether a method is meant for a data set's modalities."""
    needs = _COMPETITORS.get(method)
    return needs is None or needs == set(data.modalities)
