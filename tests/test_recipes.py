"""Recipes and the citation file agree with ``pyproject.toml``."""

import re
import tomllib
from pathlib import Path

import pytest

yaml = pytest.importorskip("yaml", reason="PyYAML is not installed")

ROOT = Path(__file__).parents[1]
DRAFTS = ROOT / "recipes"
CONDA_NAMES = {
    "huggingface-hub": "huggingface_hub",
    "matplotlib": "matplotlib-base",
    "torch": "pytorch",
}

if not DRAFTS.is_dir():
    pytest.skip("the source archive has no `recipes`", allow_module_level=True)


@pytest.fixture(scope="module")
def project():
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def parsed(path):
    return yaml.safe_load((DRAFTS / path).read_text())


def as_conda(requirements):
    found = set()
    for requirement in requirements:
        name, bound = re.fullmatch(r"([\w.-]+)([<>]=?.*)?", requirement).groups()
        found.add(f"{CONDA_NAMES.get(name, name)} {bound or ''}".strip())
    return found


def test_conda(project):
    recipe, metadata = parsed("conda/recipe.yaml"), project["project"]
    assert recipe["package"] == {"name": metadata["name"], "version": "${{ version }}"}
    context = recipe["context"]
    assert context["version"] == metadata["version"]
    assert f">={context['python_min']}" == metadata["requires-python"]
    requirements = recipe["requirements"]
    assert set(requirements["run"]) == {
        "python >=${{ python_min }}",
        *as_conda(metadata["dependencies"]),
    }
    extras = metadata["optional-dependencies"]
    assert set(requirements["run_constraints"]) == as_conda(extras["datasets"] + extras["hub"])
    assert set(requirements["host"]) == {
        "python ${{ python_min }}.*",
        "pip",
        *as_conda(project["build-system"]["requires"]),
    }
    (command,) = metadata["scripts"].items()
    assert recipe["build"]["python"]["entry_points"] == [" = ".join(command)]
    assert recipe["about"]["summary"] == metadata["description"]
    assert recipe["about"]["license"] == metadata["license"]
    assert (ROOT / recipe["about"]["license_file"]).is_file()


def test_conda_source_is_this_version(project):
    """Before a release the recipe builds this checkout, afterwards the archive on PyPI."""
    source, version = parsed("conda/recipe.yaml")["source"], project["project"]["version"]
    if "path" in source:
        assert (DRAFTS / "conda" / source["path"]).resolve() == ROOT.resolve()
    else:
        assert source["url"].endswith(f"/multidgd-{version}.tar.gz")
        assert re.fullmatch("[0-9a-f]{64}", source["sha256"])


def test_ecosystem(project):
    entry, metadata = parsed("ecosystem-packages/meta.yaml"), project["project"]
    required = "name description project_home documentation_home install license tags version"
    assert {*required.split(), "category", "contact"} <= set(entry)
    assert entry["version"] == metadata["version"]
    assert entry["license"] == metadata["license"]
    assert entry["install"] == {"pypi": metadata["name"]}
    assert entry["category"] == "ecosystem"
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    dois = [citation["preferred-citation"]["doi"], *(r["doi"] for r in citation["references"])]
    assert entry["publications"] == dois


def test_addresses_are_those_of_the_project(project):
    """``pyproject.toml`` is the one source of addresses; other files have the same ones or none."""
    urls = project["project"]["urls"]
    entry = parsed("ecosystem-packages/meta.yaml")
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    home = urls.get("Homepage")
    assert parsed("conda/recipe.yaml")["about"].get("homepage") == home
    assert entry["project_home"] == home
    assert entry["documentation_home"] == urls.get("Documentation")
    assert citation.get("repository-code") == home
    assert citation["version"] == project["project"]["version"]
    first = urls["First implementation"]
    assert [name for name, url in urls.items() if url.startswith(first)] == [
        "First implementation"
    ]
