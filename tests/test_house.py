"""The house around the library: versions that agree, commands that work, pages and files that exist."""

import importlib
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from colab import COLAB, COLAB_PYTHON
from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
MAIN = PROJECT["project"]["dependencies"]
EXTRAS = PROJECT["project"]["optional-dependencies"]


# Versions -------------------------------------------------------------------------------------------------


def parse_pin(line: str) -> tuple[str, str]:
    """``numpy==2.4.6`` as (name, version). Anything looser or longer is refused."""
    try:
        requirement = Requirement(line)
    except InvalidRequirement as error:
        raise ValueError(f"not a requirement: {line!r}") from error
    specifiers = list(requirement.specifier)
    exact = len(specifiers) == 1 and specifiers[0].operator == "==" and "*" not in specifiers[0].version
    if not exact or requirement.extras or requirement.marker or requirement.url:
        raise ValueError(f"not one exact pin: {line!r}")
    return canonicalize_name(requirement.name), specifiers[0].version


def parse_pins(lines: list[str]) -> dict[str, str]:
    pins = {}
    for line in lines:
        name, version = parse_pin(line)
        if name in pins:
            raise ValueError(f"named twice: {name}")
        pins[name] = version
    return pins


def parse_constraints(text: str) -> dict[str, str]:
    """Every line is a pin, a comment or blank."""
    return parse_pins([line for line in text.splitlines() if line.strip() and not line.startswith("#")])


def parse_environment(text: str) -> tuple[dict[str, str], SpecifierSet, set[str]]:
    """Conda's file as (pip's pins, the range of Python, the extras that are installed)."""
    environment = yaml.safe_load(text)
    if set(environment) != {"name", "channels", "dependencies"}:
        raise ValueError(f"unknown entries: {sorted(environment)}")
    python, pip_itself, section = environment["dependencies"]
    if pip_itself != "pip" or set(section) != {"pip"} or not python.startswith("python"):
        raise ValueError(f"conda should bring Python and pip alone: {environment['dependencies']}")
    *pins, checkout = section["pip"]
    editable = re.fullmatch(r"-e \.\[([a-z,]+)\]", checkout)
    if editable is None:
        raise ValueError(f"the last line should install this checkout: {checkout!r}")
    return parse_pins(pins), SpecifierSet(python.removeprefix("python")), set(editable[1].split(","))


@pytest.fixture(scope="module")
def pins() -> dict[str, str]:
    return parse_constraints((ROOT / "constraints.txt").read_text(encoding="utf-8"))


def test_conda_says_the_same(pins):
    text = (ROOT / "environment.yml").read_text(encoding="utf-8")
    conda_pins, python, extras = parse_environment(text)
    assert conda_pins == pins
    assert python == SpecifierSet(PROJECT["project"]["requires-python"])
    assert extras == set(EXTRAS)


@pytest.mark.parametrize(
    "line", ["numpy", "numpy>=2", "numpy==2.*", "numpy==2,<3", "-e .", "numpy=2", "a==1; os_name == 'nt'"]
)
def test_a_line_that_is_no_pin_is_refused(line):
    with pytest.raises(ValueError, match="not "):
        parse_constraints(f"# heading\n\ntorch==2.13.0\n{line}\n")


def test_a_second_pin_of_one_name_is_refused():
    with pytest.raises(ValueError, match="twice"):
        parse_constraints("PyYAML==6.0.3\npyyaml==6.0.2\n")


@pytest.mark.parametrize("requirement", [*MAIN, *(r for extra in EXTRAS.values() for r in extra)])
def test_every_requirement_has_a_tested_version(requirement, pins):
    requirement = Requirement(requirement)
    assert requirement.specifier.contains(pins[canonicalize_name(requirement.name)])


@pytest.mark.parametrize("requirement", [*MAIN, *(r for extra in EXTRAS.values() for r in extra)])
def test_nothing_that_colab_has_is_replaced(requirement):
    requirement = Requirement(requirement)
    has = COLAB.get(canonicalize_name(requirement.name))
    assert has is None or requirement.specifier.contains(has)


def pythons_served() -> list[str]:
    allowed = SpecifierSet(PROJECT["project"]["requires-python"])
    return [version for version in (f"3.{minor}" for minor in range(40)) if allowed.contains(version)]


def pythons_in_words() -> str:
    *others, newest = pythons_served()
    return f"{', '.join(others)} or {newest}"


def test_every_place_names_the_pythons_that_pip_admits():
    served, makefile = pythons_served(), (ROOT / "Makefile").read_text()
    classified = [line.split(" :: ")[-1] for line in PROJECT["project"]["classifiers"] if "Python :: 3." in line]
    assert classified == served
    searched = next(line for line in makefile.splitlines() if line.startswith("PYTHON ?="))
    assert re.findall(r"python(3[.]\d+)", searched) == served[::-1]  # the newest first
    bounds = {tuple(map(int, pair)) for pair in re.findall(r"\((3), (\d+)\)", makefile)}
    first, newest = (int(version.split(".")[1]) for version in (served[0], served[-1]))
    assert bounds == {(3, first), (3, newest + 1)}
    assert f"Python {served[0]} to {served[-1]}" in makefile
    for text in (makefile, (ROOT / "chapters" / "start.md").read_text()):
        assert f"Python {pythons_in_words()}" in text


def test_colab_has_all_that_is_large_and_its_python_is_served():
    missing = {canonicalize_name(Requirement(r).name) for r in MAIN} - set(COLAB)
    # Not on the list as it is kept above; of those that are, tiktoken needs regex, and matplotlib Pillow.
    assert missing == {"tyro", "regex", "pillow"}
    assert SpecifierSet(PROJECT["project"]["requires-python"]).contains(COLAB_PYTHON)


@pytest.mark.parametrize("requirement", MAIN)
def test_the_library_sets_no_upper_bound(requirement):
    """A hosted notebook that upgrades must not be put back by the course."""
    assert {specifier.operator for specifier in Requirement(requirement).specifier} == {">="}


# The package ----------------------------------------------------------------------------------------------


def test_the_console_script_and_the_version():
    module, function = PROJECT["project"]["scripts"]["course"].split(":")
    assert callable(getattr(importlib.import_module(module), function))
    assert importlib.import_module("course_lib").__version__ == PROJECT["project"]["version"]


def test_a_wheel_would_have_every_file():
    package = ROOT / "course_lib"
    patterns = PROJECT["tool"]["setuptools"]["package-data"]["course_lib"]
    shipped = {file for pattern in patterns for file in package.glob(pattern)}
    others = {file for file in package.rglob("*") if file.is_file() and file.suffix not in (".py", ".pyc")}
    assert package / "py.typed" in shipped
    assert others - shipped == set(), "add these to package-data in pyproject.toml"
    lonely = {file for file in package.rglob("*.py") if not (file.parent / "__init__.py").exists()}
    assert lonely == set(), "a folder of modules needs an __init__.py, or a wheel leaves it out"


# Pages ----------------------------------------------------------------------------------------------------


def toc_pages() -> list[str]:
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
    assert toc["format"] == "jb-book"
    return [toc["root"], *(chapter["file"] for chapter in toc["chapters"])]


def page_files() -> list[Path]:
    return [file for pattern in ("*.md", "*.ipynb") for file in (ROOT / "chapters").glob(pattern)]


def test_the_table_of_contents_names_files_that_exist_and_every_page():
    pages = toc_pages()
    for page in pages:
        suffixes = {file.suffix for file in ROOT.glob(f"{page}.*")}
        assert suffixes & {".md", ".ipynb"}, f"{page} is in _toc.yml only"
    assert {f"chapters/{file.stem}" for file in page_files()} == set(pages)


def test_the_first_page_leads_to_every_other_page():
    text = (ROOT / "chapters" / "index.md").read_text(encoding="utf-8")
    links = set(re.findall(r"\]\(([^)]+)\)", text))
    assert links == {file.name for file in page_files() if file.stem != "index"}
    rows = re.findall(r"^\| (\d\d) \| (.+?) \|", text, flags=re.MULTILINE)
    assert [number for number, _ in rows] == [f"{n:02}" for n in range(12)]
    for number, title in rows:
        assert ("to come" in title) == (not list((ROOT / "chapters").glob(f"{number}_*.ipynb"))), title


def test_jupyterlab_knows_the_settings_that_make_lab_hands_it():
    """A setting that a new JupyterLab no longer has would be ignored without a word."""
    schemas = Path(sys.prefix) / "share" / "jupyter" / "lab" / "schemas"
    if not schemas.is_dir():
        pytest.skip("JupyterLab is not installed in this environment")
    settings = ROOT / ".jupyter" / "labconfig" / "default_setting_overrides.json"
    for plugin, values in json.loads(settings.read_text(encoding="utf-8")).items():
        schema = json.loads((schemas / f"{plugin.replace(':', '/')}.json").read_text(encoding="utf-8"))
        assert set(values) <= set(schema["properties"])


# Files that people and machines read first ----------------------------------------------------------------

HOUSE_FILES = [
    *("Makefile", ".ci/run", "README.md", "CHANGELOG.md", "chapters/index.md", "_config.yml", "_toc.yml"),
    *("pyproject.toml", "constraints.txt", "environment.yml", ".gitignore"),
]
MACHINE_PATH = re.compile(r"(?<![\w.~$/})-])/(?:work|root|home|Users|tmp|opt|mnt|srv)(?![\w-])")
PACKAGE_INDEX = re.compile(r"--(?:extra-)?index-url|--find-links|\b(?:pypi|pythonhosted|anaconda)\.|download\.pytorch")


@pytest.mark.parametrize("name", HOUSE_FILES)
def test_no_file_names_a_path_of_one_machine_or_a_package_index(name):
    text = (ROOT / name).read_text(encoding="utf-8")
    assert MACHINE_PATH.findall(text) == []
    assert PACKAGE_INDEX.findall(text) == []


def test_the_two_patterns_find_what_they_look_for():
    assert len(MACHINE_PATH.findall("cd /work/x; cat '/home/me'; A=/root")) == 3
    assert not MACHINE_PATH.search("see docs/home, ../work and /path/to/python")
    assert len(PACKAGE_INDEX.findall("pip install --index-url https://pypi.example/")) == 2


def make_targets() -> set[str]:
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    return set(re.findall(r"^([a-z][a-z-]*):", text, flags=re.MULTILINE))


@pytest.mark.parametrize("name", HOUSE_FILES)
def test_every_make_command_that_is_named_exists(name):
    text = (ROOT / name).read_text(encoding="utf-8")
    named = set(re.findall(r"(?:`|^\s*(?:\$ )?)make ([a-z][a-z-]*)", text, flags=re.MULTILINE))
    assert named <= make_targets()


@pytest.mark.skipif(shutil.which("git") is None, reason="needs git")
def test_git_ignores_what_is_made_and_nothing_that_is_written(tmp_path):
    shutil.copy(ROOT / ".gitignore", tmp_path)
    subprocess.run(["git", "init", "--quiet", tmp_path], check=True)
    made = [
        *("data/tinyshakespeare/input.txt", "data/prepared/x-1/train.bin", "runs/a/config.json"),
        *(".venv/bin/python", ".colab/bin/python", "_build/html/index.html", "course_lib.egg-info/PKG-INFO"),
        *("tests/__pycache__/a.pyc", "build/lib/a.py", "dist/a.whl"),
        *("chapters/.ipynb_checkpoints/05_loop.ipynb", ".pytest_cache/a", ".hypothesis/a", ".ruff_cache/a"),
    ]
    written = [
        *("data/tinyshakespeare/README.md", "data/reference/bench.json", "data/reference/cpu/losses.json"),
        *("course_lib/data/batcher.py", "course_lib/corpora/names.txt", "course_lib/recipes/a.toml"),
        *("chapters/05_loop.ipynb", "tests/golden/losses.json", ".jupyter/labconfig/a.json", ".ci/run"),
    ]
    asked = subprocess.run(
        ["git", "check-ignore", "--no-index", *made, *written], cwd=tmp_path, capture_output=True, text=True
    )
    assert asked.stdout.splitlines() == made


def test_browser_tests_lie_where_make_looks_for_them():
    """To gather all the others first would take ten seconds."""
    assert "-m browser $(BOUNDED) tests/browser " in (ROOT / "Makefile").read_text(encoding="utf-8")
    named = "mark." + "browser"  # in two parts, for this file is read as well
    found = {path.parent.name for path in (ROOT / "tests").rglob("*.py") if named in path.read_text(encoding="utf-8")}
    assert found == {"browser"}


# The check that runs before a change is kept --------------------------------------------------------------


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
@pytest.mark.parametrize("failing", [None, "test", "book", "test-portable", "test-slow", "test-browser"])
@pytest.mark.parametrize("with_data", [False, True])
def test_ci_runs_the_suites_and_fails_when_one_does(tmp_path, failing, with_data):
    script = tmp_path / "checkout" / ".ci" / "run"
    script.parent.mkdir(parents=True)
    shutil.copy(ROOT / ".ci" / "run", script)
    data = tmp_path / "shared" / "data"
    if with_data:
        data.mkdir(parents=True)
    programs = tmp_path / "programs"
    programs.mkdir()
    fakes = {"make": f'echo "$1 ${{COURSE_DATA-}}"; test "$1" != "{failing}"', "chromium": "", "c++": ""}
    for name, body in fakes.items():
        (programs / name).write_text(f"#!/bin/sh\n{body}\n")
        (programs / name).chmod(0o755)
    environment = {name: value for name, value in os.environ.items() if name != "COURSE_DATA"}
    environment["PATH"] = f"{programs}:{environment['PATH']}"
    done = subprocess.run([script], env=environment, capture_output=True, text=True, timeout=60)
    suites = ["test", "book", "test-portable", "test-slow", "test-browser"]
    expected = suites[: suites.index(failing) + 1] if failing else suites
    where = str(data.resolve()) if with_data else ""
    assert done.stdout.splitlines() == [f"{suite} {where}" for suite in expected]
    assert (done.returncode == 0) == (failing is None)
