"""Description of a model, for notebooks and the command line."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import numpy as np

from multiDGD.latent import GaussianMixtureSupervised

from ._training import TrainingMixin

_MAX_NAMES = 3


class DescriptionMixin(TrainingMixin):
    """Properties of a model as a table."""

    def _description(self) -> list[tuple[str, str]]:
        """Training data and parts of the model, as names and texts."""
        summary, module = self.summary, self.module
        setup = self.registry_["setup_args"]
        mixture = module.mixture
        is_supervised = isinstance(mixture, GaussianMixtureSupervised)
        rows = [
            ("cells", self._describe_cells()),
            ("epochs", self._describe_epochs()),
            ("representation", f"{module.n_latent} dimensions"),
            (
                "mixture",
                f"{mixture.n_mix_comp} components, "
                + ("supervised by labels" if is_supervised else "unsupervised"),
            ),
        ]
        layers = setup.get("layers") or {}
        for modality, names in summary.features.items():
            layer = setup.get("layer") or layers.get(modality)
            rows.append(
                (
                    f"modality {modality}",
                    f"{len(names):,} features ({_first(names)}), likelihood "
                    f"{module.likelihood(modality).name}, counts in "
                    + ("X" if layer is None else f"layer {layer}"),
                )
            )
        if len(summary.labels):
            rows.append((f"labels {setup['labels_key']}", _categories(summary.labels)))
        for key, categories in summary.covariates.items():
            kind = "batch" if key == self.batch_key else "covariate"
            rows.append((f"{kind} {key}", _categories(categories)))
        return rows + [(f"covariate {key}", "continuous") for key in summary.continuous]

    def _describe_cells(self) -> str:
        if not self.is_trained_:
            return f"{self.n_representations_:,}"
        parts = {
            "training": self.train_indices_,
            "validation": self.validation_indices_,
            "test": self.test_indices_,
        }
        split = ", ".join(f"{len(cells):,} {name}" for name, cells in parts.items() if len(cells))
        return f"{len(self.cell_names_):,} ({split})"

    def _describe_epochs(self) -> str:
        if not self.is_trained_:
            return "not trained: call `train()`"
        # Models of the first implementation have no history.
        return f"{self._count_epochs() or 'unknown'}"

    def _count_epochs(self) -> int:
        """Number of epochs in the history; 0 without a history."""
        history = self.history_ or {}
        return max((len(t) for name, t in history.items() if "step" not in name), default=0)

    def _repr_html_(self) -> str:
        """Table of the model's properties, which notebooks show."""
        rows = "".join(
            f'<tr><th style="text-align:left">{escape(name)}</th>'
            f'<td style="text-align:left">{escape(text)}</td></tr>'
            for name, text in self._description()
        )
        return f"<table><caption>{type(self).__name__}</caption><tbody>{rows}</tbody></table>"


def _categories(names: np.ndarray) -> str:
    return f"{len(names):,} {'category' if len(names) == 1 else 'categories'} ({_first(names)})"


def _first(names: Sequence[object] | np.ndarray) -> str:
    shown = ", ".join(map(str, names[:_MAX_NAMES]))
    return shown + (", ..." if len(names) > _MAX_NAMES else "")
