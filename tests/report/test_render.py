"""The page as text: escaping, size, and independence of the network."""

import json
import re
from dataclasses import asdict, replace
from html.parser import HTMLParser

import numpy as np
import pytest
from tests.report.conftest import EVIL, QUOTES

from multiDGD.report import render
from multiDGD.report._bytes import pack, quantise
from multiDGD.report._sections import Coloring


class Page(HTMLParser):
    """Tags with their attributes, scripts and all text outside of scripts."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.scripts, self.text, self._inside = [], [], [], None
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self._inside = tag
        if tag == "script":
            self.scripts.append((dict(attrs), ""))

    def handle_endtag(self, tag):
        self._inside = None

    def handle_data(self, data):
        if self._inside == "script":
            attrs, text = self.scripts[-1]
            self.scripts[-1] = (attrs, text + data)
        elif self._inside != "style":
            self.text.append(data)


@pytest.fixture(scope="session")
def parsed(page):
    return Page(page)


def test_text_is_escaped(parsed, report):
    # Only the scripts of the page: the data and those that it was built with.
    assert len(parsed.scripts) == 1 + 5
    assert not [tag for tag, _ in parsed.tags if tag == "img"]
    assert not [attrs for _, attrs in parsed.tags if any(k.startswith("on") for k in attrs)]
    text = "".join(parsed.text)
    assert EVIL in text
    assert "alert" not in "".join(code for attrs, code in parsed.scripts if "id" not in attrs)
    # Names survive in the attributes of markers.
    markers = [attrs["data-feature"] for _, attrs in parsed.tags if "data-feature" in attrs]
    assert set(markers) <= {f.name for f in report.cells.features} | {
        n for c in report.components for pairs in c.markers.values() for n, _ in pairs
    }


def test_data_are_valid_json(parsed, report):
    ((attrs, text),) = [item for item in parsed.scripts if item[0].get("id") == "data"]
    assert attrs["type"] == "application/json"
    assert "<" not in text
    found = json.loads(text)
    assert found == json.loads(json.dumps(asdict(report.cells)))
    names = {c["name"] for c in (*found["colorings"], *found["features"])}
    assert {EVIL, QUOTES} <= names


def test_no_network(page, parsed):
    assert "default-src 'none'" in page
    for tag, attrs in parsed.tags:
        assert "src" not in attrs, tag
        assert tag != "link"
        assert attrs.get("href", "#").startswith("#")
    assert "url(" not in page[: page.index("</style>")]


def test_infinite_numbers_are_refused(report):
    broken = replace(report.cells, colorings=[Coloring("x", "numbers", "", low=np.inf)])
    with pytest.raises(ValueError, match="JSON"):
        render(replace(report, cells=broken))


def test_size_at_ten_thousand_cells(report):
    """Counts with the density of the 200 most informative genes, half of them non-zero."""
    rng = np.random.default_rng(0)
    n = 10_000

    def feature(i):
        values = np.log1p(rng.gamma(2, 1, n)) * (rng.random(n) < 0.5)
        return Coloring(f"GENE{i}", "numbers", pack(quantise(values, 0, 3)), high=3)

    annotations = [
        Coloring(f"a{i}", "numbers", pack(rng.integers(0, 255, n, dtype=np.uint8)))
        for i in range(10)
    ]
    xy = pack(rng.integers(0, 65_536, n).astype(np.uint16))
    cells = replace(
        report.cells, x=xy, y=xy, colorings=annotations, features=[feature(i) for i in range(200)]
    )
    size = len(render(replace(report, cells=cells)).encode())
    assert size < 8 * 2**20


def test_advice_marks_code_and_escapes_it(report):
    check = replace(report.checks[0], advice=f"Pass `x{EVIL}` & look.")
    page = render(replace(report, checks=[check]))
    assert "<code>x&lt;script&gt;alert(1)&lt;/script&gt;</code> &amp; look." in page


def test_headings_are_in_order(parsed):
    levels = [int(tag[1]) for tag, _ in parsed.tags if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert all(after - before <= 1 for before, after in zip(levels, levels[1:], strict=False))
