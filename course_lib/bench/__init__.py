"""Speed, measured: on this machine, several times, beside a peer where one is given by its path.

Each benchmark returns one JSON form, the one kept under ``data/reference/``: command, machine,
versions, date, every run, medians, and ratios of medians taken in turn in the same call. The peer is a
copy of nanoGPT (github.com/karpathy/nanoGPT); nothing of it is part of this project.

``python -m course_lib.bench gpu`` is the list for a machine with a card: see `course_lib.bench.gpu`.
"""

from course_lib.bench.benchmarks import BENCHMARKS, run
from course_lib.bench.peer import load_peer
from course_lib.bench.reporting import Measure, Runs, machine, report, take_turns, to_json

__all__ = ["BENCHMARKS", "Measure", "Runs", "load_peer", "machine", "report", "run", "take_turns", "to_json"]
