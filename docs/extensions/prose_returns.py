"""Render the ``Returns`` section of a docstring as text.

Types are in the signature, so docstrings in scverse describe the return value in sentences.
Napoleon would interpret their first line as a type.
"""

from sphinx.application import Sphinx
from sphinx.ext.napoleon import NumpyDocstring


def parse_returns(self: NumpyDocstring, section: str) -> list[str]:
    """Turn a whole section into one field and keep its text unchanged."""
    text = self._dedent(self._consume_to_next_section())
    if text[:1] == [":"]:  # added by sphinx_autodoc_typehints, for napoleon
        del text[0]
    return [":returns:", *self._indent(text, 4), ""]


def setup(app: Sphinx) -> dict[str, bool]:
    """Replace napoleon's parser of this section."""
    NumpyDocstring._parse_returns_section = parse_returns
    return {"parallel_read_safe": True}
