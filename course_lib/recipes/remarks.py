"""Remarks on a text before a run on it begins, one line each."""

import itertools

from course_lib.data import Batcher
from course_lib.tokenizers import Tokenizer
from course_lib.training import Trainer

FEWEST_WINDOWS = 20
"""With this many windows of block_size tokens a validation loss does not jump about too much."""
MOST_READINGS = 20
"""A small model that reads a text more often than this without dropout mostly learns it by heart."""
MOST_READINGS_WITH_DROPOUT = 100
LOOKED_AT = 200_000
"""How many tokens show whether lines are sorted."""


def remarks(trainer: Trainer) -> list[str]:
    """Lines about the text that ``trainer`` reads; none, where it is as one would wish."""
    assert trainer.tokenizer is not None
    lines = [_few_to_score(trainer.val_batches), _read_often(trainer), _sorted(trainer.batches, trainer.tokenizer)]
    return [line for line in lines if line]


def _few_to_score(val_batches: Batcher) -> str:
    n = len(val_batches.tokens)
    windows = (n - 1) // val_batches.block_size
    if windows >= FEWEST_WINDOWS:
        return ""
    return (
        f"note: validation has {n:,} tokens only, {windows} windows of {val_batches.block_size}: its loss says little. "
        "A larger --val-fraction, or a longer text, makes it steadier."
    )


def _read_often(trainer: Trainer) -> str:
    config, batches = trainer.config, trainer.batches
    readings = config.max_steps * batches.tokens_per_step / len(batches.tokens)
    dropout = trainer.model.config.dropout
    if readings <= (MOST_READINGS_WITH_DROPOUT if dropout else MOST_READINGS):
        return ""
    return (
        f"note: each token will be read about {readings:,.0f} times: the model will learn the text by heart, and its "
        "validation loss will rise again. The best save is kept. Fewer --max-steps, or more --dropout, holds it back."
    )


def _sorted(batches: Batcher, tokenizer: Tokenizer) -> str:
    """The end of a sorted text is unlike the rest of it, and the end is what validation is."""
    lines = tokenizer.decode(batches.tokens[:LOOKED_AT]).casefold().split("\n")
    pairs = list(itertools.pairwise(lines))
    rising, falling = sum(a < b for a, b in pairs), sum(a > b for a, b in pairs)
    if rising < 100 or rising < 20 * falling:
        return ""
    return (
        "note: the lines of this text are sorted, so validation, its last part, is unlike what is trained on. Mix the "
        "lines first, for instance with: shuf FILE > NEW"
    )
