"""The draft recipes agree with ``pyproject.toml``."""

import re
import tomllib
from pathlib import Path

import pytest

yaml = pytest.importorskip("yaml", reason="PyYAML is not installed")

ROOT = Path(__file__).parents[1]
DRAFTS = ROOT / "recipes"
CONDA_NAMES = {"torch": "pytorch", "matplotlib": "matplotlib-base"}

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
        name, bound = re.fullmatch(r"([\w.-]+)(>=.*)?", requirement).groups()
        found.add(f"{CONDA_NAMES.get(name, name)} {bound or ''}".strip())
    return found


def test_conda(project):
    recipe, metadata = parsed("conda/meta.yaml"), project["project"]
    assert recipe["package"] == {"name": metadata["name"], "version": metadata["version"]}
    assert recipe["source"]["url"].endswith(f"/multidgd-{metadata['version']}.tar.gz")
    requirements = recipe["requirements"]
    assert set(requirements["run"]) == {
        "python >={{ python_min }}",
        *as_conda(metadata["dependencies"]),
    }
    assert set(requirements["run_constrained"]) == as_conda(
        metadata["optional-dependencies"]["datasets"]
    )
    assert as_conda(project["build-system"]["requires"]) <= set(requirements["host"])
    (command,) = metadata["scripts"].items()
    assert recipe["build"]["entry_points"] == [" = ".join(command)]
    assert recipe["about"]["summary"] == metadata["description"]
    assert recipe["about"]["license"] == metadata["license"]
    assert (ROOT / recipe["about"]["license_file"]).is_file()


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
