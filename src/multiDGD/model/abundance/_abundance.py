"""Differential abundance of cells between samples, in latent space or by label."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
import pandas as pd
import torch
from anndata import AnnData
from mudata import MuData
from scvi import settings
from torch import Tensor
from torch.distributions import (
    Categorical,
    Distribution,
    Independent,
    MixtureSameFamily,
    Normal,
    StudentT,
)

from multiDGD._checks import choice, finite, positive, positive_int
from multiDGD.model.core._progress import track
from multiDGD.model.core._random import subsample
from multiDGD.model.core._representations import as_positions
from multiDGD.model.embedding._components import ComponentMixin
from multiDGD.stats import SampleDensities

from ._samples import SampleComparison, Samples, read_comparisons, read_samples
from ._tables import cell_table, proportion_table

# Largest number of pairs of cells at once: 32 MB in double precision.
_BLOCK_PAIRS = 2**22
# Default of `n_neighbors`: cells for each sample, and largest share of all cells.
_NEIGHBORS_PER_SAMPLE, _MAX_NEIGHBORS = 20, 0.2
Unit: TypeAlias = Literal["cell", "component", "label"]


class AbundanceMixin(ComponentMixin):
    """Differential abundance of cells between samples and between groups of samples."""

    def get_aggregated_posterior(
        self,
        adata: AnnData | MuData | None = None,
        indices: Sequence[int] | None = None,
        batch_size: int | None = None,
        dof: float | None = None,
    ) -> Distribution:
        """Return the mixture of the posteriors of cells, as a distribution of torch.

        Each cell is a component with the same weight: a normal distribution with the mean and
        variances of ``get_latent_representation(return_dist=True)``.

        Parameters
        ----------
        adata, indices, batch_size
            As for :meth:`get_latent_representation`.
        dof
            Degrees of freedom of t distributions with the same locations, and the standard
            deviations as scales. Components are normal if `None`, the default. In scvi-tools, it
            is 3.

        Returns
        -------
        A `torch.distributions.MixtureSameFamily` over representations, on the model's device.

        Raises
        ------
        ValueError
            If there are no cells, or ``dof`` is not above 0.

        Examples
        --------
        >>> posterior = model.get_aggregated_posterior(indices=[0, 1])  # doctest: +SKIP
        >>> posterior.log_prob(torch.zeros(model.module.n_latent))  # doctest: +SKIP
        """
        if dof is not None:
            positive("dof", dof)
        manager = self._manager_of(adata)
        if not len(as_positions(indices, manager.adata.n_obs)):
            raise ValueError("`indices` must contain at least one cell, found none.")
        found = self.get_latent_representation(adata, indices, batch_size, return_dist=True)
        mean_nl, variance_nl = (torch.from_numpy(x).to(self.module.device) for x in found)
        cells: Distribution
        if dof is None:
            cells = Normal(mean_nl, variance_nl.sqrt())
        else:
            cells = StudentT(dof, mean_nl, variance_nl.sqrt())
        weights = Categorical(logits=torch.zeros(len(mean_nl), device=mean_nl.device))
        return MixtureSameFamily(weights, Independent(cells, 1))

    def differential_abundance(
        self,
        adata: AnnData | MuData | None = None,
        sample_key: str | None = None,
        batch_size: int | None = None,
        num_cells_posterior: int | None = None,
        dof: float | None = None,
        groupby: str | None = None,
        group1: Any = None,
        group2: Any = None,
        by: Unit = "cell",
        label_key: str | None = None,
        n_neighbors: int | None = None,
        level: float = 0.95,
        silent: bool = False,
    ) -> pd.DataFrame:
        r"""Compare the abundance of cells between samples, or between groups of samples.

        Without ``groupby``, the result is that of scvi-tools: the log density of every sample at
        every cell, where the density of a sample is the mixture of the posteriors of its cells
        (:meth:`get_aggregated_posterior`).

        With ``groupby``, samples are the replicates of groups. There are three ways to compare
        these:

        - ``by="cell"``: the density of the first group relative to the second at each cell. The
          log densities of the samples are compared by t-tests with variances moderated over all
          cells. They are smoothed over ``n_neighbors`` cells and leave the cell itself out
          (:class:`multiDGD.stats.SampleDensities`).
        - ``by="label"``: the proportion of each label among the cells of a sample.
        - ``by="component"``: the proportion of each mixture component.

        Proportions are compared by a beta-binomial model. The standard deviation between samples
        has a prior that is common to all labels (:func:`multiDGD.stats.compare_proportions`).

        Proportions and densities of a sample sum to one: if one label increases, the others
        decrease.

        Parameters
        ----------
        adata
            Cells to compare, as for :meth:`get_latent_representation`; the training data by
            default.
        sample_key
            Column of ``.obs`` with the sample (donor, animal) of each cell; required. Cells
            without a sample are in no density and no proportion.
        batch_size
            Number of cells in a minibatch, for inference; ``scvi.settings.batch_size`` by default.
        num_cells_posterior
            Largest number of cells of each sample in its density, drawn at random. All by default.
        dof
            As for :meth:`get_aggregated_posterior`; only without ``groupby``.
        groupby
            Column of ``.obs`` with the group (condition) of each cell, the same for all cells of a
            sample.
        group1
            Name or names of groups, each of which is compared with ``group2``. By default, all
            groups with at least two samples. The others are named in a logged warning and in
            ``attrs["omitted_groups"]`` of the table.
        group2
            Name of the group to compare with; all other samples by default.
        by
            Unit of the comparison: ``"cell"``, ``"component"`` or ``"label"``.
        label_key
            Column of ``.obs`` with the labels; the registered ``labels_key`` by default. Cells
            without a label are ignored.
        n_neighbors
            Effective number of cells over which densities are smoothed, for ``by="cell"``. More
            cells give more power and less resolution. The default is 20 for each sample, and at
            most a fifth of all cells.
        level
            Coverage of the intervals.
        silent
            Hide the progress bar.

        Returns
        -------
        Without ``groupby``, a table of log densities (nats) with a row for each cell and a column
        for each sample. It is also stored in ``.obsm["da_log_probs"]`` of the data, unless these
        are a view.

        With ``groupby``, one table for each comparison, concatenated. For ``by="cell"``, it has a
        row for each cell and the columns

        - ``log_ratio``, ``log_ratio_lower``, ``log_ratio_upper``: log density ratio (nats) of the
          first group to the second, and its interval;
        - ``p_value`` of no difference, and ``fdr``, adjusted by Benjamini-Hochberg;
        - ``comparison``, ``group1``, ``group2``: names of the groups.

        Otherwise, it has a row for each label or component, ordered by p-value, and the columns

        - ``log_odds_ratio``, ``log_odds_ratio_lower``, ``log_odds_ratio_upper``: log odds (nats) of
          the label in the first group relative to the second, and their interval;
        - ``p_value``, twice the posterior probability of the less probable sign, and ``fdr``;
        - ``proportion1``, ``proportion2``: mean proportion over the samples of each group;
        - ``sd_samples``: estimated standard deviation of the log odds between samples of a group;
        - ``n_cells``: number of cells;
        - ``comparison``, ``group1``, ``group2``.

        Raises
        ------
        ValueError
            If ``sample_key`` or another column is missing, there is only one sample, groups differ
            within a sample, a named group has fewer than two samples, or a number is out of range.

        Examples
        --------
        >>> import numpy as np
        >>> from multiDGD import MultiDGD
        >>> from multiDGD.datasets import simulate_multiome
        >>> mdata = simulate_multiome(n_cells=200, n_genes=30, n_peaks=60)
        >>> mdata.obs["donor"] = np.arange(200) % 6
        >>> mdata.obs["treated"] = np.where(mdata.obs["donor"] < 3, "no", "yes")
        >>> MultiDGD.setup_mudata(mdata)
        >>> model = MultiDGD(mdata, n_latent=5)
        >>> model.train(max_epochs=2, enable_progress_bar=False)
        >>> model.differential_abundance(sample_key="donor", silent=True).shape
        (200, 6)
        >>> table = model.differential_abundance(
        ...     sample_key="donor",
        ...     groupby="treated",
        ...     group1="yes",
        ...     by="label",
        ...     label_key="cell_type",
        ... )
        >>> table["p_value"].is_monotonic_increasing
        True
        """
        choice("by", by, get_args(Unit))
        if not 0 < finite("level", level) < 1:
            raise ValueError(f"`level` must be between 0 and 1, found {level}.")
        for argument, value in (
            ("num_cells_posterior", num_cells_posterior),
            ("n_neighbors", n_neighbors),
        ):
            if value is not None:
                positive_int(argument, value)
        if dof is not None and positive("dof", dof) and groupby is not None:
            raise ValueError("`dof` applies only without `groupby`; omit one of them.")
        if groupby is None and (group1 is not None or group2 is not None or by != "cell"):
            raise ValueError(
                "`groupby` is required with `group1`, `group2` or `by`: the column of obs with the "
                "group of each sample."
            )
        manager = self._manager_of(adata)
        obs = manager.adata.obs
        samples = read_samples(obs, sample_key)
        cells = _cells_of_densities(samples.codes, num_cells_posterior)
        if groupby is None:
            log_ns = self._log_densities(adata, samples, cells, batch_size, dof, None, silent)
            table = pd.DataFrame(log_ns, index=obs.index, columns=samples.names)
            # Columns of other types than text cannot be written to a file.
            manager.adata.obsm["da_log_probs"] = table.rename(columns=str)
            return table
        comparisons, omitted = read_comparisons(obs, samples, groupby, group1, group2)
        if by == "cell":
            n_used = len(np.unique(np.concatenate([c.samples for c in comparisons])))
            default = min(_NEIGHBORS_PER_SAMPLE * n_used, int(_MAX_NEIGHBORS * len(cells)))
            n_neighbors = n_neighbors or max(1, default)
            log_ns = self._log_densities(
                adata, samples, cells, batch_size, None, n_neighbors, silent
            )
            tables = [cell_table(log_ns, obs.index, c, level) for c in comparisons]
        else:
            codes, names = self._units(adata, obs, by, label_key)
            counts = _counts(samples, codes, len(names), comparisons, label_key)
            tables = [proportion_table(counts, names, c, level) for c in comparisons]
        joined = pd.concat(tables)
        joined.attrs["omitted_groups"] = omitted
        return joined

    def _units(
        self,
        adata: AnnData | MuData | None,
        obs: pd.DataFrame,
        by: str,
        label_key: str | None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Label or component of each cell, -1 if unknown, and the names."""
        if by == "component":
            return self.get_cluster_assignments(adata), np.arange(self.module.mixture.n_mix_comp)
        data = self.adata if adata is None else adata
        labels = self._labels_of(data, label_key)
        if labels is None:
            raise ValueError(
                "`label_key` is required: the column of obs with the labels. No labels are "
                "registered, or the data lack their column."
            )
        found = pd.Categorical(labels)
        return np.asarray(found.codes, dtype=np.int64), np.asarray(found.categories)

    def _log_densities(
        self,
        adata: AnnData | MuData | None,
        samples: Samples,
        cells: np.ndarray,
        batch_size: int | None,
        dof: float | None,
        n_neighbors: int | None,
        silent: bool,
    ) -> np.ndarray:
        """Log density of each sample at each cell; smoothed if ``n_neighbors`` is given.

        ``cells`` are the positions of the cells that the densities consist of.
        """
        found = self.get_latent_representation(
            adata, None, batch_size, return_dist=True, silent=silent
        )
        # Distances by matrix products need double precision, which not all devices support.
        mean_nl, variance_nl = (torch.from_numpy(x).double() for x in found)
        codes = torch.from_numpy(samples.codes[cells])
        densities = SampleDensities(mean_nl[cells], variance_nl[cells], codes, len(samples.names))
        own_n = torch.full((len(mean_nl),), -1)
        own_n[cells] = torch.arange(len(cells))
        size = max(1, _BLOCK_PAIRS // len(cells))
        parts: list[Tensor] = []
        blocks = list(zip(mean_nl.split(size), own_n.split(size), strict=True))
        for z_nl, own in track(blocks, "Comparing", disable=silent):
            if n_neighbors is None:
                parts.append(densities.log_density(z_nl, dof))
            else:
                parts.append(densities.smoothed(z_nl, own, n_neighbors))
        return torch.cat(parts).numpy()


def _cells_of_densities(codes: np.ndarray, n_cells: int | None) -> np.ndarray:
    """Positions of the cells of all samples, at most ``n_cells`` of each."""
    if n_cells is None:
        return np.flatnonzero(codes >= 0)
    rng = np.random.default_rng(settings.seed)
    drawn = [subsample(np.flatnonzero(codes == s), n_cells, rng) for s in range(codes.max() + 1)]
    return np.concatenate(drawn)


def _counts(
    samples: Samples,
    codes: np.ndarray,
    n_units: int,
    comparisons: Sequence[SampleComparison],
    label_key: str | None,
) -> np.ndarray:
    """Number of cells of each sample and label, shape ``(s, j)``."""
    is_used = (samples.codes >= 0) & (codes >= 0)
    counts_sj = np.zeros((len(samples.names), n_units), dtype=np.int64)
    np.add.at(counts_sj, (samples.codes[is_used], codes[is_used]), 1)
    used = np.unique(np.concatenate([c.samples for c in comparisons]))
    empty = used[counts_sj[used].sum(1) == 0]
    if len(empty):
        raise ValueError(
            f"`label_key` {label_key!r}: sample {samples.names[empty[0]]!r} has no labelled cell."
        )
    if (counts_sj[used].sum(0) > 0).sum() < 2:
        raise ValueError("`by`: all cells have the same label; at least two labels are needed.")
    return counts_sj
