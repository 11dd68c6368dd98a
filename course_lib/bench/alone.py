"""One text, or several side by side, written in a process of its own, as the users of a program start it.

    python -m course_lib.bench.alone SETTINGS        a `Writing` as JSON; prints the seconds

Two programs in one process would share what each sets for itself, such as how torch's threads wait.
"""

import json
import os
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from course_lib.bench.peer import build_peer, course_path, load_peer
from course_lib.bench.reporting import timed
from course_lib.config import GPTConfig
from course_lib.models import GPT
from course_lib.programs import run_program
from course_lib.sampling import generate
from course_lib.waiting import SPIN


@dataclass(frozen=True)
class Writing:
    """What is written: by the course, or by the copy of nanoGPT at ``peer``."""

    shape: dict[str, int]
    drawn: dict[str, Any]
    streams: int = 1
    device: str = "cpu"
    use_cache: bool = True
    peer: str | None = None

    def seconds(self) -> float:
        """In a new process: the model built, and a first few tokens written that do not count."""
        own = {"GOMP_SPINCOUNT": os.environ.get("GOMP_SPINCOUNT", str(SPIN))}  # as the course's command line does
        environment = course_path() | (own if self.peer is None else {})
        done = run_program(
            [sys.executable, "-m", "course_lib.bench.alone", json.dumps(asdict(self))], environment=environment
        )
        return float(done.out.splitlines()[-1])


def _writer(asked: Writing) -> Callable[[int], object]:
    """``write(n)`` writes n tokens a stream."""
    torch.manual_seed(0)
    prompt = torch.zeros((asked.streams, 1), dtype=torch.long, device=asked.device)
    rest = {name: value for name, value in asked.drawn.items() if name != "max_new_tokens"}
    if asked.peer is not None:
        shape = dict(asked.shape, dropout=0.0, bias=False)
        other = build_peer(load_peer(Path(asked.peer)), **shape).to(asked.device).eval()
        return lambda n: other.generate(prompt, n, **rest)
    model = GPT(GPTConfig(**asked.shape)).to(asked.device).eval()
    return lambda n: generate(model, prompt, n, seed=1, use_cache=asked.use_cache, **rest)


def main(words: list[str]) -> int:
    asked = Writing(**json.loads(words[0]))
    write = _writer(asked)
    write(8)
    print(timed(lambda: write(asked.drawn["max_new_tokens"]))())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
