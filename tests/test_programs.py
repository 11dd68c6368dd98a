"""Another program, run to its end: what it says, how long it takes, and a sentence where it fails."""

import sys
import time
from pathlib import Path

import pytest

from course_lib.errors import CourseError
from course_lib.programs import run_program


def python(code: str, **how: object):
    return run_program([sys.executable, "-c", code], **how)


def test_what_it_prints_comes_back_with_its_seconds():
    start = time.perf_counter()
    ran = python(
        "import sys; print('\\u00e9'); print('more', file=sys.stderr)", environment={"PYTHONIOENCODING": "utf-8"}
    )
    assert (ran.out, ran.err) == ("\u00e9\n", "more\n")
    assert 0 < ran.seconds <= time.perf_counter() - start


def test_it_runs_where_and_with_what_it_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("KEPT", "a")
    code = "import os; print(os.getcwd(), os.environ['KEPT'], os.environ['ADDED'])"
    assert python(code, folder=tmp_path, environment={"ADDED": "b"}).out.split() == [str(tmp_path.resolve()), "a", "b"]


def test_output_that_is_no_text_is_no_error():
    assert python("import sys; sys.stdout.buffer.write(b'a\\xffb')").out == "a\ufffdb"


def test_a_failure_is_told_with_the_last_lines():
    with pytest.raises(CourseError, match=r" failed:\n(.|\n)*ZeroDivisionError"):
        python("1 / 0")
    with pytest.raises(CourseError) as error:
        python("import sys; sys.exit('x' * 10000)")
    assert len(str(error.value)) < 2500


def test_a_program_that_is_not_there(tmp_path: Path):
    with pytest.raises(CourseError, match=r"^Cannot start .*none: .*No such file"):
        run_program([tmp_path / "none"])
