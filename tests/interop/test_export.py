"""course export: the files that it writes, what it refuses to overwrite, and the compiler that it calls."""

import json
import os
import pickle
import re
import shlex
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from small_runs import FORMS, Small, build, keep

from course_lib import checkpoint
from course_lib.cli import main as course
from course_lib.config import MODEL_KINDS, AGIFormerConfig, Config, GPTConfig, ModelKind
from course_lib.errors import CourseError
from course_lib.interop import compile_cpp, export_cpp, export_pth
from course_lib.interop.cpp import PROGRAM, SOURCE, source
from course_lib.kernels import find_compiler
from course_lib.models import GPT, build_model
from course_lib.tokenizers import ByteTokenizer

pytestmark = pytest.mark.usefixtures("one_thread")
EXPORTED = {SOURCE, "config.json", "tokenizer.json", "model.safetensors"}


@dataclass(frozen=True)
class BagConfig(Config):
    vocab_size: int = 256


@pytest.fixture
def kept(project: Path) -> Small:
    return keep(project / "runs" / "mine", build(**FORMS["gpt2"]))


def content(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in folder.iterdir()}


# The kind of model -----------------------------------------------------------------------------------------


class Bag(torch.nn.Module):
    def __init__(self, config: BagConfig) -> None:
        super().__init__()
        self.config = config
        self.table = torch.nn.Embedding(config.vocab_size, config.vocab_size)


@pytest.mark.parametrize("kind", ["agiformer", "bag"])
def test_a_kind_that_is_no_gpt_is_not_exported_to_cpp(project: Path, monkeypatch, kind: str) -> None:
    monkeypatch.setitem(MODEL_KINDS, "bag", ModelKind(BagConfig, Bag))
    torch.manual_seed(0)
    settings = AGIFormerConfig(n_layer=1, n_head=1, n_embd=8) if kind == "agiformer" else BagConfig()
    keep(project / "runs" / "mine", build_model(settings), ByteTokenizer())
    with pytest.raises(CourseError, match=f"serves models of the kind gpt; .*mine holds one of the kind {kind}\\.$"):
        export_cpp("mine")
    assert not Path("mine-cpp").exists()
    assert set(torch.load(export_pth("mine"), weights_only=True)) == set(build_model(settings).state_dict())


# state_dict ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["gpt2", "modern", "n-grams that share rows"])
def test_a_state_dict_is_what_gpt_loads(project: Path, form: str) -> None:
    kept = keep(project / "runs" / "mine", build(**FORMS[form]))
    path = export_pth("mine")
    assert path == Path("mine.pth")
    weights = torch.load(path, weights_only=True)
    assert type(weights) is type(GPT(kept.model.config).state_dict())
    assert list(weights) == list(kept.model.state_dict())
    assert "head.weight" in weights  # tied or not
    settings = json.loads((kept.path / "config.json").read_text())["model"]
    settings.pop("kind")
    torch.manual_seed(9)
    model = GPT(GPTConfig(**settings))
    model.load_state_dict(weights)
    idx = torch.arange(20)[None]
    with torch.no_grad():
        assert torch.equal(model.eval()(idx), kept.model(idx))


def test_tied_weights_take_their_room_once(project: Path, kept: Small) -> None:
    weights = torch.load(export_pth("mine"), weights_only=True)
    assert weights["head.weight"].data_ptr() == weights["token_embedding.weight"].data_ptr()


def test_the_chosen_save_is_exported(project: Path, kept: Small) -> None:
    other = build(**FORMS["gpt2"])
    with torch.no_grad():
        other.norm.weight.fill_(5)
    checkpoint.save(kept.path, 7, kept.model, best=True)
    checkpoint.save(kept.path, 12, other)
    for which, wanted in (("last", other), ("best", kept.model), ("auto", kept.model), (12, other), (7, kept.model)):
        found = torch.load(export_pth("mine", which=which), weights_only=True)
        torch.testing.assert_close(found["norm.weight"], wanted.norm.weight.detach())
        folder = export_cpp("mine", which=which)
        torch.testing.assert_close(load_file(folder / "model.safetensors")["norm.weight"], wanted.norm.weight.detach())
    for export in (export_pth, export_cpp):
        with pytest.raises(CourseError, match="has no save 8"):
            export("mine", which=8)


def test_a_state_dict_replaces_an_earlier_one_and_nothing_else(project: Path, kept: Small) -> None:
    first = export_pth(kept.path, project / "here.pth")
    before = first.read_bytes()
    with torch.no_grad():
        kept.model.norm.weight.fill_(3)
    checkpoint.save(kept.path, 8, kept.model)
    export_pth(kept.path, project / "here.pth")
    assert first.read_bytes() != before
    foreign = {
        "text": b"my notes",
        "empty": b"",
        "pickle": pickle.dumps({"a": 1}),
        "weights": export_pth(keep(project / "runs" / "other", build()).path, project / "o.pth").read_bytes(),
    }
    for name, there in foreign.items():
        path = project / name
        path.write_bytes(there)
        with pytest.raises(CourseError, match=r"is no export of this model\. Move it away"):
            export_pth(kept.path, path)
        assert path.read_bytes() == there
    assert not list(project.glob(".*.new"))


def test_a_write_that_fails_leaves_what_was_there(project: Path, kept: Small, monkeypatch) -> None:
    path = export_pth("mine")
    before = path.read_bytes()

    def full(weights: object, target: Path) -> None:
        Path(target).write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(CourseError, match=r"Cannot write mine\.pth.*No space left"):
        export_pth("mine")
    assert path.read_bytes() == before
    assert not list(project.glob(".*.new"))


def test_a_folder_that_is_not_there(project: Path, kept: Small) -> None:
    with pytest.raises(CourseError, match="Cannot write none"):
        export_pth("mine", "none/a.pth")


# The folder with the program -------------------------------------------------------------------------------


def test_a_folder_holds_the_program_and_what_it_reads(project: Path, kept: Small) -> None:
    folder = export_cpp("mine")
    assert folder == Path("mine-cpp")
    assert content(folder).keys() == EXPORTED
    for name in ("config.json", "tokenizer.json"):
        assert (folder / name).read_bytes() == (kept.path / name).read_bytes()
    assert (folder / "model.safetensors").read_bytes() == (kept.path / "saves" / "7" / "model.safetensors").read_bytes()
    assert (folder / SOURCE).read_text() == source()
    assert checkpoint.find_run("mine") == project / "runs" / "mine"


def test_an_earlier_export_is_brought_up_to_date(project: Path, kept: Small) -> None:
    folder = export_cpp("mine")
    (folder / PROGRAM).write_text("compiled")
    with torch.no_grad():
        kept.model.norm.weight.fill_(3)
    checkpoint.save(kept.path, 8, kept.model)
    before = content(folder)
    export_cpp("mine")
    after = content(folder)
    assert {name for name in after if after[name] != before[name]} == {"model.safetensors"}
    (folder / "config.json").unlink()  # an export that was cut off
    assert content(export_cpp("mine")) == after


def test_what_is_not_an_export_is_left_alone(project: Path, kept: Small) -> None:
    (project / "notes").mkdir()
    (project / "notes" / "mine.txt").write_text("notes")
    (project / "file").write_text("notes")
    with pytest.raises(CourseError, match=r"notes holds other files already\. Empty it, or name another"):
        export_cpp("mine", "notes")
    with pytest.raises(CourseError, match="file is a file; the export needs a folder"):
        export_cpp("mine", "file")
    before = content(kept.path / "saves" / "7")
    with pytest.raises(CourseError, match="holds other files already"):
        export_cpp("mine", kept.path)
    assert (content(project / "notes"), content(kept.path / "saves" / "7")) == ({"mine.txt": b"notes"}, before)
    folder = export_cpp("mine")
    (folder / SOURCE).write_text(source() + "// my own change\n")
    with pytest.raises(CourseError, match=r"it was changed, or is of another version\. Move it"):
        export_cpp("mine")
    assert (folder / SOURCE).read_text().endswith("my own change\n")


def test_a_run_without_a_tokenizer_or_with_damage(project: Path, kept: Small) -> None:
    weights = kept.path / "saves" / "7" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    with pytest.raises(CourseError, match="not a whole safetensors file"):
        export_cpp("mine")
    checkpoint.save(kept.path, 8, kept.model)
    (kept.path / "tokenizer.json").unlink()
    with pytest.raises(CourseError, match=r"has no tokenizer\.json"):
        export_cpp("mine")
    assert not (project / "mine-cpp").exists()


@pytest.mark.skipif(getattr(os, "geteuid", int)() == 0, reason="root may write anywhere")
def test_a_folder_that_may_not_be_written(project: Path, kept: Small) -> None:
    (project / "locked").mkdir(mode=0o500)
    with pytest.raises(CourseError, match=r"Cannot write .*Permission denied"):
        export_cpp("mine", "locked/here")


def test_a_place_that_cannot_be_a_folder(project: Path, kept: Small) -> None:
    (project / "file").write_text("")
    with pytest.raises(CourseError, match="Cannot write file/here: Not a directory"):
        export_cpp("mine", "file/here")


# The command -----------------------------------------------------------------------------------------------


def test_the_two_commands_that_are_printed_work(
    project: Path, kept: Small, program: Path, capsys: pytest.CaptureFixture, ids
) -> None:
    assert course(["export", "mine", "--to", "cpp", "--which=7", "--out", "a folder"]) == 0
    printed = capsys.readouterr().out
    compile_line, run_line = re.fullmatch(r"a folder\ncompile it with: (.*)\nrun it with: (.*)\n", printed).groups()
    assert subprocess.run(compile_line, shell=True, capture_output=True).stderr == b""
    command = f"{run_line} --prompt bad --max-new-tokens 30 --temperature 0 --ids"
    done = subprocess.run(command, shell=True, capture_output=True, text=True)
    found = [int(word) for word in done.stdout.split()]
    assert found == ids(kept.path, "bad", "--max-new-tokens", 30, "--temperature", 0)
    assert len(found) == 30


def test_the_command_for_a_state_dict(project: Path, kept: Small, capsys: pytest.CaptureFixture) -> None:
    assert course(["export", "mine", "--to=pth"]) == 0
    assert capsys.readouterr().out == "mine.pth\nread it with: torch.load('mine.pth', weights_only=True)\n"
    assert course(["export", "mine", "--to", "pth", "--out", "b.pth", "--which", "best"]) == 2
    assert "has no save 'best'" in capsys.readouterr().err
    assert not Path("b.pth").exists()


def test_help_warns_of_the_pickle(capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit):
        course(["export", "--help"])
    printed = " ".join(capsys.readouterr().out.split())
    assert "is a pickle" in printed
    assert "weights_only=True" in printed


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["mine"], "course export needs --to. course export --help says more."),
        (["mine", "--to", "onnx"], "--to should be 'cpp' or 'hf' or 'pth'; it is 'onnx'."),
    ],
)
def test_a_form_has_to_be_named(project: Path, kept: Small, capsys, args: list[str], said: str) -> None:
    assert course(["export", *args]) == 2
    assert capsys.readouterr().err == f"course: {said}\n"


# The compiler ----------------------------------------------------------------------------------------------

PRETENDER = """#!/bin/sh
echo "$*" >> "$LOG"
case "$*" in *"$REFUSED"*) echo "no such flag" >&2; exit 1 ;; esac
while [ "$1" != "-o" ]; do shift; done
echo program > "$2"
"""


@pytest.fixture
def pretender(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A compiler that only writes down what it is asked."""
    path = tmp_path / "programs" / "g++"
    path.parent.mkdir()
    path.write_text(PRETENDER)
    path.chmod(0o755)
    monkeypatch.setenv("LOG", str(tmp_path / "log"))
    monkeypatch.setenv("REFUSED", "nothing at all")
    monkeypatch.setenv("PATH", f"{path.parent}{os.pathsep}/usr/bin{os.pathsep}/bin")
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.delenv("ATEN_CPU_CAPABILITY", raising=False)  # by which a machine plays another
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / SOURCE).write_text(source())
    return path


@pytest.mark.skipif(os.name == "nt", reason="the pretender is a shell script")
def test_cxx_comes_first_and_may_hold_words(tmp_path: Path, pretender: Path, monkeypatch) -> None:
    monkeypatch.setenv("CXX", f"{shlex.quote(str(pretender))} -DX")
    assert find_compiler() == [str(pretender), "-DX"]
    assert compile_cpp(tmp_path / "source") == tmp_path / "source" / PROGRAM
    asked = (tmp_path / "log").read_text().splitlines()
    assert len(asked) == 1
    assert asked[0].startswith("-DX -std=c++17 -O3 -pthread -march=native ")


@pytest.mark.skipif(os.name == "nt", reason="the pretender is a shell script")
def test_a_compiler_that_refuses_the_native_flag_is_asked_without(tmp_path: Path, pretender: Path, monkeypatch) -> None:
    monkeypatch.setenv("CXX", str(pretender))
    monkeypatch.setenv("REFUSED", "-march=native")
    assert compile_cpp(tmp_path / "source").read_text() == "program\n"
    first, second = (tmp_path / "log").read_text().splitlines()
    assert first.replace(" -march=native", "") == second
    monkeypatch.setenv("REFUSED", "-O3")
    with pytest.raises(CourseError, match=r"generate.cpp -o .* failed:\nno such flag"):
        compile_cpp(tmp_path / "source")


def test_without_a_compiler_it_says_how_to_get_one(tmp_path: Path, monkeypatch) -> None:
    (tmp_path / SOURCE).write_text(source())
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    assert find_compiler() is None
    with pytest.raises(CourseError, match=r"none was found\. On Debian and Ubuntu: apt install g"):
        compile_cpp(tmp_path)
    monkeypatch.setenv("CXX", "no-such-compiler -O2")
    assert find_compiler() is None
    with pytest.raises(CourseError, match="CXX names 'no-such-compiler -O2', which is not there"):
        compile_cpp(tmp_path)


def test_a_folder_without_the_source(tmp_path: Path) -> None:
    with pytest.raises(CourseError, match=r"should hold generate\.cpp: course export RUN --to cpp"):
        compile_cpp(tmp_path)


def test_the_source_compiles_without_a_warning(tmp_path: Path) -> None:
    compiler = find_compiler()
    if compiler is None:
        pytest.skip("no C++ compiler was found (c++, g++, clang++ or CXX)")
    (tmp_path / SOURCE).write_text(source())
    warnings = "-Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wsign-conversion".split()
    command = [*compiler, "-std=c++17", "-fsyntax-only", *warnings, str(tmp_path / SOURCE)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
