"""WNN and MIDAS, for an interpreter that has muon and scmidas and need not have multiDGD.

``PYTHON other_environment.py METHOD FOLDER --seed 0``

The folder has the input: ``components.npz`` (wnn) or ``train.h5mu`` and ``half.h5mu`` (midas). The
output is ``output.npz`` with arrays, and ``properties.json``.
"""

from __future__ import annotations

import argparse
import json
import re
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

#: Neighbours of each cell in the graph of WNN; scores use at most as many.
N_NEIGHBORS = 90
#: Neighbours in each modality, from which WNN computes weights: the default of scanpy.
N_MODALITY_NEIGHBORS = 15
#: Epochs of MIDAS in its quick start, and its transformation of counts.
MIDAS_EPOCHS, TRANSFORM = 2000, {"atac": "binarize"}


def wnn(folder: Path, args: argparse.Namespace) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Nearest neighbours of each cell in the graph of WNN."""
    with np.load(folder / "components.npz") as stored:
        components = {name: stored[name] for name in stored.files}
    clock = now()
    graph = wnn_graph(components, args.seed)
    seconds = now() - clock
    indices, distances = nearest(graph.indptr, graph.indices, graph.data)
    return {"indices": indices, "distances": distances}, {
        "seconds": seconds.tolist(),
        "epochs": None,
    }


def wnn_graph(components: dict[str, np.ndarray], seed: int) -> Any:
    """Distances of WNN, sparse; components get unit norm first, as muon recommends."""
    import anndata as ad
    import mudata as md
    import muon as mu
    import scanpy as sc

    parts = {}
    for name, component in components.items():
        parts[name] = ad.AnnData(np.zeros((len(component), 1), np.float32))
        parts[name].obsm["X_pca"] = np.array(component, dtype=np.float64)
    mdata = md.MuData(parts)
    mu.pp.l2norm(mdata, rep="X_pca")
    for part in mdata.mod.values():
        sc.pp.neighbors(part, n_neighbors=N_MODALITY_NEIGHBORS, use_rep="X_pca", random_state=seed)
    mu.pp.neighbors(mdata, n_neighbors=N_NEIGHBORS, random_state=seed)
    return mdata.obsp["distances"].tocsr()


def nearest(
    indptr: np.ndarray, columns: np.ndarray, values: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Columns and values of each row of a sparse graph in the order of the values.

    All rows have the length of the shortest one, at most :data:`N_NEIGHBORS`; the cell itself is
    left out.
    """
    found = []
    for row, (first, last) in enumerate(zip(indptr[:-1], indptr[1:], strict=True)):
        others = columns[first:last] != row
        order = np.argsort(values[first:last][others], kind="stable")
        found.append((columns[first:last][others][order], values[first:last][others][order]))
    k = min(N_NEIGHBORS, *(len(some) for some, _ in found))
    return np.stack([c[:k] for c, _ in found]), np.stack([v[:k] for _, v in found])


def midas(folder: Path, args: argparse.Namespace) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Train MIDAS; embed the training cells and impute the counts of the held-out cells."""
    import lightning
    import mudata as md
    from scmidas.config import load_config
    from scmidas.model import MIDAS

    lightning.seed_everything(args.seed, verbose=False)
    train, half = (md.read_h5mu(folder / f"{name}.h5mu") for name in ("train", "half"))
    prepared = for_midas(train)
    # Workers are processes: they change the speed and not the result.
    loading = {"num_workers": 0, "pin_memory": False, "persistent_workers": False}
    model = MIDAS.configure_data_from_mdata(
        {**load_config(), **loading},
        prepared,
        {name: chunks(part.var_names) for name, part in prepared.mod.items()},
        transform=TRANSFORM,
        save_model_path=str(folder),
    )
    epochs = args.max_epochs or MIDAS_EPOCHS
    clock = now()
    model.train(
        max_epochs=epochs,
        accelerator="cpu",
        devices=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    seconds = now() - clock
    found = model.predict(verbose=False)
    embedding = [found[batch]["z_c"]["joint"] for batch in model.batch_names]
    arrays = {"embedding": in_order(embedding, prepared, train)}
    arrays |= imputed(model, half)
    return arrays, {"seconds": seconds.tolist(), "epochs": epochs}


def imputed(model: Any, half: Any) -> dict[str, np.ndarray]:
    """Counts imputed for new cells, from all their counts; the data of the model are replaced."""
    from scmidas.data import MultiModalDataset

    prepared = for_midas(half)
    data, _, batches = model.get_info_from_mdata(prepared)
    numbers = [list(model.batch_names).index(batch) for batch in batches]
    model.datalist = [
        MultiModalDataset(
            parts, model.s_joint[number], dict.fromkeys(parts, "anndata"), None, TRANSFORM
        )
        for parts, number in zip(data, numbers, strict=True)
    ]
    model.combs, model.batch_names = [list(parts) for parts in data], batches
    found = model.predict(impute=True, verbose=False)
    arrays = {}
    for name, part in half.mod.items():
        counts = [found[batch]["x_impt"][midas_name(name)] for batch in batches]
        columns = prepared.mod[midas_name(name)].var_names.get_indexer(part.var_names)
        arrays[f"profile_{name}"] = in_order(counts, prepared, half)[:, columns]
    return arrays


def in_order(rows: list[np.ndarray], prepared: Any, mdata: Any) -> np.ndarray:
    """Rows of the cells of each batch, brought to the order of the cells."""
    from scmidas.model import MIDAS

    names = []
    for parts in MIDAS.get_info_from_mdata(prepared)[0]:
        first, *others = (part.obs_names for part in parts.values())
        if not all(first.equals(other) for other in others):
            raise ValueError("MIDAS needs the same modalities in all cells of a batch.")
        names.append(first)
    found = np.concatenate(rows)
    ordered = np.empty_like(found)
    ordered[mdata.obs_names.get_indexer(np.concatenate(names))] = found
    return ordered


def now() -> np.ndarray:
    """Wall time and processor time (s)."""
    return np.array([time.perf_counter(), time.process_time()])


def midas_name(modality: str) -> str:
    """Name of a modality in MIDAS."""
    return "adt" if modality == "prot" else modality


def for_midas(mdata: Any) -> Any:
    """Copy with the names of MIDAS, the batch in every modality, and peaks by chromosome."""
    import mudata as md

    parts = {}
    for name, part in mdata.mod.items():
        order = np.argsort([chromosome(peak) for peak in part.var_names], kind="stable")
        part = part[:, order].copy() if name == "atac" else part.copy()
        part.obs["batch"] = mdata.obs.loc[part.obs_names, "batch"].astype(str).to_numpy()
        parts[midas_name(name)] = part
    return md.MuData(parts)


def chromosome(peak: str) -> str:
    """Chromosome of ``chr1-10-20``, ``chr1:10-20`` or ``chr1_10_20``."""
    return re.split("[:_-]", peak)[0]


def chunks(names: Any) -> list[int]:
    """Numbers of features of each chromosome, or of all features that are not peaks."""
    is_peak = all(re.match(r"^[\w.]+[:_-]\d+[-_]\d+$", name) for name in names)
    if not is_peak:
        return [len(names)]
    return np.unique([chromosome(name) for name in names], return_counts=True)[1].tolist()


METHODS = {"wnn": (wnn, ("muon", "scanpy")), "midas": (midas, ("scmidas", "torch"))}


def main() -> None:
    """Run a method and write its output."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("method", choices=METHODS)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--max-epochs", type=int)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    run, packages = METHODS[args.method]
    if args.method == "midas":
        import torch

        torch.set_num_threads(args.threads)
    arrays, properties = run(args.folder, args)
    properties["versions"] = {package: version(package) for package in packages}
    np.savez(args.folder / "output.npz", **arrays)
    (args.folder / "properties.json").write_text(json.dumps(properties))


if __name__ == "__main__":
    main()
