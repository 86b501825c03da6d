"""Configuration of the documentation, after the template of scverse packages."""

import logging
import shutil
import sys
from datetime import datetime
from importlib.metadata import metadata
from pathlib import Path

DOCS = Path(__file__).parent
ROOT = DOCS.parent
sys.path.insert(0, str(DOCS / "extensions"))

# -- Project ----------------------------------------------------------------------------------

info = metadata("multidgd")
project = "multiDGD"
author = "The multiDGD developers"
copyright = f"{datetime.now():%Y}, {author}"
version = release = info["Version"]
repository = "https://github.com/Center-for-Health-Data-Science/multiDGD"

# -- Sphinx -----------------------------------------------------------------------------------

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.intersphinx",
    "sphinx.ext.mathjax",
    "sphinx.ext.napoleon",
    "sphinx_autodoc_typehints",  # after napoleon
    "sphinx_copybutton",
    "sphinx_design",
    "sphinxcontrib.bibtex",
    "sphinxext.opengraph",
    "prose_returns",
]
# The first is the one of the pages that autosummary writes.
source_suffix = {".rst": "restructuredtext", ".md": "myst-nb", ".ipynb": "myst-nb"}
templates_path = ["_templates"]
exclude_patterns = ["_build", "**.ipynb_checkpoints"]
default_role = "literal"

# -- API --------------------------------------------------------------------------------------

autosummary_generate = True
# Not the name of another page in capitals, which some file systems take for the same.
autosummary_filename_map = {"multiDGD.train.laplace": "multiDGD.train.laplace_function"}
autodoc_member_order = "bysource"
napoleon_google_docstring = False
napoleon_numpy_docstring = True
napoleon_use_rtype = True
napoleon_use_param = True
always_use_bars_union = True
typehints_defaults = "braces"
typehints_document_rtype_none = False

# Public names of this package must resolve. Those of others do where their inventories can be read,
# and what begins with an underscore has no page.
nitpicky = True
nitpick_ignore_regex = [(r"py:.*", r"(?!multiDGD\.).*"), (r"py:.*", r".*\._.*")]
intersphinx_mapping = {
    "anndata": ("https://anndata.readthedocs.io/en/stable", None),
    "lightning": ("https://lightning.ai/docs/pytorch/stable", None),
    "matplotlib": ("https://matplotlib.org/stable", None),
    "mudata": ("https://mudata.readthedocs.io/stable", None),
    "numpy": ("https://numpy.org/doc/stable", None),
    "pandas": ("https://pandas.pydata.org/pandas-docs/stable", None),
    "python": ("https://docs.python.org/3", None),
    "scanpy": ("https://scanpy.readthedocs.io/en/stable", None),
    "scipy": ("https://docs.scipy.org/doc/scipy", None),
    "scvi-tools": ("https://docs.scvi-tools.org/en/stable", None),
    "torch": ("https://docs.pytorch.org/docs/stable", None),
}
intersphinx_timeout = 10

# -- Text -------------------------------------------------------------------------------------

myst_enable_extensions = ["amsmath", "colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3
bibtex_bibfiles = ["references.bib"]
bibtex_reference_style = "author_year"
# Notebooks keep the outputs they were committed with.
nb_execution_mode = "off"
nb_merge_streams = True
nb_output_stderr = "remove"

# -- HTML -------------------------------------------------------------------------------------

html_theme = "sphinx_book_theme"
html_title = project
html_static_path = ["_static"]
html_css_files = ["css/custom.css"]
html_theme_options = {
    "repository_url": repository,
    "use_repository_button": True,
    "use_issues_button": True,
    "path_to_docs": "docs",
    "show_toc_level": 2,
    "navigation_with_keys": False,
    # The sidebar has a search already.
    "navbar_persistent": [],
}
ogp_site_url = "https://multidgd.readthedocs.io/"

# -- Pages that lie elsewhere in the repository -----------------------------------------------

COPIED = {"benchmarks": "**/*.md", "tutorials": "*.ipynb"}


def copy_pages() -> None:
    """Bring pages of other folders below ``docs``, the only place where Sphinx looks."""
    for folder, pattern in COPIED.items():
        target = DOCS / folder
        shutil.rmtree(target, ignore_errors=True)
        for page in (ROOT / folder).glob(pattern):
            copy = target / page.relative_to(ROOT / folder)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(page, copy)


# A site that cannot be reached is no fault of these pages, and there may be no tutorial yet.
TOLERATED = {
    "sphinx.sphinx.ext.intersphinx": "failed to reach any of the inventories",
}


def setup(app: object) -> None:
    for logger, start in TOLERATED.items():
        logging.getLogger(logger).addFilter(lambda r, s=start: not str(r.msg).startswith(s))
    copy_pages()
