"""Strategies for counts, and for forms of matrices and columns that have the same content."""

import numpy as np
import pandas as pd
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import sparse

#: Largest integer that each dtype represents, and all below it.
LARGEST = {
    "bool": 1,
    "int8": 127,
    "uint8": 255,
    "int16": 9_999,
    "uint16": 9_999,
    ">i4": 9_999,
    "int64": 9_999,
    "uint64": 9_999,
    "float16": 2_048,
    "float32": 9_999,
    ">f4": 9_999,
    "float64": 9_999,
}
# scipy has no sparse matrices of half precision or of another byte order.
DENSE_ONLY = ("float16", ">f4", ">i4")


@st.composite
def counts(draw, n_cells, n_features, largest=9_999):
    """Float32 counts without empty cells."""
    few = st.integers(0, min(largest, 9))
    many = st.integers(0, largest)
    x = draw(
        hnp.arrays(np.int64, (n_cells, n_features), elements=few | few | few | many, fill=few)
    )
    x[:, 0] = np.maximum(x[:, 0], 1)
    return x.astype(np.float32)


def _unsorted(x):
    x = sparse.csr_matrix(x)
    order = np.concatenate(
        [np.arange(a, b)[::-1] for a, b in zip(x.indptr, x.indptr[1:], strict=False)]
    ).astype(int)
    return sparse.csr_matrix((x.data[order], x.indices[order], x.indptr), x.shape)


def _with_duplicates(x):
    """Counts above 1 as two entries, and one zero as an entry."""
    coo = sparse.coo_matrix(x)
    above = coo.data > 1
    one = np.ones(above.sum(), x.dtype)
    rows = np.r_[coo.row, coo.row[above], 0]
    columns = np.r_[coo.col, coo.col[above], 0]
    values = np.r_[np.where(above, coo.data - 1, coo.data).astype(x.dtype), one, x.dtype.type(0)]
    order = np.argsort(rows, kind="stable")
    indptr = np.r_[0, np.bincount(rows, minlength=len(x)).cumsum()]
    return sparse.csr_matrix((values[order], columns[order], indptr), x.shape)


def _wide_indices(x):
    x = sparse.csr_matrix(x)
    x.indices, x.indptr = x.indices.astype(np.int64), x.indptr.astype(np.int64)
    return x


def _read_only(x):
    for array in (x.data, x.indices, x.indptr) if sparse.issparse(x) else (x,):
        array.flags.writeable = False
    return x


def _every_second(x):
    """Columns of a wider array, which are not contiguous."""
    wide = np.zeros((len(x), 2 * x.shape[1]), x.dtype)
    wide[:, ::2] = x
    return wide[:, ::2]


DENSE = {
    "C": np.ascontiguousarray,
    "Fortran": np.asfortranarray,
    "strided": _every_second,
    "reversed": lambda x: np.ascontiguousarray(x[::-1])[::-1],
    "read-only": lambda x: _read_only(x.copy()),
}
SPARSE = {
    "CSR": sparse.csr_matrix,
    "CSC": sparse.csc_matrix,
    "CSR array": sparse.csr_array,
    "CSC array": sparse.csc_array,
    "unsorted": _unsorted,
    "duplicates": _with_duplicates,
    "wide indices": _wide_indices,
    "read-only CSR": lambda x: _read_only(sparse.csr_matrix(x)),
    "read-only CSC": lambda x: _read_only(sparse.csc_matrix(x)),
    "read-only unsorted": lambda x: _read_only(_unsorted(x)),
}


@st.composite
def matrix_forms(draw):
    """Name and dtype of a form of a count matrix."""
    dtype = draw(st.sampled_from(list(LARGEST)))
    forms = list(DENSE) if dtype in DENSE_ONLY else [*DENSE, *SPARSE]
    # Two entries of a truth value have no sum.
    forms = [f for f in forms if dtype != "bool" or f != "duplicates"]
    return draw(st.sampled_from(forms)), dtype


def in_form(x, form):
    """The counts as a matrix of the given form."""
    name, dtype = form
    return {**DENSE, **SPARSE}[name](x.astype(dtype))


def _reversed_categories(values):
    return pd.Categorical(values, sorted(set(values))[::-1])


def _with_unused(values):
    return pd.Categorical(values, [*sorted(set(values)), "never"], ordered=True)


#: Forms of a column of text.
TEXT = {
    "object": lambda v: np.array(v, dtype=object),
    "fixed width": lambda v: np.array(v, dtype=str),
    "string": lambda v: pd.array(v, dtype="string"),
    "categorical": pd.Categorical,
    "reversed categories": _reversed_categories,
    "unused categories": _with_unused,
    "bytes": lambda v: np.array([x.encode() for x in v], dtype=object),
    "categories of bytes": lambda v: pd.Categorical([x.encode() for x in v]),
}
#: Forms of a column of integers.
INTEGERS = {
    **{dtype: lambda v, t=dtype: np.array(v, dtype=t) for dtype in ("int8", "uint64", "float32")},
    "nullable": lambda v: pd.array(v, dtype="Int64"),
    "text": lambda v: np.array([str(x) for x in v], dtype=object),
    "text of floats": lambda v: np.array([f"{x}.0" for x in v], dtype=object),
    "categories of text": lambda v: pd.Categorical([str(x) for x in v]),
    "categories of floats": lambda v: pd.Categorical([float(x) for x in v]),
    "objects": lambda v: np.array(v, dtype=object),
}
#: Forms of a column of small numbers.
NUMBERS = {
    **{dtype: lambda v, t=dtype: np.array(v, dtype=t) for dtype in ("f2", "f4", "f8")},
    "nullable": lambda v: pd.array(v, dtype="Float64"),
    "integers": lambda v: np.array(v, dtype=np.int32),
}


def a_key(forms):
    """One of the names of a dictionary of forms."""
    return st.sampled_from(list(forms))
