"""Write the saves of one schema: ``python -m tests.saves.make 1``, with the code that writes it.

Every folder is written once, by the version that introduced its schema, and never again.
"""

import json
import sys
from pathlib import Path

import numpy as np
import scvi
from mudata import MuData
from tests.model.fitting import fitted, renamed, renamed_mudata
from tests.toy import toy_adata, toy_mudata

HERE = Path(__file__).parent
SMALL = {"decoder_kwargs": {"n_units": 6}}
SETUPS = {
    "adata": {"batch_key": "batch", "labels_key": "label", "continuous_covariate_keys": ["age"]},
    "mdata": {"batch_key": "batch", "categorical_covariate_keys": ["site"]},
}
#: Prefix of the files of each save.
PREFIXES = {"adata": None, "mdata": "two_"}


def results(model):
    """Results of a model that must stay the same, as lists."""
    data = model.adata[:8].copy()
    is_mudata = isinstance(data, MuData)
    query = (renamed_mudata if is_mudata else renamed)(data, "new_")
    rna = {"modality": "rna"} if is_mudata else {}
    found = {
        "representation": model.get_latent_representation(),
        "batch": model.get_covariate_representation("batch"),
        "typicality": model.get_typicality(),
        "expression": model.get_normalized_expression(return_numpy=True, **rna),
        "query": model.get_latent_representation(query),
    }
    if is_mudata:
        found["imputed"] = model.impute(query, "atac").to_numpy()
    else:
        found["probabilities"] = model.predict(soft=True).to_numpy()
    return {name: np.asarray(x, dtype=np.float64).round(6).tolist() for name, x in found.items()}


def main(schema):
    for name, setup in SETUPS.items():
        scvi.settings.seed = 0
        data = toy_adata() if name == "adata" else toy_mudata()
        model = fitted(data, model=SMALL, train={"max_epochs": 6}, **setup)
        folder = HERE / f"schema_{schema}" / name
        model.save(folder, prefix=PREFIXES[name], save_anndata=True)
        (folder / "expected.json").write_text(json.dumps(results(model)) + "\n")


if __name__ == "__main__":
    main(int(sys.argv[1]))
