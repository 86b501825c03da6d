"""Simulation of cells from the trained model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
import pandas as pd
import torch
from anndata import AnnData
from mudata import MuData
from scipy import sparse
from torch import Tensor

from multiDGD._checks import choice, integer, positive, positive_int
from multiDGD._names import nearest
from multiDGD.latent import GaussianMixture, GaussianMixtureSupervised
from multiDGD.model.core._cell_subset import CellSubset
from multiDGD.model.core._random import new_generator, resolve_seed, subsample
from multiDGD.model.decoding._decoding import DecodingMixin

from ._as_data import as_anndata, as_mudata

Source: TypeAlias = Literal["mixture", "cells"]
_BATCH = 256
# Training cells whose representations, library sizes and annotation are stored.
_MAX_CELLS = 5_000


class GenerationMixin(DecodingMixin):
    """Simulated cells."""

    def _learn_cell_subset(self) -> CellSubset:
        """Representations, library sizes and annotation of some training cells."""
        manager = self.adata_manager
        dataset = manager.create_torch_dataset()
        cells = subsample(self.train_indices_, _MAX_CELLS)
        return CellSubset(
            representation=self.module.representations.z.detach().cpu().numpy()[cells],
            library=self._complete_libraries(manager, cells, None),
            labels=dataset.labels[cells],
            covariates=dataset.covariates[cells],
            continuous=dataset.continuous[cells],
        )

    @torch.inference_mode()
    def sample(
        self,
        n: int,
        label: str | None = None,
        component: int | list[int] | None = None,
        batch: str | None = None,
        covariates: Mapping[str, str] | None = None,
        library_size: float | Mapping[str, float] | None = None,
        from_: Source = "mixture",
        seed: int | None = None,
    ) -> AnnData | MuData:
        """Simulate cells with counts of every modality.

        For each cell, a component is drawn by its weight. A representation is then drawn around
        the mean of the component, with the covariance of its training cells. The component's own
        variances contribute to this covariance with the weight of 5 cells.

        Covariates and library sizes that are not given are those of one training cell of the same
        component. The library sizes thus match the cell type and the representation, and remain
        correlated between modalities. If no training cell has the given combination of
        categories, cells of other categories are used.

        Counts are drawn from the likelihoods under the condition that they sum to the library
        size within 2 %, or as close to it as the best of 50 draws.

        Parameters
        ----------
        n
            Number of cells.
        label
            Label of all cells; any by default. It requires a supervised mixture or
            ``from_="cells"``.
        component
            Component of the mixture, or a list of components, to draw from; all by default.
        batch
            Category of the ``batch_key``.
        covariates
            Categories of other categorical covariates, by name of the covariate.
        library_size
            Total count of each cell, for every modality or by name of the modality.
        from_
            ``"mixture"`` draws representations from the mixture. ``"cells"`` draws training
            cells with replacement and uses their representations and labels.
        seed
            Random seed; ``scvi.settings.seed`` by default. The global generators keep their
            state.

        Returns
        -------
        Object of the type used in the setup, with integer counts (CSR) in ``X`` and the registered
        layers. The columns of ``obs`` are ``component`` (``multidgd_component`` if a covariate has
        the name ``component``) and, under their registered names, the label and the covariates.
        The object is a valid query.

        Raises
        ------
        ValueError
            If the label, component, category or modality does not exist, or an argument is
            invalid. With ``from_="cells"``, also if no training cell has the label and component.
        RuntimeError
            If the model is not trained.

        Examples
        --------
        >>> from multiDGD import MultiDGD
        >>> from multiDGD.datasets import simulate_multiome
        >>> mdata = simulate_multiome(n_cells=100, n_genes=50, n_peaks=60)
        >>> MultiDGD.setup_mudata(mdata, batch_key="batch")
        >>> model = MultiDGD(mdata, n_latent=5)
        >>> model.train(max_epochs=2, enable_progress_bar=False)
        >>> model.sample(10, batch="batch_1").shape
        (10, 110)
        """
        if not self.is_trained_:
            raise RuntimeError("The model is not trained: call `train()` first.")
        positive_int("n", n)
        choice("from_", from_, get_args(Source))
        subset = self._learned.cell_subset
        if subset is None:
            raise ValueError(
                "The saved model contains no subset of its training cells: train it again."
            )
        components = self._components(label, component, from_)
        categories = self._categories(batch, covariates)
        libraries = self._fixed_libraries(library_size)
        candidates = None
        if from_ == "cells":
            candidates = self._candidates(subset, subset.within(categories), label, component)
        seed = resolve_seed() if seed is None else integer("seed", seed)
        return self._sample(n, subset, candidates, components, categories, libraries, seed)

    def _sample(
        self,
        n: int,
        subset: CellSubset,
        candidates: np.ndarray | None,
        components: np.ndarray,
        categories: dict[int, int],
        libraries: dict[str, float],
        seed: int,
    ) -> AnnData | MuData:
        """Simulate cells from checked arguments, from the mixture or from ``candidates``."""
        rng = np.random.default_rng(seed)
        module, mixture = self.module, self.module.mixture
        generator = new_generator(seed, device=module.device)
        is_eligible = subset.within(categories)
        u: list[Tensor] | None = None
        labels = np.full(n, -1)
        if candidates is None:
            component, z_nl = _sample_mixture(mixture, components, subset, n, generator)
            templates = subset.from_components(
                component.cpu().numpy(),
                self._components_of(subset),
                z_nl,
                is_eligible,
                rng,
            )
            if isinstance(mixture, GaussianMixtureSupervised):
                labels = (component // mixture.Ncompperclass).cpu().numpy()
        else:
            templates = rng.choice(candidates, n)
            w = torch.from_numpy(subset.representation[templates]).to(module.device)
            z_nl, u = module.split(w)
            component = mixture.clustering(z_nl)
            labels = subset.labels[templates]
        codes = subset.covariates[templates].copy()
        changed = {c for c, code in categories.items() if (codes[:, c] != code).any()}
        for column, code in categories.items():
            codes[:, column] = code
        representations = [z_nl]
        for number, of_covariate in enumerate(module.mixtures_of_covariates):
            column = module.covariate_columns[number]
            if u is not None and column not in changed:
                representations.append(u[number])
                continue
            drawn = torch.from_numpy(codes[:, column]).to(module.device)
            representations.append(of_covariate.supervised_sampling(drawn, generator=generator))
        library_nm = subset.libraries(z_nl, templates, is_eligible, rng)
        for modality, size in libraries.items():
            library_nm[:, module.modalities.index(modality)] = size
        continuous = subset.continuous[templates]
        w = torch.cat(representations, 1)
        counts = self._draw_counts(w, continuous, library_nm, generator)
        obs = self._obs(component.cpu().numpy(), labels, codes, continuous)
        make = as_mudata if self.registry_["setup_method_name"] == "setup_mudata" else as_anndata
        return make(counts, obs, self.registry_)

    def _draw_counts(
        self,
        w: Tensor,
        continuous: np.ndarray,
        library_nm: np.ndarray,
        generator: torch.Generator,
    ) -> dict[str, sparse.csr_matrix]:
        """Draw counts by modality, in minibatches to limit dense memory."""
        parts: dict[str, list[sparse.csr_matrix]] = {m: [] for m in self.module.modalities}
        inputs = (w, torch.from_numpy(continuous).to(w), torch.from_numpy(library_nm).to(w))
        for w_bd, c, library_bm in zip(*(x.split(_BATCH) for x in inputs), strict=True):
            logits = self.module.generative(w_bd, c)["logits"]
            for number, (modality, a) in enumerate(logits.items()):
                likelihood = self.module.likelihood(modality)
                mean = likelihood.mean(a, library_bm[:, number])
                x = likelihood.sample_cells(mean, generator)
                parts[modality].append(sparse.csr_matrix(x.cpu().numpy()))
        return {m: sparse.vstack(p, format="csr") for m, p in parts.items()}

    def _obs(
        self, component: np.ndarray, labels: np.ndarray, codes: np.ndarray, continuous: np.ndarray
    ) -> pd.DataFrame:
        """Annotation of the simulated cells."""
        summary = self.summary
        columns: dict[str, Any] = {}
        for column, (name, categories) in enumerate(summary.covariates.items()):
            columns[name] = pd.Categorical.from_codes(codes[:, column], categories)
        for column, name in enumerate(summary.continuous):
            columns[name] = continuous[:, column]
        setup = self.registry_["setup_args"]
        if len(summary.labels) and (labels >= 0).any():
            names = np.append(summary.labels.astype(object), setup["unlabeled_category"])
            columns[setup["labels_key"]] = pd.Categorical(names[labels])
        key = "multidgd_component" if "component" in columns else "component"
        names = pd.Index([f"sample_{i}" for i in range(len(component))])
        return pd.DataFrame({key: component, **columns}, index=names)

    def _components(
        self, label: str | None, component: int | list[int] | None, from_: str
    ) -> np.ndarray:
        """Mask of the components to draw from, after checks."""
        mixture = self.module.mixture
        mask = np.ones(mixture.n_mix_comp, dtype=bool)
        if label is not None:
            code = _code("label", label, self.summary.labels)
            if isinstance(mixture, GaussianMixtureSupervised):
                mask &= np.arange(len(mask)) // mixture.Ncompperclass == code
            elif from_ == "mixture":
                raise ValueError("`label` needs a supervised mixture, or `from_='cells'`.")
        if component is not None:
            wanted = np.atleast_1d(np.asarray(component))
            if not len(wanted) or not np.isin(wanted, np.arange(len(mask))).all():
                raise ValueError(
                    f"`component` must lie between 0 and {len(mask) - 1}, found {component}."
                )
            mask &= np.isin(np.arange(len(mask)), wanted)
        if not mask.any():
            raise ValueError(f"`component`: {component} does not belong to label {label!r}.")
        return mask

    def _categories(
        self, batch: str | None, covariates: Mapping[str, str] | None
    ) -> dict[int, int]:
        """Code of each given category, by column of the covariate."""
        if not isinstance(covariates, Mapping | None):
            raise ValueError(
                f"`covariates` must map names to categories, as in {{'site': 'a'}}, found "
                f"{covariates!r}."
            )
        wanted = dict(covariates or {})
        if batch is not None:
            if self.batch_key is None:
                raise ValueError("`batch` needs a `batch_key` in the setup.")
            wanted[self.batch_key] = batch
        known = self.summary.covariates
        found = {}
        for name, category in wanted.items():
            if name not in known:
                raise ValueError(f"`covariates`: {name!r} is not one of {list(known)}.")
            found[list(known).index(name)] = _code(name, category, known[name])
        return found

    def _fixed_libraries(
        self, library_size: float | Mapping[str, float] | None
    ) -> dict[str, float]:
        """Given library sizes by modality; empty by default."""
        if library_size is None:
            return {}
        if not isinstance(library_size, Mapping):
            library_size = dict.fromkeys(self.module.modalities, library_size)
        for modality in library_size:
            self._modality(modality)
        return {m: positive("library_size", size) for m, size in library_size.items()}

    def _components_of(self, subset: CellSubset) -> np.ndarray:
        """Most probable component of each stored training cell."""
        z_nl = torch.from_numpy(subset.representation[:, : self.module.n_latent])
        return self.module.mixture.clustering(z_nl.to(self.module.device)).cpu().numpy()

    def _candidates(
        self,
        subset: CellSubset,
        is_eligible: np.ndarray,
        label: str | None,
        component: int | list[int] | None,
    ) -> np.ndarray:
        """Positions of the eligible training cells with the label and component."""
        mask = is_eligible.copy()
        if label is not None:
            mask &= subset.labels == _code("label", label, self.summary.labels)
        if component is not None:
            mask &= np.isin(self._components_of(subset), component)
        if not mask.any():
            raise ValueError(
                "`from_='cells'`: none of the stored training cells has this label, component and "
                "category. Use `from_='mixture'`."
            )
        return np.flatnonzero(mask)


def _sample_mixture(
    mixture: GaussianMixture,
    components: np.ndarray,
    subset: CellSubset,
    n: int,
    generator: torch.Generator,
) -> tuple[Tensor, Tensor]:
    """Draw components from a mask ``components``, and a representation from each."""
    weight = mixture.mixture_probs() * torch.from_numpy(components).to(mixture.mean)
    component = torch.multinomial(weight, n, replacement=True, generator=generator)
    mean = mixture.mean[component]
    factor_nll = torch.linalg.cholesky(subset.covariances(mixture))[component]
    normal = torch.empty_like(mean).normal_(generator=generator)
    return component, mean + (factor_nll @ normal[..., None]).squeeze(-1)


def _code(argument: str, wanted: str, names: Sequence[str] | np.ndarray) -> int:
    """Position of a name; names that are not strings match by their text."""
    known = [str(x) for x in names]
    if str(wanted) not in known:
        near = nearest(wanted, known)
        raise ValueError(f"`{argument}`: {wanted!r} does not exist. Nearest names: {near}.")
    return known.index(str(wanted))
