"""Suggestions for misspelt names."""

import pytest

from multiDGD._names import nearest

GENES = ["CCD3", "CD3EAP", "CD33", "CD3G", "CD4", "CD3D", "CD8A", "CD3E"]


@pytest.mark.parametrize(
    ("name", "known", "expected"),
    [
        ("CD3", GENES, ["CD3D", "CD3E", "CD3G"]),
        ("CD", ["ACD", "CD33", "CD4"], ["CD4", "CD33"]),
        ("cd3e", GENES, ["CD3E", "CD3EAP"]),
        ("plat", ["batch", "plate", "flat"], ["plate", "flat"]),
        ("labls", ["batch", "labels"], ["labels"]),
        (1, ["10", "2"], ["10"]),
        ("x", [], []),
    ],
)
def test_names_with_the_same_beginning_come_first(name, known, expected):
    found = nearest(name, known)
    assert found[: len(expected)] == expected
    assert len(found) == min(3, len(known)) == len(set(found))
