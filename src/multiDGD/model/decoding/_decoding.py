"""Shared steps of decoding: names, batches, library sizes and tables of decoded values."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from pathlib import Path
from typing import Any, Literal, TypeAlias, cast, get_args

import numpy as np
import pandas as pd
import torch
from anndata import AnnData
from mudata import MuData
from torch import Tensor, nn

from multiDGD._checks import choice, positive, positive_int
from multiDGD._names import has_peaks, nearest
from multiDGD.data import CellManager, find_categories, logger
from multiDGD.model.core._output_array import check_out, new_array, write_rows
from multiDGD.model.core._posterior import DecoderInput, PosteriorMixin
from multiDGD.model.core._random import resolve_seed
from multiDGD.model.core._representations import as_positions
from multiDGD.module import category_means
from multiDGD.nn import Likelihood, get_likelihood, likelihood_names

#: Function of a likelihood, decoded means, library sizes and the slice of their cells.
Value = Callable[[Likelihood, Tensor, Tensor, slice], Tensor]


LibraryName: TypeAlias = Literal["latent", "median"]
LibrarySize: TypeAlias = float | LibraryName


class DecodingMixin(PosteriorMixin):
    """Decoded values of cells, selected by names of modalities, features and batches."""

    def _learn_library_medians(self) -> dict[str, float]:
        """Median library size of the training cells in each modality."""
        manager = self.adata_manager
        libraries = self._complete_libraries(manager, self.train_indices_, None).T
        modalities = self.module.modalities
        return {
            m: float(np.median(total[total > 0]))
            for m, total in zip(modalities, libraries, strict=True)
        }

    def _modality(self, modality: str) -> str:
        """Check the name of a modality."""
        known = self.module.modalities
        if modality not in known:
            raise ValueError(f"`modality` must be one of {known}, found {modality!r}.")
        return modality

    def _modality_of_genes(self, modality: str | None) -> str:
        """Check the name of a modality; the default is the first one of genes, or the first one.

        Genes are features that are neither peaks nor, by the name of the modality, proteins.
        """
        if modality is not None:
            return self._modality(modality)
        features, usual = self.summary.features, likelihood_names(self.module.modalities, {})
        others = [m for m in usual if get_likelihood(usual[m]).has_background]
        found = [m for m in usual if m not in others and not has_peaks(m, features[m])]
        return [*found, *usual][0]

    def _modality_of_peaks(
        self, modality: str | None, argument: str = "modality", *, or_last: bool = False
    ) -> str:
        """Check the name of a modality; the default is the last one that consists of peaks.

        With ``or_last``, it is the last one of all if none consists of peaks, and is logged.
        """
        if modality is not None:
            return self._modality(modality)
        features = self.summary.features
        found = [m for m in self.module.modalities if has_peaks(m, features[m])]
        if or_last and not found:
            found = self.module.modalities
            if len(found) > 1:
                logger.info(
                    "No modality consists of peaks; using %r. Pass `%s` for another one",
                    found[-1],
                    argument,
                )
        if not found:
            raise ValueError(
                f"`{argument}` must be given, because no modality consists of peaks, by its name "
                f"or those of its features; found {self.module.modalities}."
            )
        return found[-1]

    def _modalities(self, modality: str | Sequence[str]) -> list[str]:
        """Check one name of a modality or several different ones."""
        if isinstance(modality, str):
            return [self._modality(modality)]
        names = [self._modality(m) for m in modality]
        if not names or len(set(names)) < len(names):
            raise ValueError(
                f"`modality` must name at least one modality, each once, found {list(modality)}."
            )
        return names

    def _modalities_with(
        self, gene_list: Sequence[str] | Mapping[str, Sequence[str]] | None
    ) -> str | list[str]:
        """Modalities with the given features: one for a list of names, several otherwise."""
        known = self.module.modalities
        if len(known) == 1 and not isinstance(gene_list, Mapping):
            return known[0]
        if gene_list is None:
            return known
        if isinstance(gene_list, Mapping):
            return list(gene_list)
        return self._modality_with("gene_list", gene_list)

    def _modality_with(self, argument: str, wanted: Sequence[str]) -> str:
        """Modality with most of the features named in an argument."""
        known = self.module.modalities
        if not _is_list_of_names(wanted):
            return known[0]  # refused as names of features
        names = list(wanted)
        n_found = {m: pd.Index(self.summary.features[m]).isin(names).sum() for m in known}
        most = [m for m in known if n_found[m] == max(n_found.values())]
        features = self.summary.features
        is_found = np.any([pd.Index(names).isin(features[m]) for m in known], axis=0)
        if n_found[most[0]] and not is_found.all():
            nowhere = [n for n, found in zip(names, is_found, strict=True) if not found]
            near = nearest(nowhere[0], (n for m in known for n in features[m]))
            raise ValueError(
                f"`{argument}`: {len(nowhere)} of {len(names)} features exist in no modality, for "
                f"example {nowhere[0]!r}. Nearest names: {near}."
            )
        if len(most) > 1 and n_found[most[0]]:
            raise ValueError(
                f"`{argument}`: {n_found[most[0]]} of {len(names)} names exist in each of the "
                f"modalities {most}. Name one of them as `modality`."
            )
        return most[0]

    def _features(self, modality: str, argument: str, wanted: Sequence[str] | None) -> np.ndarray:
        """Positions of the features named in an argument; all by default."""
        names = pd.Index(self.summary.features[modality])
        if wanted is None:
            return np.arange(len(names))
        if not _is_list_of_names(wanted):
            kind = "the string" if isinstance(wanted, str) else type(wanted).__name__
            raise ValueError(f"`{argument}` must be a list of names, found {kind} {wanted!r}.")
        at = names.get_indexer(pd.Index(wanted))
        if (at < 0).any():
            unknown = [str(w) for w, i in zip(wanted, at, strict=True) if i < 0]
            features = self.summary.features
            others = [m for m in features if m != modality and unknown[0] in features[m]]
            elsewhere = f" {unknown[0]!r} exists in modality {others[0]!r}." if others else ""
            raise ValueError(
                f"`{argument}`: {len(unknown)} of {len(at)} features do not exist in modality "
                f"{modality!r}, for example {unknown[0]!r}. Nearest names: "
                f"{nearest(unknown[0], names)}.{elsewhere}"
            )
        return at

    def _drawn_cells(
        self, adata: AnnData | MuData | None, indices: Sequence[int] | None, n: int
    ) -> np.ndarray:
        """Positions of cells that are drawn with replacement from the selected ones."""
        positive_int("n_samples_overall", n)
        cells = as_positions(indices, self._manager_of(adata).adata.n_obs)
        return np.random.default_rng(resolve_seed()).choice(cells, n) if len(cells) else cells

    def _table(
        self,
        array_nf: np.ndarray,
        manager: CellManager,
        indices: Sequence[int] | None,
        modality: str,
        features: np.ndarray,
    ) -> pd.DataFrame:
        """Table of values with the names of the selected cells and features."""
        names = manager.adata.obs_names[as_positions(indices, manager.adata.n_obs)]
        columns = self.summary.features[modality][features]
        return pd.DataFrame(array_nf, index=names, columns=columns)

    def _in_batches(
        self, categories: str | int | Sequence[str | int] | None
    ) -> Callable[[Tensor], list[Tensor]]:
        """Function that returns representations in each of several batches; all by default."""
        if categories is None:
            key = self.batch_key
            categories = [] if key is None else list(self.summary.covariates.get(key, []))
        # Categories are numbers if the column contains numbers.
        names: list[Any] = [categories]
        if pd.api.types.is_list_like(categories):
            names = list(cast(Sequence[Any], categories))
        empty = self.module.representations.z.new_zeros(0, self.module.n_representation)
        # Unknown categories raise an error before any computation.
        for name in names or [""]:
            self._with_batch(empty, name)
        return lambda w: [self._with_batch(w, name) for name in names]

    def _with_batch(self, w: Tensor, transform_batch: str | int | None) -> Tensor:
        """Representations with the batch at the mean of a category; unchanged for `None`."""
        if transform_batch is None:
            return w
        if pd.api.types.is_list_like(transform_batch):
            raise ValueError(
                "`transform_batch` must be one category for this method, found "
                f"{transform_batch!r}."
            )
        key = self.batch_key
        if key is None or key not in self.module.covariates:
            raise ValueError(
                "Decoding in another batch needs a `batch_key` with at least two categories."
            )
        categories = self.summary.covariates[key]
        code, unknown = find_categories(pd.Series([transform_batch], dtype=object), categories)
        if len(unknown):
            raise ValueError(
                f"`transform_batch`: {transform_batch!r} is not one of {categories.tolist()}."
            )
        codes = torch.full((1, len(self.summary.covariates)), -1, device=w.device)
        codes[:, 0] = int(code[0])
        u = category_means(self.module, codes)
        first = self.module.n_latent
        last = first + self.module.n_covariate_latent
        w = w.clone()
        w[:, first:last] = u[:, : self.module.n_covariate_latent]
        return w

    def _require_background(self, modality: str) -> None:
        """Raise if the likelihood of a modality has no background component."""
        likelihood = self.module.likelihood(modality)
        if not likelihood.has_background:
            raise ValueError(
                f"`modality`: {modality!r} has the likelihood {likelihood.name!r}, which has no "
                "background component. Create the model with "
                f"`likelihoods={{{modality!r}: 'protein'}}`."
            )

    def _require_any_background(self, modalities: Sequence[str]) -> None:
        """Raise if none of the likelihoods has a background component."""
        if not any(self.module.likelihood(m).has_background for m in modalities):
            self._require_background(modalities[0])

    def _library_or_median(self, library_nm: np.ndarray, modality: str) -> Tensor:
        """Library sizes of one modality; the median of the training cells where missing."""
        measured_n = library_nm[:, self.module.modalities.index(modality)]
        median = self._learned.library_medians[modality]
        library_n = np.where(measured_n > 0, measured_n, median)
        return torch.from_numpy(library_n.astype(np.float32))

    def _library_sizes(
        self,
        manager: CellManager,
        indices: Sequence[int] | None,
        modality: str,
        library_size: LibrarySize,
        batch_size: int | None,
    ) -> Tensor:
        """Total of the decoded values of each selected cell, shape ``(n,)``."""
        if isinstance(library_size, str):
            choice("library_size", library_size, get_args(LibraryName), " or a number above 0")
        if isinstance(library_size, str) and library_size == "latent":
            return self._library_or_median(
                self._complete_libraries(manager, indices, batch_size), modality
            )
        if isinstance(library_size, str) and library_size == "median":
            library_size = self._learned.library_medians[modality]
        size = positive("library_size", library_size)
        return torch.full(
            (len(as_positions(indices, manager.adata.n_obs)),), size, dtype=torch.float32
        )

    @torch.inference_mode()
    def _mean_shares(self, batches: Sequence[tuple[dict[str, Any], Tensor]], m: str) -> np.ndarray:
        """Mean over cells of the decoded share of each feature, shape ``(f,)``."""
        total = torch.zeros(self.module.likelihood(m).n_features, dtype=torch.float32)
        for batch, w in batches:
            logits = self.module.generative(w, batch["continuous"], [m])["logits"][m]
            total += self.module.likelihood(m).shares(logits).sum(0).cpu()
        return (total / sum(len(w) for _, w in batches)).numpy()

    def _decoded_table(
        self,
        value: Value,
        modality: str,
        features: np.ndarray,
        *,
        adata: AnnData | MuData | None,
        indices: Sequence[int] | None,
        library_size: LibrarySize,
        transform_batch: str | int | Sequence[str | int] | None,
        n_samples: int | None,
        return_mean: bool,
        batch_size: int | None,
        return_numpy: bool,
        out: str | Path | None,
        silent: bool = True,
    ) -> pd.DataFrame | np.ndarray:
        """Evaluate a function of the decoded means of one modality for selected features.

        The arguments of ``value`` are the likelihood, the means of all features of a minibatch,
        shape ``(n, f)``, their library sizes, shape ``(n,)``, and the slice of these cells among
        the selected ones. It returns values of the shape of the means. For the other arguments, see
        :meth:`get_normalized_expression`.
        """
        if n_samples is not None:
            positive_int("n_samples", n_samples)
        check_out(out)
        manager = self._manager_of(adata)
        library_n = self._library_sizes(manager, indices, modality, library_size, batch_size)
        module, likelihood = self.module, self.module.likelihood(modality)
        at = torch.from_numpy(features).to(module.device)
        in_batches = _own_batch if transform_batch is None else self._in_batches(transform_batch)
        n_draws = n_samples or 1
        keeps_draws = n_samples is not None and not return_mean

        def values(inputs: Iterable[DecoderInput], output: nn.Linear) -> Iterator[np.ndarray]:
            first = 0
            for w, continuous, _ in inputs:
                here = slice(first, first + len(w))
                first = here.stop
                library = library_n[here].to(w)
                found = []
                for w_of_batch in in_batches(w):
                    latent = module.decoder_input(w_of_batch, continuous)
                    logits = output(module.decoder.hidden(latent, [modality])[modality])
                    mean = likelihood.mean(logits, library)
                    found.append(value(likelihood, mean, library, here)[:, at])
                yield torch.stack(found).mean(0).cpu().numpy()

        draws = self._decoder_samples(manager, indices, modality, n_samples, batch_size, silent)
        shape = (len(library_n), len(features))
        with new_array((n_draws, *shape) if keeps_draws else shape, out) as array:
            for draw, (inputs, output) in enumerate(draws):
                rows = values(inputs, output)
                if keeps_draws:
                    write_rows(array, rows, draw=draw)
                else:
                    write_rows(array, (part / n_draws for part in rows), add=draw > 0)
        if keeps_draws or return_numpy or out is not None:
            return array
        return self._table(array, manager, indices, modality, features)


def decoded_mean(
    likelihood: Likelihood, mean_nf: Tensor, library_n: Tensor, cells: slice
) -> Tensor:
    """Decoded means themselves, as a function for :meth:`DecodingMixin._decoded_table`."""
    return mean_nf


def _own_batch(w: Tensor) -> list[Tensor]:
    """Representations in the cells' own batches."""
    return [w]


def _is_list_of_names(wanted: object) -> bool:
    if isinstance(wanted, str | Mapping | Set | pd.DataFrame):
        return False
    if not pd.api.types.is_list_like(wanted):
        return False
    return all(isinstance(name, str) for name in cast(Sequence[object], wanted))
