"""Generation in tokens per second, for one stream and for many at once, beside nanoGPT's ``generate``."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

from course_lib.bench.peer import build_peer, load_peer
from course_lib.bench.reporting import summary, take_turns, timed
from course_lib.config import GPTConfig
from course_lib.device import select
from course_lib.models import GPT
from course_lib.sampling import generate

TEMPERATURE = 0.8


def measure_writing(
    shape: dict[str, int], n_streams: int, new_tokens: int, peer: Path | None, device: str = "auto", runs: int = 3
) -> Iterator[dict[str, Any]]:
    """Results as they come: the course's, then both in turn. Tokens of all streams are counted.

    nanoGPT writes as its ``sample.py`` has it, under autocast, and in plain fp32 with TF32 as well: on small models
    one or the other is faster. Streams go through it together, as rows of one batch; its ``sample.py`` writes one
    sample after the other, which is as fast as its one stream.
    """
    compute = select(device)
    torch.manual_seed(0)
    model = GPT(GPTConfig(**shape)).to(compute.device).eval()
    prompt = torch.zeros((n_streams, 1), dtype=torch.long, device=compute.device)
    rows: dict[str, Callable[[], object]] = {
        "course": lambda: generate(model, prompt, new_tokens, temperature=TEMPERATURE, seed=1)
    }

    def result() -> dict[str, Any]:
        for action in rows.values():  # a first time that does not count
            action()
        seconds = take_turns({row: timed(action) for row, action in rows.items()}, runs)
        rates = {row: [n_streams * new_tokens / value for value in values] for row, values in seconds.items()}
        details = {"model": shape, "streams": n_streams, "max_new_tokens": new_tokens, "temperature": TEMPERATURE}
        return summary("tokens per second", rates, **details)

    yield result()
    if peer is None:
        return
    other = build_peer(load_peer(peer), **shape, dropout=0.0, bias=False).to(compute.device).eval()
    rows["nanoGPT"] = lambda: other.generate(prompt, new_tokens, temperature=TEMPERATURE)
    if compute.precision != "fp32":
        plain = rows.pop("nanoGPT")
        rows["nanoGPT, fp32"] = plain

        def under_autocast() -> None:
            with compute.autocast():
                plain()

        rows["nanoGPT"] = under_autocast
    yield result()
