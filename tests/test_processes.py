"""Work shared by processes: order, memory, ends."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from course_lib.errors import CourseError
from course_lib.processes import in_turn


def slow_where_even(number):
    time.sleep(0.05 * (number % 2 == 0))
    return number, os.getpid()


def fail_at_three(number):
    if number == 3:
        raise CourseError("three")
    return number


def end_at_three(number):
    if number == 3:
        os._exit(9)
    return number


def test_the_results_come_in_order_and_items_are_read_as_they_are_needed():
    asked = []

    def items():
        for number in range(20):
            asked.append(number)
            yield number

    ahead, results = 0, []
    for result in in_turn(slow_where_even, items(), 2):
        ahead = max(ahead, len(asked) - len(results))
        results.append(result)
    assert [number for number, _ in results] == list(range(20))
    assert len({pid for _, pid in results} - {os.getpid()}) == 2
    assert ahead <= 5  # those that wait, and the one whose result has come
    assert [number for number, pid in in_turn(slow_where_even, range(3)) if pid == os.getpid()] == [0, 1, 2]


def test_what_goes_wrong_is_told():
    with pytest.raises(CourseError, match="three"):
        list(in_turn(fail_at_three, range(9), 2))
    with pytest.raises(CourseError, match="One of the processes that share the work was ended"):
        list(in_turn(end_at_three, range(9), 2))
    with pytest.raises(CourseError, match="At least one process"):
        list(in_turn(fail_at_three, range(9), 0))


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="Linux tells in /proc which processes live")
def test_a_process_that_is_killed_leaves_no_others(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        """
import itertools, os, time
from course_lib.processes import in_turn

def work(number):
    time.sleep(0.01)
    return os.getpid()

if __name__ == "__main__":
    for pid in in_turn(work, itertools.count(), 2):
        print(pid, flush=True)
"""
    )
    with subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, text=True) as process:
        found = {int(process.stdout.readline()) for _ in range(20)}
        process.send_signal(signal.SIGKILL)
    assert process.pid not in found
    for _ in range(200):
        if not any(Path(f"/proc/{pid}").exists() for pid in found):
            break
        time.sleep(0.05)
    assert [pid for pid in found if Path(f"/proc/{pid}").exists()] == []
