"""JupyterLab's server as `make lab` starts it: a chapter that was opened and saved is the file that it was."""

import asyncio
import json
import shutil
from pathlib import Path

import pytest
from ipykernel.ipkernel import IPythonKernel
from traitlets.config import Config, PyFileConfigLoader

ROOT = Path(__file__).resolve().parents[1]
CHAPTERS = sorted(path.stem for path in (ROOT / "chapters").glob("*.ipynb"))


@pytest.fixture
def contents(tmp_path):
    """The contents manager of the course's own configuration, over a copy of the chapters."""
    config: Config = PyFileConfigLoader("jupyter_server_config.py", path=str(ROOT / ".jupyter")).load_config()
    shutil.copytree(ROOT / "chapters", tmp_path / "chapters")
    shutil.copy(ROOT / "_toc.yml", tmp_path)
    manager = config.ServerApp.contents_manager_class(root_dir=str(tmp_path))
    manager.notary.data_dir = str(tmp_path)
    return manager


def get(contents, path: str) -> dict:
    return asyncio.run(contents.get(path))


def cells_trusted(model: dict) -> set[bool]:
    cells = model["content"]["cells"]
    return {cell["metadata"].get("trusted", False) for cell in cells if cell["cell_type"] == "code"}


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_a_chapter_comes_with_its_kernels_notes_and_goes_without(contents, chapter):
    path = f"chapters/{chapter}.ipynb"
    model = get(contents, path)
    assert model["content"]["metadata"]["language_info"] == IPythonKernel.language_info
    assert model["content"]["metadata"]["kernelspec"]["display_name"] == "Python 3 (ipykernel)"
    assert cells_trusted(model) == {True}
    asyncio.run(contents.save({"type": "notebook", "content": json.loads(json.dumps(model["content"]))}, path))
    assert (Path(contents.root_dir) / path).read_text("utf-8") == (ROOT / path).read_text("utf-8")


def test_any_other_notebook_is_left_as_it_is(contents):
    path = Path(contents.root_dir) / "mine.ipynb"
    shutil.copy(ROOT / "chapters" / f"{CHAPTERS[0]}.ipynb", path)
    model = get(contents, "mine.ipynb")
    assert model["content"]["metadata"] == json.loads(path.read_text("utf-8"))["metadata"]
    assert cells_trusted(model) == {False}


def test_what_a_reader_wrote_into_a_chapters_metadata_stays(contents):
    path = f"chapters/{CHAPTERS[0]}.ipynb"
    content = get(contents, path)["content"]
    content["metadata"]["mine"] = 1
    asyncio.run(contents.save({"type": "notebook", "content": content}, path))
    assert json.loads((Path(contents.root_dir) / path).read_text("utf-8"))["metadata"]["mine"] == 1
    assert get(contents, path)["content"]["metadata"]["mine"] == 1
