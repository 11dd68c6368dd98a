"""How long torch's threads look out for one another: who sets it, and who does not."""

import os
import subprocess
import sys

import pytest

from course_lib.waiting import SPIN

NAME = "GOMP_SPINCOUNT"
SAYS = f"import os; print(os.environ.get({NAME!r}))"
SETUP = f"from course_lib.notebook import setup; setup(); {SAYS}"
STARTS = {
    "a notebook": (SETUP, str(SPIN)),
    "a notebook in which torch is loaded": (f"import torch; {SETUP}", "None"),
    "a command": (f"from course_lib.cli import main; main(['--version']); {SAYS}", str(SPIN)),
    "a benchmark": (f"from course_lib.cli import main; main(['bench', 'nothing']); {SAYS}", "None"),
    "the library alone": (f"import course_lib.training; {SAYS}", "None"),
}


def said(code: str, value: str | None) -> str:
    environment = {name: content for name, content in os.environ.items() if name != NAME}
    environment |= {} if value is None else {NAME: value}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    return done.stdout.splitlines()[-1]


@pytest.mark.parametrize(("code", "expected"), STARTS.values(), ids=STARTS)
def test_who_sets_it(code: str, expected: str) -> None:
    assert said(code, None) == expected
    assert said(code, "77") == "77"  # somebody's own choice counts
