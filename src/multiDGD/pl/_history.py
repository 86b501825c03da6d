"""Training history: one panel per loss term, one curve per split."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import pandas as pd
from matplotlib.axes import Axes

from ._figure import finish, not_found, panels

_COLORS = {"train": "C0", "validation": "C1"}
_TOTAL = "reconstruction_loss"
_BEST_BY = ("elbo", "loss", _TOTAL)
# Sums of other terms, and the prior on the mixtures; as named here and by scvi-tools.
_SUMS = ("representation_loss", "prior_loss", "kl_local", "kl_global", "kl")
# In longer histories, the first tenth of the epochs may exceed the limits of the panel.
_MIN_EPOCHS_TO_CLIP = 20


class HasHistory(Protocol):
    """Any model with the ``history`` attribute of scvi-tools."""

    @property
    def history(self) -> Mapping[str, pd.DataFrame] | None:
        """Tables with one column, indexed by epoch, by name of the logged quantity."""


def history(
    model: HasHistory | Mapping[str, pd.DataFrame],
    keys: str | Sequence[str] | None = None,
    *,
    ax: Axes | Sequence[Axes] | None = None,
    show: bool | None = None,
    save: str | Path | None = None,
) -> Axes | list[Axes]:
    r"""Plot each loss term by epoch, for training and validation cells.

    Epochs are counted from 1. Every panel marks the epoch with the lowest validation loss, or the
    lowest ELBO loss in models of scvi-tools. The titles give the values at this epoch, or at the last one without validation
    cells. From 20 epochs on, the limits ignore the first tenth of the epochs.

    Parameters
    ----------
    model
        A trained model, or its ``history``: a mapping from names such as ``train_loss`` and
        ``validation_loss`` to tables indexed by epoch with one column each.
    keys
        Terms to plot, named without the split: ``"loss"``, ``"reconstruction_loss"``. By default,
        all terms that were logged by epoch and are not always zero, without
        ``representation_loss``, which is a sum of others, ``prior_loss``, and the reconstruction
        loss of a single modality, which equals the total. In models of scvi-tools the default omits
        Kullback-Leibler sums, and ``loss`` if ``elbo`` was logged.
    ax
        Axes to draw on, one for each term. A new figure by default.
    show
        Whether to call :func:`matplotlib.pyplot.show`. Off by default, because notebooks display
        new figures themselves.
    save
        File to save the figure to; its extension sets the format.

    Returns
    -------
    matplotlib.axes.Axes or list of matplotlib.axes.Axes
        The axes drawn on; a list if there are several terms.

    Raises
    ------
    ValueError
        If the model has no history (it was not trained, or was loaded by
        :meth:`multiDGD.MultiDGD.load_legacy`), nothing was logged by epoch, a key is not in the
        history, or ``ax`` does not have one axes per term.

    Examples
    --------
    >>> import pandas as pd
    >>> log = {"train_loss": pd.DataFrame({"train_loss": [3.0, 2.0, 1.5]})}
    >>> history(log, "loss").get_title()
    'loss\ntrain 1.5'
    """
    logged = model if isinstance(model, Mapping) else model.history
    if not logged or not any(map(len, logged.values())):
        raise ValueError(
            "The model has no history: train it first. Models loaded by `load_legacy`, and those of "
            "queries without new categories, have none."
        )
    terms = _by_term(logged)
    names = _select(terms, keys)
    best = _best_epoch(terms, names)
    axes = panels(ax, len(names), (3.6, 2.8), what="terms")
    in_legends: set[str] = set()
    for panel, name in zip(axes, names, strict=True):
        _draw(panel, name, terms[name], best)
        labels = set(panel.get_legend_handles_labels()[1])
        if not labels <= in_legends:
            panel.legend(frameon=False, fontsize="small")
            in_legends |= labels
    finish(axes[0], show, save)
    return axes[0] if len(axes) == 1 else axes


def _by_term(logged: Mapping[str, pd.DataFrame]) -> dict[str, dict[str, pd.Series]]:
    """Curves by term and split; other logged quantities are left out."""
    terms: dict[str, dict[str, pd.Series]] = {}
    for key, table in logged.items():
        if key in ("train_loss_epoch", "train_loss", "validation_loss"):
            term, split = "loss", key.split("_")[0]
        else:
            term, _, split = key.rpartition("_")
        if split not in _COLORS or not term:
            continue
        values = pd.DataFrame(table).iloc[:, 0]
        curve = pd.to_numeric(values, errors="coerce").dropna()
        if len(curve):
            # The index of a history starts at 0.
            terms.setdefault(term, {})[split] = curve.set_axis(curve.index + 1)
    return terms


def _select(terms: dict[str, dict[str, pd.Series]], keys: str | Sequence[str] | None) -> list[str]:
    """Names of the terms to plot."""
    if keys is None:
        parts = [term for term in terms if term.startswith(f"{_TOTAL}_")]
        # The loss of a single modality equals the total.
        repeated = parts if len(parts) == 1 and _TOTAL in terms else []
        names = [
            term
            for term, curves in terms.items()
            if term not in (*_SUMS, *repeated)
            and not (term == "loss" and "elbo" in terms)
            and any((curve != 0).any() for curve in curves.values())
        ]
        names.sort(key=lambda term: _BEST_BY.index(term) if term in _BEST_BY else len(_BEST_BY))
        if not names:
            raise ValueError("The history contains no term logged by epoch and split.")
        return names
    names = [keys] if isinstance(keys, str) else list(keys)
    for name in names:
        if name not in terms:
            raise not_found("keys", name, terms, "the history")
    if not names:
        raise ValueError("`keys` must name at least one term.")
    return names


def _best_epoch(terms: dict[str, dict[str, pd.Series]], names: list[str]) -> Any | None:
    """Epoch with the lowest validation loss, by the first such term of ``_BEST_BY`` or ``names``."""
    for name in (*_BEST_BY, *names):
        if "validation" in terms.get(name, {}):
            return terms[name]["validation"].idxmin()
    return None


def _draw(ax: Axes, name: str, curves: dict[str, pd.Series], best: Any | None) -> None:
    """Draw the curves of one term."""
    for split in (split for split in _COLORS if split in curves):
        curve = curves[split]
        # A curve of a single epoch would be invisible without a marker.
        marker = "o" if len(curve) == 1 else None
        ax.plot(curve.index, curve, color=_COLORS[split], label=split, marker=marker)
    if best is not None:
        ax.axvline(best, color="0.6", linestyle=":", linewidth=1, zorder=0)
        validation = curves.get("validation", pd.Series(dtype=float))
        if best in validation.index:
            ax.plot(
                [best],
                [validation[best]],
                linestyle="",
                marker="o",
                color=_COLORS["validation"],
                label=f"best epoch ({best})",
            )
    first = min(curve.index[0] for curve in curves.values())
    last = max(curve.index[-1] for curve in curves.values())
    if last - first + 1 >= _MIN_EPOCHS_TO_CLIP:
        start = first + (last - first) / 10
        settled = pd.concat([curve[curve.index >= start] for curve in curves.values()])
        margin = 0.05 * (settled.max() - settled.min()) or 0.05 * abs(settled.max()) or 1.0
        ax.set_ylim(settled.min() - margin, settled.max() + margin)
    numbers = ", ".join(
        f"{split} {_number(curves[split], best)}" for split in _COLORS if split in curves
    )
    ax.set_title(f"{name.replace('_', ' ')}\n{numbers}", fontsize="medium", parse_math=False)
    ax.set_xlabel("epoch")
    ax.set_ylabel("nats per count" if name.startswith("count_split") else "loss (nats per cell)")


def _number(curve: pd.Series, epoch: Any | None) -> str:
    """The value at an epoch, or at the last one before it; at the very last without an epoch."""
    until = curve if epoch is None else curve[curve.index <= epoch]
    return f"{(until if len(until) else curve).iloc[-1]:,.5g}"
