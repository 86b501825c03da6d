"""Simulated paired multiomes with known ground truth."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import mudata
import numpy as np
import pandas as pd
from anndata import AnnData
from numpy.typing import NDArray

from multiDGD._mudata import without_pulling

from ._genome import simulate_genome
from ._log_linear import LogLinearModel

if TYPE_CHECKING:
    from mudata import MuData

_MAY_BE_ZERO = {
    "type_separation",
    "within_type_sd",
    "effect_size",
    "batch_effect",
    "n_linked_peaks",
    "library_sd",
    "seed",
}


def simulate_multiome(
    n_cells: int = 1000,
    n_genes: int = 300,
    n_peaks: int = 600,
    n_types: int = 5,
    n_batches: int = 2,
    *,
    n_latent: int = 5,
    type_separation: float = 1.0,
    within_type_sd: float = 0.3,
    effect_size: float = 1.0,
    batch_effect: float = 0.3,
    n_linked_peaks: int = 1,
    rna_library_size: float = 1500.0,
    atac_library_size: float = 1500.0,
    library_sd: float = 0.3,
    density: float | None = None,
    rna_inverse_dispersion: float = 4.0,
    atac_inverse_dispersion: float = 4.0,
    true_means: bool = False,
    seed: int = 0,
) -> MuData:
    """Simulate a paired multiome with known types, batches, means and peak-gene links.

    The representation of a cell of type t is ``z ~ N(centre_t, within_type_sd**2)``, with ``centre ~
    N(0, type_separation**2)`` in each latent dimension. The counts of feature j in a cell of batch
    b are ``NB(mean = library * softmax_j(base_j + w_j . z + e_jb), r)``, with variance
    ``mean + mean**2 / r`` and log-normal library sizes. A linked peak has the loadings ``w`` of its
    gene; other peaks have independent loadings.

    Parameters
    ----------
    n_cells, n_genes, n_peaks
        Size of the data.
    n_types, n_batches
        Numbers of cell types and batches. Both are drawn uniformly and independently for each
        cell; every type and batch has at least one cell.
    n_latent
        Number of latent dimensions.
    type_separation, within_type_sd
        Standard deviations of the type centres and of the cells around them, per latent dimension.
    effect_size
        Standard deviation over features of the log fold change per unit of latent distance.
    batch_effect
        Standard deviation over features of the log fold change of a batch from the mean of all
        batches.
    n_linked_peaks
        Peaks linked to each gene; ``n_genes * n_linked_peaks`` must not exceed ``n_peaks``.
    rna_library_size, atac_library_size
        Medians of a cell's expected total counts.
    library_sd
        Standard deviation of the logarithms of the library sizes.
    density
        Fraction of non-zero counts. If given, it determines the library sizes.
    rna_inverse_dispersion, atac_inverse_dispersion
        Parameter ``r`` of the negative binomials; larger values are closer to Poisson.
    true_means
        Keep the expected counts in ``layers["true_mean"]`` of each modality. They are dense.
    seed
        Seed of the simulation; the global generators are not used.

    Returns
    -------
    mudata.MuData
        Modalities ``rna`` and ``atac`` with counts (CSR, float32), and the ground truth:

        - ``obs["cell_type"]``, ``obs["batch"]`` and ``obsm["X_true"]``, the representation;
        - in each modality ``obs["library_size"]`` (expected total), ``var[["chrom", "start",
          "end"]]``, ``var["base"]``, ``varm["loadings"]`` (features, latent dimensions) and
          ``varm["batch_effect"]`` (features, batches);
        - ``uns["truth"]["links"]``, a table of ``gene``, ``peak`` and ``distance``, and
          ``uns["truth"]["parameters"]``.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type or is out of range; the message names it.

    Examples
    --------
    >>> mdata = simulate_multiome(n_cells=50, n_genes=20, n_peaks=40)
    >>> mdata.shape
    (50, 60)
    >>> mdata.uns["truth"]["links"].shape
    (20, 3)
    """
    parameters = {name: value for name, value in locals().items() if value is not None}
    del parameters["true_means"]
    _check(parameters)
    # Separate generators, so that the number of peaks does not change the cells and genes.
    cells, genome_rng, gene_rng, peak_rng, rna_rng, atac_rng = np.random.default_rng(seed).spawn(6)

    types = _draw_groups(n_cells, n_types, cells)
    batch = _draw_groups(n_cells, n_batches, cells)
    centres = cells.normal(0.0, type_separation, (n_types, n_latent))
    latent = (centres[types] + cells.normal(0.0, within_type_sd, (n_cells, n_latent))).astype("f4")
    relative_sizes = cells.lognormal(0.0, library_sd, (2, n_cells)).astype("f4")

    genome = simulate_genome(n_genes, n_peaks, n_linked_peaks, genome_rng)
    shape = (n_latent, n_batches, effect_size, batch_effect)
    genes = LogLinearModel.draw(n_genes, *shape, gene_rng)
    peaks = LogLinearModel.draw(n_peaks, *shape, peak_rng)
    linked = genome.gene_of_peak >= 0
    peaks.loadings[linked] = genes.loadings[genome.gene_of_peak[linked]]

    obs = pd.DataFrame(
        {
            "cell_type": pd.Categorical.from_codes(types, [f"type_{i}" for i in range(n_types)]),
            "batch": pd.Categorical.from_codes(batch, [f"batch_{i}" for i in range(n_batches)]),
        },
        index=pd.Index([f"cell_{i}" for i in range(n_cells)]),
    )
    mods = {}
    for row, (name, model, var, size, r, rng) in enumerate(
        [
            ("rna", genes, genome.genes, rna_library_size, rna_inverse_dispersion, rna_rng),
            ("atac", peaks, genome.peaks, atac_library_size, atac_inverse_dispersion, atac_rng),
        ]
    ):
        relative = relative_sizes[row]
        if density is not None:
            size = model.library_size_for_density(latent, batch, relative, r, density)
        counts, means = model.draw_counts(latent, batch, size * relative, r, rng, true_means)
        mods[name] = AnnData(
            counts,
            obs=pd.DataFrame({"library_size": size * relative}, index=obs.index),
            var=var.assign(base=model.base),
            varm={"loadings": model.loadings, "batch_effect": model.batch_effect},
            layers={} if means is None else {"true_mean": means},
        )

    # Types and batches are stored once, in the MuData: copies in the modalities could diverge.
    with without_pulling():
        mdata = mudata.MuData(mods)
    mdata.obs = obs
    mdata.obsm["X_true"] = latent
    mdata.uns["truth"] = {"links": genome.links(), "parameters": parameters}
    return mdata


def simulate_wide(
    n_cells: int = 3000,
    n_genes: int = 13_000,
    n_peaks: int = 116_000,
    density: float = 0.03,
    seed: int = 0,
) -> MuData:
    """Simulate a multiome of realistic width and sparsity, for timing.

    Calls :func:`simulate_multiome` with 20 types, 4 batches and the given density.

    Parameters
    ----------
    n_cells, n_genes, n_peaks
        Size of the data.
    density
        Fraction of non-zero counts in each modality.
    seed
        Seed of the simulation.

    Returns
    -------
    mudata.MuData
        As :func:`simulate_multiome` returns it.

    Raises
    ------
    ValueError
        If an argument is out of range; the message names it.

    Examples
    --------
    >>> simulate_wide(n_cells=30, n_genes=200, n_peaks=2000).shape
    (30, 2200)
    """
    return simulate_multiome(
        n_cells, n_genes, n_peaks, n_types=20, n_batches=4, density=density, seed=seed
    )


def _check(parameters: dict[str, Any]) -> None:
    """Raise an error that names the first argument out of range."""
    for name, value in parameters.items():
        if (name.startswith("n_") or name == "seed") and not isinstance(value, int | np.integer):
            raise TypeError(f"`{name}` must be an integer; found {value!r}.")
        low = "at least 0" if name in _MAY_BE_ZERO else "positive"
        if not math.isfinite(value) or value < 0 or (value == 0 and low == "positive"):
            raise ValueError(f"`{name}` must be {low}; found {value}.")
    for name in ("n_types", "n_batches"):
        if parameters[name] > parameters["n_cells"]:
            raise ValueError(
                f"`{name}` must not exceed the {parameters['n_cells']} cells; "
                f"found {parameters[name]}."
            )
    if parameters["n_genes"] * parameters["n_linked_peaks"] > parameters["n_peaks"]:
        raise ValueError(
            f"`n_linked_peaks` = {parameters['n_linked_peaks']} for each of "
            f"{parameters['n_genes']} genes needs more than the {parameters['n_peaks']} peaks."
        )
    if parameters.get("density", 0.5) >= 1:
        raise ValueError(f"`density` must be below 1; found {parameters['density']}.")


def _draw_groups(n_cells: int, n_groups: int, rng: np.random.Generator) -> NDArray[np.intp]:
    """Draw a group for each cell; every group occurs at least once."""
    groups = np.concatenate([np.arange(n_groups), rng.integers(0, n_groups, n_cells - n_groups)])
    return rng.permutation(groups)
