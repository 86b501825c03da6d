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
# `Homepage` in pyproject.toml is the repository's address; there is none before publication.
urls = dict(entry.split(", ", 1) for entry in info.get_all("Project-URL", []))
repository = urls.get("Homepage")

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
# autosummary writes its pages with the first suffix.
source_suffix = {".rst": "restructuredtext", ".md": "myst-nb", ".ipynb": "myst-nb"}
templates_path = ["_templates"]
exclude_patterns = ["_build", "**.ipynb_checkpoints"]
default_role = "literal"

# -- API --------------------------------------------------------------------------------------

autosummary_generate = True
# Some file systems ignore case: `laplace` must not overwrite the page of `Laplace`.
autosummary_filename_map = {"multiDGD.inference.laplace": "multiDGD.inference.laplace_function"}
autodoc_member_order = "bysource"
napoleon_google_docstring = False
napoleon_numpy_docstring = True
napoleon_use_rtype = True
napoleon_use_param = True
always_use_bars_union = True
typehints_defaults = "braces"
typehints_document_rtype_none = False

# Public names of this package must resolve. Names of other packages need their inventories, which
# may be out of reach, and private names have no page.
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
# Notebooks are shown with their committed outputs.
nb_execution_mode = "off"
nb_merge_streams = True
nb_output_stderr = "remove"

# -- HTML -------------------------------------------------------------------------------------

html_theme = "sphinx_book_theme"
html_title = project
html_static_path = ["_static"]
html_css_files = ["css/custom.css"]
html_theme_options = {
    "path_to_docs": "docs",
    "show_toc_level": 2,
    # Pages of single methods and functions are listed on the pages of their groups.
    "max_navbar_depth": 2,
    "navigation_with_keys": False,
    # The sidebar already contains a search field.
    "navbar_persistent": [],
}
if repository:
    html_theme_options |= {
        "repository_url": repository,
        "use_repository_button": True,
        "use_issues_button": True,
    }

# -- Pages from other folders -----------------------------------------------------------------

COPIED = {"benchmarks": (".md", ".svg"), "tutorials": (".ipynb",)}


def copy_pages() -> None:
    """Copy pages of other folders into ``docs``, because Sphinx reads no other folder."""
    for folder, suffixes in COPIED.items():
        target = DOCS / folder
        shutil.rmtree(target, ignore_errors=True)
        pages = (page for page in (ROOT / folder).rglob("*") if page.suffix in suffixes)
        for page in pages:
            copy = target / page.relative_to(ROOT / folder)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(page, copy)


# An unreachable site is no error of these pages.
TOLERATED = {
    "sphinx.sphinx.ext.intersphinx": "failed to reach any of the inventories",
}


def setup(app: object) -> None:
    for logger, start in TOLERATED.items():
        logging.getLogger(logger).addFilter(lambda r, s=start: not str(r.msg).startswith(s))
    copy_pages()
