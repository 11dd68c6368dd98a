"""The numerics that one machine can play: each is what its name says."""

import functools
import os
import subprocess
import sys

import pytest

from course_lib import numerics
from course_lib.numerics import AS_IT_IS, AVX2, LOWEST, NUMERICS

ASK = """
import torch
a, b = torch.randn(2, 257, 257, generator=torch.Generator().manual_seed(0))
print(torch.backends.cpu.get_cpu_capability(), (a @ b).sum().item(), a.exp().sum().item())
"""


numerics_here = functools.cache(numerics.numerics_here)


@functools.cache
def answers(name: str) -> list[str]:
    """Vector width, a sum after a matrix product, and a plain sum, in a process that is started once for all tests."""
    environment = os.environ | NUMERICS[name]
    return subprocess.run([sys.executable, "-c", ASK], env=environment, capture_output=True, text=True).stdout.split()


def test_the_vector_widths_are_what_their_names_say():
    assert answers(LOWEST)[0] == "DEFAULT"
    if AVX2 in numerics_here():
        assert answers(AVX2)[0] == "AVX2"
        assert answers(AS_IT_IS)[0].startswith("AVX512")


def test_the_lowest_adds_in_another_order():
    """What all of this is for: the last digits differ, and only they."""
    if answers(AS_IT_IS)[0] == "DEFAULT":
        pytest.skip("this processor has nothing but the lowest")
    here, there = answers(AS_IT_IS)[1:], answers(LOWEST)[1:]
    assert here != there
    assert [float(number) for number in here] == pytest.approx([float(number) for number in there], rel=1e-3)


def test_only_numerics_that_mean_something_are_played():
    here = numerics_here()
    assert list(here)[:2] == [AS_IT_IS, LOWEST]
    assert here[AS_IT_IS] == {}
    assert {"1 thread", "4 threads"} <= here.keys() <= NUMERICS.keys()
