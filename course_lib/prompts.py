"""What a model is asked to go on from, as token ids: rows of one length, or of several, padded on the left."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from course_lib.errors import CourseError, need_whole


def as_prompts(idx: Any, vocab_size: int | None, fill: int = 0) -> tuple[Tensor, list[int]]:
    """Rows of ids (B, T) int64, and how many places at the front of each are padding.

    Args:
        idx: whole numbers (B, T), or a list: [1, 2, 3] is one row, [[1, 2, 3], [4]] are two of unequal length.
        vocab_size: how many ids the model knows; None where nobody says so.
        fill: the id that stands where a shorter row is padded.

    Raises:
        CourseError: for a row that is empty, and ids that are no whole numbers or that the model does not know.
    """
    if _is_uneven(idx):
        rows = [_row(row) for row in idx]
        longest = max(map(len, rows))
        padding = [longest - len(row) for row in rows]
        prompt = torch.stack([F.pad(row, (n, 0), value=fill) for row, n in zip(rows, padding)])
    else:
        prompt = _as_tensor(idx)
        prompt = prompt[None] if prompt.ndim == 1 and not isinstance(idx, Tensor) else prompt
        if prompt.ndim != 2 or prompt.numel() == 0:
            raise _shapeless(tuple(prompt.shape))
        prompt = _whole_numbers(prompt)
        padding = [0] * len(prompt)
    low, high = torch.stack(prompt.aminmax()).tolist()
    if low < 0 or (vocab_size is not None and high >= vocab_size):
        known = "at least 0" if vocab_size is None else f"from 0 to {vocab_size - 1}, as this model knows them"
        raise CourseError(
            f"The prompt's ids should be {known}; there is {low if low < 0 else high}. Encode the text with the "
            "tokenizer that the model was trained with."
        )
    return prompt, padding


def seeds_for(seed: int | Sequence[int] | None, padding: list[int]) -> list[int | None]:
    """One seed for all rows together, or one for each: those given, or where rows are padded, the same for all.

    Raises:
        CourseError: for a number that is no seed, and for other than one for each row.
    """
    if seed is None:
        return [None]
    otherwise = " (torch takes no others), or None to start anywhere"
    if isinstance(seed, Sequence) and not isinstance(seed, str):
        if len(seed) != len(padding):
            raise CourseError(f"seed should be one number, or one for each of {len(padding)} rows; it has {len(seed)}.")
        return [need_whole("seed", one, 0, bits=64, otherwise=otherwise) for one in seed]
    return [need_whole("seed", seed, 0, bits=64, otherwise=otherwise)] * (len(padding) if any(padding) else 1)


def _is_uneven(idx: Any) -> bool:
    """Whether these are rows of unequal length."""
    if not isinstance(idx, (list, tuple)) or not all(isinstance(row, (list, tuple, Tensor, np.ndarray)) for row in idx):
        return False
    return len({len(row) for row in idx if getattr(row, "ndim", 1)}) > 1


def _row(row: Any) -> Tensor:
    ids = _as_tensor(row)
    if ids.ndim != 1 or not len(ids):
        raise _shapeless(tuple(ids.shape))
    return _whole_numbers(ids)


def _as_tensor(idx: Any) -> Tensor:
    if isinstance(idx, Tensor):
        return idx
    try:
        return torch.tensor(idx) if len(idx) else torch.empty(0, dtype=torch.long)
    except (TypeError, ValueError, RuntimeError) as error:
        raise CourseError(f"The prompt should be rows of token ids; {error}.") from error


def _whole_numbers(ids: Tensor) -> Tensor:
    if ids.is_floating_point() or ids.is_complex() or ids.dtype == torch.bool:
        raise CourseError(f"The prompt's ids should be whole numbers; they are {ids.dtype}.")
    return ids.long()


def _shapeless(shape: tuple[int, ...]) -> CourseError:
    return CourseError(f"The prompt should be token ids (B, T) with T at least 1; its shape is {shape}.")
