"""Finding GPT-2's weights: folders first, the Hub last, and one message where there is neither."""

import sys
import types
from pathlib import Path

import pytest

from course_lib import sources
from course_lib.errors import CourseError
from course_lib.interop import find_hf_gpt2

FILES = ("config.json", "model.safetensors", "vocab.json", "merges.txt")


@pytest.fixture(autouse=True)
def alone(project: Path, monkeypatch) -> None:
    """A machine that has nothing yet, and may download."""
    for name in ("COURSE_OFFLINE", "COURSE_DATA", "HF_HUB_OFFLINE", "HF_HUB_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HOME", str(project / "hf home"))


def fill(folder: Path, files: tuple[str, ...] = FILES) -> Path:
    folder.mkdir(parents=True)
    for file in files:
        (folder / file).write_text("{}")
    return folder


def hub(monkeypatch, download) -> None:
    """A huggingface_hub that has one function; None for one that is not installed."""
    module = types.ModuleType("huggingface_hub")
    module.snapshot_download = download
    monkeypatch.setitem(sys.modules, "huggingface_hub", None if download is None else module)


def never(*args: object, **words: object) -> str:
    raise AssertionError("nothing should be downloaded")


def test_a_folder_is_taken_as_it_is(project: Path, monkeypatch) -> None:
    hub(monkeypatch, never)
    folder = fill(project / "my weights")
    assert find_hf_gpt2(f"gpt2:{folder}") == folder
    monkeypatch.setenv("HOME", str(project))
    assert find_hf_gpt2("gpt2:~/my weights") == folder
    with pytest.raises(CourseError, match="nowhere is no folder; gpt2:PATH names one"):
        find_hf_gpt2("gpt2:nowhere")


def test_the_first_place_that_has_all_of_it_is_taken(project: Path, monkeypatch) -> None:
    hub(monkeypatch, never)
    cache = project / "hf home" / "hub"
    places = [
        fill(cache / "models--gpt2-large" / "snapshots" / "b0"),
        fill(cache / "models--openai-community--gpt2-large" / "snapshots" / "a1"),
        fill(cache / "models--openai-community--gpt2-large" / "snapshots" / "a2"),
        fill(project / "mirror" / "gpt2-large"),
        fill(project / "data" / "gpt2-large", ("config.json", "model.safetensors.index.json")),
    ]
    refs = cache / "models--openai-community--gpt2-large" / "refs"
    refs.mkdir()
    (refs / "main").write_text("a2")
    monkeypatch.setenv("COURSE_DATA", str(project / "mirror"))
    while places:
        wanted = places.pop()
        assert find_hf_gpt2("gpt2-large") == wanted
        (wanted / "config.json").unlink()  # what was cut off is not taken


def test_the_caches_folder_is_that_of_huggingface_hub(project: Path, monkeypatch) -> None:
    hub(monkeypatch, never)
    for variable, folder in (("HF_HUB_CACHE", "c"), ("HF_HOME", "h/hub"), ("XDG_CACHE_HOME", "x/huggingface/hub")):
        for other in ("HF_HUB_CACHE", "HF_HOME", "XDG_CACHE_HOME"):
            monkeypatch.delenv(other, raising=False)
        monkeypatch.setenv(variable, str(project / folder.split("/")[0]))
        wanted = fill(project / folder / "models--openai-community--gpt2-xl" / "snapshots" / "1")
        assert find_hf_gpt2("gpt2-xl") == wanted
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(project))
    wanted = fill(project / ".cache/huggingface/hub/models--openai-community--gpt2-xl/snapshots/1")
    assert find_hf_gpt2("gpt2-xl") == wanted


def test_the_hub_is_asked_for_the_needed_files_alone(project: Path, monkeypatch) -> None:
    asked = []

    def snapshot_download(repo: str, allow_patterns: list[str]) -> str:
        asked.append((repo, sorted(allow_patterns)))
        return str(fill(project / "fetched"))

    hub(monkeypatch, snapshot_download)
    assert find_hf_gpt2("gpt2-medium") == project / "fetched"
    assert asked == [("openai-community/gpt2-medium", sorted(FILES))]


def test_without_huggingface_hub_it_is_a_plain_download(project: Path, monkeypatch) -> None:
    hub(monkeypatch, None)
    fetched = []

    def fetch(url: str, part: Path) -> None:
        fetched.append(url)
        if len(fetched) == 3:
            raise OSError("cut off")
        part.write_text(url)

    monkeypatch.setattr(sources, "_fetch", fetch)
    monkeypatch.setattr(sources.download, "__defaults__", (1,))
    with pytest.raises(CourseError, match=r"downloading it from the Hub failed \(cut off\)"):
        find_hf_gpt2("gpt2")
    folder = find_hf_gpt2("gpt2")  # goes on where it was cut off
    assert folder == project / "data" / "gpt2"
    assert {path.name for path in folder.iterdir()} == set(FILES)
    assert len(fetched) == len(FILES) + 1
    address = "https://huggingface.co/openai-community/gpt2/resolve/main/config.json"
    assert (folder / "config.json").read_text() == address
    monkeypatch.setattr(sources, "_fetch", never)
    assert find_hf_gpt2("gpt2") == folder


def failing(kind: type[Exception], text: str):
    def fail(*args: object, **words: object) -> str:
        raise kind(text)

    return fail


@pytest.mark.parametrize("why", ["COURSE_OFFLINE", "HF_HUB_OFFLINE", "no network", "an error of the Hub's own"])
def test_where_it_cannot_be_had_one_message_says_all(project: Path, monkeypatch, why: str) -> None:
    hub(monkeypatch, never)
    words = f"{why}=1 forbids a download"
    if why.isupper():
        monkeypatch.setenv(why, "1")
    elif why == "no network":
        hub(monkeypatch, None)
        monkeypatch.setattr(sources, "_fetch", failing(OSError, "Name or service not known"))
        words = "downloading it from the Hub failed (Name or service not known)"
    else:
        said = "503 for Bearer hf_SecretSecretSecret\nand a page of HTML"
        hub(monkeypatch, failing(type("HubError", (Exception,), {}), said))
        words = "downloading it from the Hub failed (503 for Bearer (the token))"
    with pytest.raises(CourseError) as error:
        find_hf_gpt2("gpt2-xl")
    said = str(error.value)
    for needed in (
        words, str(project / "data" / "gpt2-xl"), str(project / "hf home"), "https://huggingface.co/openai-community/",
        "gpt2:PATH", *FILES,
    ):  # fmt: skip
        assert needed in said
    assert "HTML" not in said


@pytest.mark.parametrize("name", ["gpt-2", "gpt2-small", "GPT2", ""])
def test_another_name_is_answered_with_what_there_is(name: str) -> None:
    with pytest.raises(CourseError, match=f"There is no GPT-2 '{name}': .*gpt2"):
        find_hf_gpt2(name)
