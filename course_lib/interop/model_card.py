"""The README of a model on the Hub, written from what its run has kept."""

import json
from pathlib import Path
from typing import Any

from course_lib import __version__, checkpoint
from course_lib.config import RunConfig, TrainConfig, kind_of
from course_lib.errors import CourseError
from course_lib.interop.hf_export import SETTINGS, as_shared
from course_lib.interop.hf_files import WEIGHTS
from course_lib.interop.hf_find import GPT2_SIZES, OWNER
from course_lib.interop.hf_tokenizer import OWN_FILE, is_for_hf

SCRATCH = TrainConfig().init_from
"""The ``init_from`` of weights that were drawn."""
TRANSFORMERS = """\
from transformers import GPT2LMHeadModel

model = GPT2LMHeadModel.from_pretrained("{repo}")  # it sees {block_size} tokens at most
"""
THEIR_TOKENIZER = """\
from transformers import AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained("{repo}")
ids = tokenizer({prompt!r}, return_tensors="pt").input_ids
print(tokenizer.decode(model.generate(ids, max_new_tokens={new}, do_sample=True)[0]))
"""
OWN_TOKENIZER = """\
import sys

sys.path.insert(0, "source")
import torch
from course_lib.tokenizers import load_tokenizer

tokenizer = load_tokenizer("{tokenizer}")
ids = torch.tensor([tokenizer.encode({prompt!r})])
print(tokenizer.decode(model.generate(ids, max_new_tokens={new}, do_sample=True)[0].tolist()))
"""
OWN = """\
import sys

sys.path.insert(0, "source")
from pathlib import Path

from course_lib.config import RunConfig
from course_lib.models import {model}
from course_lib.sampling import generate
from course_lib.tokenizers import load_tokenizer
from safetensors.torch import load_model

config = RunConfig.from_json(Path("{settings}").read_text(encoding="utf-8"))
model = {model}(config.model).eval()
load_model(model, "{weights}")
tokenizer = load_tokenizer("{tokenizer}")
ids = generate(model, tokenizer.encode({prompt!r}), max_new_tokens=100, temperature=0.8)
print(tokenizer.decode(ids[0].tolist()))
"""


def model_card(loaded: checkpoint.Run, run_dir: Path, repo: str, of_gpt2s_form: bool) -> str:
    """What a reader of the Hub should know: what it is, how it was trained, how well it does, how to use it.

    Args:
        of_gpt2s_form: whether the folder is one that transformers opens.
    """
    config = as_shared(loaded.config)
    kind = "GPT-2" if of_gpt2s_form else {"gpt": "GPT", "agiformer": "AGIFORMER"}[str(kind_of(config.model))]
    library = {"library_name": "transformers"} if of_gpt2s_form else {}
    before = config.train.init_from
    tags = [kind.lower(), *(["trained-from-scratch"] if before == SCRATCH else []), "course_lib"]
    base = {"base_model": f"{OWNER}/{before}"} if before in GPT2_SIZES else {}
    head = library | base | {"pipeline_tag": "text-generation", "tags": tags}
    weights = sum(p.numel() for p in loaded.model.parameters())
    settings = {"model": config.model.to_dict(), "train": config.train.to_dict()}
    return "\n".join([
        "---", *(f"{name}: {json.dumps(value)}" for name, value in head.items()), "---", "",
        f"# {repo.rpartition('/')[2]}", "",
        f"A language model of the form {kind} with {weights:,} weights. It was trained with course_lib {__version__}, "
        "the library of The Trainer's Guide, a course on training language models from scratch.", "",
        "## What it was trained on", "", _text(config, loaded), "",
        "## How far it came", "", *_table(_record(loaded, run_dir)), "",
        "## What to expect", "",
        f"It continues text in the manner of what it was trained on, and knows {_beside(before)}. It was trained to "
        "learn how training works: what it writes may be wrong, may be nonsense, and may repeat its training text word "
        "for word. Nobody has checked it for anything else.", "",
        "## How to use it", "", *_usage(loaded, repo, of_gpt2s_form), "",
        "## All settings", "", "```json", json.dumps(settings, indent=2), "```", "",
    ])  # fmt: skip


def _text(config: RunConfig, loaded: checkpoint.Run) -> str:
    data, tokenizer, before = config.data, loaded.tokenizer, config.train.init_from
    splitting = "" if tokenizer is None else f" Its tokenizer ({tokenizer.kind}) has {tokenizer.vocab_size:,} tokens."
    went_on = "" if before == SCRATCH else f" It went on from `{before}`, which had been trained before."
    if data is None:
        return f"Batches that were made in Python: its record does not say of which text.{splitting}{went_on}"
    kept = f"{data.val_fraction:.0%} of it was kept for validation"
    digest = f" Its sha256 is `{data.sha256}`." if data.sha256 else ""
    return f"`{data.dataset}`; {kept}.{splitting}{digest}{went_on}"


def _beside(before: str) -> str:
    """What a model knows besides its text: nothing, or what its weights knew already."""
    return "nothing beside that" if before == SCRATCH else f"beside that what is left of `{before}`"


def _record(loaded: checkpoint.Run, run_dir: Path) -> dict[str, str]:
    """What the run has kept about this save, in words."""
    state: dict[str, Any] = loaded.state
    step = state["step"]
    found = {"recipe": loaded.config.recipe, "steps": f"{step:,} of {loaded.config.train.max_steps:,}"}
    rows = {row["step"] + 1: row for row in checkpoint.read_metrics(run_dir)}
    row = rows.get(step, {})
    if row.get("val_loss") is not None:
        found["validation loss of this save"] = f"{row['val_loss']:.4f} nats per token"
    elif state.get("best_val_loss") is not None:
        found["lowest validation loss up to this save"] = f"{state['best_val_loss']:.4f} nats per token"
    if row.get("train_loss") is not None:
        found["training loss of its last step"] = f"{row['train_loss']:.4f} nats per token"
    if state.get("tokens"):
        found["tokens seen"] = f"{state['tokens']:,}"
    if state.get("seconds"):
        found["time of training"] = f"{state['seconds'] / 60:,.1f} minutes"
    return found


def _table(rows: dict[str, str]) -> list[str]:
    return ["| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows.items())]


def _usage(loaded: checkpoint.Run, repo: str, of_gpt2s_form: bool) -> list[str]:
    model = type(loaded.model).__name__
    prompt, block_size = _prompt(loaded), loaded.config.model.to_dict()["block_size"]
    length = 0 if loaded.tokenizer is None else len(loaded.tokenizer.encode(prompt))
    # transformers lets no window slide: prompt and answer have to fit into it together.
    words = {"new": max(1, min(100, block_size - length)), "block_size": block_size}
    words |= {"repo": repo, "prompt": prompt, "tokenizer": OWN_FILE, "settings": SETTINGS, "weights": WEIGHTS}
    here = f"`hf download {repo} --local-dir here` brings it into the folder `here`. In it, with torch, numpy, regex, "
    here += "safetensors, filelock and tqdm installed:"
    parts = ["`source/` holds the source of the model, of its tokenizer and of sampling.", ""]
    if of_gpt2s_form:
        theirs = THEIR_TOKENIZER if is_for_hf(loaded.tokenizer) else ""
        parts += ["With transformers:", "", "```python", *(TRANSFORMERS + theirs).format(**words).splitlines(), "```"]
        if theirs or loaded.tokenizer is None:
            return parts
        parts += ["", f"Its tokenizer is none that transformers knows. {here}", ""]
        code = OWN_TOKENIZER
    else:
        parts += [f"transformers has no class for it. {here}", ""]
        code = OWN
    return [*parts, "```python", *code.format(model=model, **words).splitlines(), "```"]


def _prompt(loaded: checkpoint.Run) -> str:
    """What such texts begin with; where its tokenizer cannot say that, its first token."""
    start = loaded.config.data.start if loaded.config.data else "\n"
    if loaded.tokenizer is None:
        return start
    try:
        return start if loaded.tokenizer.encode(start) else loaded.tokenizer.decode([0])
    except CourseError:
        return loaded.tokenizer.decode([0])
