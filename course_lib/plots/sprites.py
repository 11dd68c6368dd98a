"""Pictures of small pictures: a sheet of them, rows to compare, and which kind a classifier takes for which."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from course_lib.errors import CourseError, need_whole
from course_lib.plots.picture import INK, Picture

GAP = 1
"""Pixels between two pictures of a row, in the pictures' own pixels."""
WORD = 0.17
"""Inches: how much room a line of words takes."""
LIGHT, RIGHT, WRONG = (236, 240, 245), (86, 180, 233), (230, 159, 0)
"""Of a table's cells: the color of none, and of a whole row, right and wrong. The cells cover the page, so that dark
numbers can be read on any."""
DARK = "#10202E"  # with a hue, so that a dark page leaves it as it is


def sheet(images: Any, words: Sequence[str] | None = None, columns: int = 10, title: str = "") -> Picture:
    """Pictures in rows, from left to right and from the top.

    Args:
        images: (N, 3, H, W), from 0 to 1; a tensor on the CPU, or an array.
        words: what stands above each of them.
        columns: how many stand in a row.

    Raises:
        CourseError: for no pictures, another shape, or fewer words than pictures.
    """
    pixels, width = _pixels(images), need_whole("columns", columns, 1)
    if words is not None and len(words) != len(pixels):
        raise CourseError(f"Each of the {len(pixels)} pictures should have its words; there are {len(words)} of them.")
    parts = [slice(i, i + width) for i in range(0, len(pixels), width)]
    above = [list(words[part]) for part in parts] if words is not None else [[] for _ in parts]
    figure = _rows([pixels[part] for part in parts], above, [""] * len(parts), min(width, len(pixels)), title)
    figure.caption = f"{title or 'Pictures'}: {_counted(len(pixels), 'picture')} in {_counted(len(parts), 'row')}"
    figure.alt = f"{figure.caption}."
    if words is not None:
        figure.alt = f"{figure.caption}; above them: {', '.join(words)}."
    return figure


def picture_rows(rows: Mapping[str, Any], words: Sequence[str] = (), title: str = "") -> Picture:
    """One row of pictures for each name, to be compared from above to below: before and after, say.

    Args:
        rows: what a row is called, to its pictures, (N, 3, H, W) as in `sheet`; the same N in all.
        words: what stands above each column.

    Raises:
        CourseError: as `sheet`; for no rows, or rows of different lengths.
    """
    each = [_pixels(images) for images in rows.values()]
    lengths = {len(pixels) for pixels in each} | ({len(words)} if words else set())
    if len(lengths) != 1:
        raise CourseError(
            f"There should be rows of pictures, all of one length, with a word for each column or none; the lengths "
            f"are {sorted(lengths)}."
        )
    above = [list(words)] + [[] for _ in each[1:]]
    figure = _rows(each, above, list(rows), len(each[0]), title)
    figure.caption = f"{title or 'Pictures'}: {', '.join(rows)}"
    figure.alt = f"{figure.caption}, each a row of {_counted(len(each[0]), 'picture')}."
    return figure


def confusion(counts: Any, names: Sequence[str], title: str = "") -> Picture:
    """How many pictures of each kind (rows) a classifier takes for each kind (columns).

    Right ones stand on the diagonal, in blue; wrong ones are orange. The more of a row, the darker. A cell of none is
    left blank.

    Args:
        counts: (K, K) whole numbers, `Answers.confusion`.
        names: of the K kinds.

    Raises:
        CourseError: for counts of another shape.
    """
    table, K = np.asarray(counts), len(names)
    if table.shape != (K, K):
        raise CourseError(f"Counts for {K} names should be ({K}, {K}); these are {table.shape}.")
    shares = table / np.maximum(table.sum(axis=1, keepdims=True), 1)
    is_right = np.eye(K, dtype=bool)
    full = np.where(is_right[..., None], RIGHT, WRONG)
    strength = np.where(table > 0, 0.12 + 0.88 * shares**0.6, 0)[..., None]  # a single one should be seen
    figure = Picture(figsize=(0.55 * K + 1.5, 0.4 * K + 1.3), facecolor="none", layout="constrained")
    axes = figure.add_subplot(facecolor="none", title=title, xlabel="taken for", ylabel="what it is")
    axes.imshow((LIGHT + strength * (full - LIGHT)).round().astype(np.uint8), aspect="auto")
    axes.set_xticks(range(K), names, rotation=45, ha="right", rotation_mode="anchor", fontsize=9)
    axes.set_yticks(range(K), names, fontsize=9)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    for i, j in zip(*np.nonzero(table)):
        axes.text(j, i, f"{table[i, j]:,}", ha="center", va="center", fontsize=9, color=DARK)
    figure.caption = f"{title or 'Who is taken for whom'}: what each picture is (rows) against what it is taken for"
    figure.alt = f"{figure.caption}. {_in_words(table, names)}"
    return figure


def _in_words(table: np.ndarray, names: Sequence[str]) -> str:
    """How many are right, and the three mistakes that are made most often."""
    right, all_of_them = int(table.trace()), int(table.sum())
    mistakes = [(int(table[i, j]), i, j) for i, j in zip(*np.nonzero(table)) if i != j]
    most = [f"{names[i]} taken for {names[j]} ({n})" for n, i, j in sorted(mistakes, key=lambda each: -each[0])[:3]]
    return f"{right:,} of {all_of_them:,} are right." + (f" Most often wrong: {', '.join(most)}." if most else "")


# ---- drawing -----------------------------------------------------------------------------------------


def _pixels(images: Any) -> np.ndarray:
    """Pictures (N, 3, H, W) from 0 to 1 as (N, H, W, 4) uint8, opaque."""
    pixels = np.asarray(images)
    if pixels.ndim != 4 or pixels.shape[1] != 3 or not len(pixels):
        raise CourseError(f"Pictures should be (N, 3, H, W), at least one; these are {pixels.shape}.")
    colors = (pixels.clip(0, 1) * 255).round().astype(np.uint8).transpose(0, 2, 3, 1)
    return np.concatenate([colors, np.full_like(colors[..., :1], 255)], axis=-1)


def _rows(
    rows: Sequence[np.ndarray], above: Sequence[Sequence[str]], beside: Sequence[str], columns: int, title: str
) -> Picture:
    """Rows of pictures, each with words above its pictures and a name on its left."""
    height, width = rows[0].shape[1:3]
    side = min(0.7, 7 / columns)  # inches that a picture takes
    left = max(map(len, beside)) * 0.075 + (0.1 if any(beside) else 0)
    heights = [side * height / width + WORD * bool(words) + 0.04 for words in above]
    top = 0.3 if title else 0.02
    full = left + side * columns, top + sum(heights)
    figure = Picture(figsize=full, facecolor="none")
    if title:
        figure.text(0.5, 1 - 0.06 / full[1], title, ha="center", va="top", fontsize=12)
    y = top
    for pixels, words, name, tall in zip(rows, above, beside, heights, strict=True):
        axes = figure.add_axes((left / full[0], 1 - (y + tall - 0.02) / full[1], 1 - left / full[0],
                                (tall - WORD * bool(words) - 0.04) / full[1]))  # fmt: skip
        _draw_row(axes, pixels, columns, words, name)
        y += tall
    return figure


def _draw_row(axes: Axes, pixels: np.ndarray, columns: int, words: Sequence[str], name: str) -> None:
    height, width = pixels.shape[1:3]
    strip = np.zeros((height, columns * (width + GAP), 4), np.uint8)  # transparent where nothing stands
    for place, picture in enumerate(pixels):
        strip[:, place * (width + GAP) : place * (width + GAP) + width] = picture
    axes.imshow(strip, interpolation="nearest", aspect="auto")
    axes.axis("off")
    for place, word in enumerate(words):
        axes.annotate(word, (place * (width + GAP) + width / 2, 0), xytext=(0, 3), textcoords="offset points",
                      ha="center", va="bottom", fontsize=8, color=INK, annotation_clip=False)  # fmt: skip
    if name:
        axes.annotate(name, (0, height / 2), xytext=(-6, 0), textcoords="offset points", ha="right", va="center",
                      fontsize=9, color=INK, annotation_clip=False)  # fmt: skip


def _counted(n: int, thing: str) -> str:
    return f"{n} {thing}{'s' * (n != 1)}"
