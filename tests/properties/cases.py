"""Generated cells in two forms: dense float32 in order, and any other form of the same cells."""

from dataclasses import dataclass

import anndata as ad
import numpy as np
import pandas as pd
from hypothesis import strategies as st
from tests.properties.strategies import (
    INTEGERS,
    LARGEST,
    NUMBERS,
    TEXT,
    a_key,
    counts,
    in_form,
    matrix_forms,
)


@dataclass(frozen=True)
class Case:
    """The same cells in order and in another form.

    Attributes
    ----------
    plain
        Dense float32 counts, columns of simple types.
    other
        The same cells in another order and form, perhaps with further features.
    source
        The object of which `other` is a view; `other` itself if it is none.
    """

    plain: ad.AnnData
    other: ad.AnnData
    source: ad.AnnData


def plain_data(x, features, batch, plate, label, age):
    """An AnnData in the simplest form."""
    obs = pd.DataFrame(
        {"batch": batch, "plate": plate, "label": label, "age": np.array(age, np.float32)},
        index=[f"n{i}" for i in range(len(x))],
    )
    return ad.AnnData(x, obs=obs, var=pd.DataFrame(index=list(features)))


@st.composite
def cases(draw, features, smallest=1, largest=8, subset=True, extra=True, views=True):
    """Cells with some of the given features, and the same cells in another form."""
    n = draw(st.integers(smallest, largest))
    form = draw(matrix_forms())
    kept = draw(st.sets(st.sampled_from(features[1:]))) if subset else ()
    names = [f for f in features if f not in kept]
    some = lambda *values: draw(st.lists(st.sampled_from(values), min_size=n, max_size=n))
    columns = {
        "batch": some("b0", "b1"),
        "plate": some(0, 1, 2),
        "label": some("A", "B", "C"),
        "age": some(-1, 0, 1, 2),
    }
    plain = plain_data(
        draw(counts(n, len(names), LARGEST[form[1]])),
        names,
        *columns.values(),
    )
    kinds = {"batch": TEXT, "plate": INTEGERS, "label": TEXT, "age": NUMBERS}
    in_kind = {k: kinds[k][draw(a_key(kinds[k]))](list(v)) for k, v in columns.items()}
    x, all_names = plain.X, list(names)
    if extra and draw(st.booleans()):
        x = np.concatenate([x, np.full((n, 2), 1, np.float32)], axis=1)
        all_names += ["other0", "other1"]
    cells, order = (np.array(draw(st.permutations(range(k)))) for k in (n, len(all_names)))
    is_view = views and draw(st.booleans())
    if is_view:
        # A view selects the cells and features of an object in order.
        source = _build(in_form(x, form), all_names, plain.obs_names, in_kind)
        return Case(plain, source[cells][:, order], source)
    in_order = {k: v[cells] for k, v in in_kind.items()}
    other = _build(
        in_form(x[np.ix_(cells, order)], form),
        [all_names[i] for i in order],
        plain.obs_names[cells],
        in_order,
    )
    return Case(plain, other, other)


def _build(x, features, cells, columns):
    obs = pd.DataFrame(columns, index=cells)
    found = ad.AnnData(x, obs=obs, var=pd.DataFrame(index=features))
    found.uns["note"] = {"a": np.arange(3)}
    found.obsm["X_pca"] = np.ones((len(cells), 2))
    return found
