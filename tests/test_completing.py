"""Shell completion, asked of a real bash: what it offers is what the commands know."""

import dataclasses
import shutil
import subprocess
from pathlib import Path

import pytest

from course_lib.cli import _commands
from course_lib.cli import main as course
from course_lib.cli.completing import form_of
from course_lib.cli.parse import dashed, field_kinds
from course_lib.recipes import load_recipe

needs_bash = pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash here")


def printed(capsys: pytest.CaptureFixture, shell: str) -> str:
    capsys.readouterr()
    assert course(["--tyro-print-completion", shell]) == 0
    done = capsys.readouterr()
    assert done.err == ""
    return done.out


@needs_bash
def test_bash_offers_commands_settings_and_values(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    script = tmp_path / "course.bash"
    script.write_text(printed(capsys, "bash"))

    def offered(*words: str) -> set[str]:
        program = (
            f'source "{script}"; complete -p course >/dev/null; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); '
            '_tyro_course; printf "%s\\n" "${COMPREPLY[@]}"'
        )
        done = subprocess.run(["bash", "-c", program, "bash", *words], capture_output=True, text=True, cwd=tmp_path)
        assert done.stderr == ""
        return set(done.stdout.split())

    assert offered("course", "") >= set(_commands())
    assert offered("course", "sa") == {"sample"}
    assert {"val", "test", "train"} <= offered("course", "eval", "run", "--split", "")
    assert offered("course", "train", "tinytales_cpu", "--max-") == {"--max-steps", "--max-lr"}
    for name, command in _commands().items():
        known = {dashed(field) for field in field_kinds(form_of(name, command))}
        flags = {flag for flag in offered("course", name, "--") if not flag.startswith("--no-")}
        assert {flag for flag in flags if flag != "--help"} <= known, name
    train = offered("course", "train", "tinytales_cpu", "--")
    assert {dashed(name) for name in load_recipe("tinytales_cpu").all_settings()} - {"--kind"} <= train
    assert {"--resume", "--which", "--out-dir"} <= train


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_each_shell_has_a_script_that_names_every_command(shell: str, capsys: pytest.CaptureFixture) -> None:
    script = printed(capsys, shell)
    assert all(name in script for name in _commands())


def test_every_command_has_a_form() -> None:
    for name, command in _commands().items():
        assert dataclasses.is_dataclass(form_of(name, command)), name


@pytest.mark.parametrize("args", [[], ["fish"], ["tcsh"], ["bas"], ["bash", "zsh"]])
def test_another_shell_is_refused_in_a_sentence(args: list[str], capsys: pytest.CaptureFixture) -> None:
    assert course(["--tyro-print-completion", *args]) == 2
    error = capsys.readouterr().err
    assert error.startswith("course: course --tyro-print-completion makes a script for bash, zsh: ")
    assert "Traceback" not in error
