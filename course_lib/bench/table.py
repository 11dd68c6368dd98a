"""The card's list as a table for people, and the goals that it is measured by."""

import re
from collections.abc import Callable
from typing import Any

GOAL_CARDS = r"\b(H100|H200)\b"


def is_meant_for(name: str) -> bool:
    """Whether the goals hold for the card of that name: an H100 or H200, whole."""
    return re.search(GOAL_CARDS, name) is not None and "MIG" not in name


def _get(done: dict[str, Any], *path: str) -> Any:
    for word in path:
        done = done.get(word, {}) if isinstance(done, dict) else {}
    return None if done == {} else done


def _many(done: dict[str, Any]) -> float | None:
    """Against the faster of nanoGPT's two ways of writing."""
    ratios = _get(done, "generation, many streams", "ratios")
    return min(ratios.values()) if ratios else None


GOALS: tuple[tuple[str, str, float, Callable[[dict[str, Any]], float | None]], ...] = (
    ("time to the loss, as a share of nanoGPT's", "at most", 0.20,
     lambda done: _get(done, "time to loss", "share of nanoGPT's time")),
    ("GPT-2 124M step, as a multiple of nanoGPT's tokens per second", "at least", 1.25,
     lambda done: _get(done, "step gpt2", "ratios", "course vs nanoGPT")),
    ("AGIFORMER's step, as a multiple of the original's bytes per second", "at least", 5.0,
     lambda done: _get(done, "step agiformer", "ratios", "course vs original")),
    ("GPT-2 124M step, MFU", "at least", 0.50, lambda done: _get(done, "step gpt2", "mfu", "course")),
    ("many streams, as a multiple of nanoGPT's tokens per second", "at least", 20.0, _many),
)  # fmt: skip
"""What is compared, which way, with what, and where it stands among the rows."""


def goals_of(done: dict[str, Any], for_this_card: bool) -> list[dict[str, Any]]:
    """Each goal with what was reached; ``met`` is None where that is not known (yet), or the card is another."""
    found = []
    for what, way, wanted, look in GOALS:
        reached = look(done)
        met = None
        if for_this_card and reached is not None:
            met = reached <= wanted if way == "at most" else reached >= wanted
        found.append({"goal": what, "wanted": f"{way} {wanted:g}", "reached": reached, "met": met})
    return found


def table(result: dict[str, Any]) -> str:
    """The rows, then the goals, in columns."""
    lines = [f"{result['machine']['device']}, torch {result['versions']['torch']}, {result['minutes']:g} minutes"]
    lines += [f"peak {result['peak']['tflops']:g} TFLOPS ({result['peak']['source']})"]
    lines += [f"torch.compile: {result['torch.compile']}", ""]
    lines += _columns([("", "course", "nanoGPT", "ratio", "")])
    for name, row in result["rows"].items():
        lines += _columns(_row_lines(name, row))
    met = {True: ": met", False: ": not met", None: ""}
    lines += ["", "goals (for an H100 or H200)" + ("" if result["goals are for this card"] else ", and this is none")]
    for goal in result["goals"]:
        reached = "-" if goal["reached"] is None else f"{goal['reached']:g}"
        lines.append(f"  {goal['goal']}: {reached}, wanted {goal['wanted']}{met[goal['met']]}")
    return "\n".join(lines)


def _columns(rows: list[tuple[str, ...]]) -> list[str]:
    return [f"{a:<44}{b:>14}{c:>14}{d:>8}  {e}".rstrip() for a, b, c, d, e in rows]


def _row_lines(name: str, row: dict[str, Any]) -> list[tuple[str, ...]]:
    """One row of the list as lines of five columns."""
    lines: list[tuple[str, ...]] = []
    if "course" in row:  # the race
        ours, theirs = row["course"], row.get("nanoGPT", {})
        ratio = row.get("share of nanoGPT's time")
        label = f"seconds to {row['target']:g}"
        lines.append((label, _race(ours), _race(theirs), _number(ratio), _not_reached(theirs)))
        inner = [_number(side.get("without evaluations")) for side in (ours, theirs)]
        lines.append(("  without evaluations", *inner, "", ""))
    elif "medians" in row:
        medians, ratios = row["medians"], row["ratios"]
        for other in [key for key in medians if key != "course"] or ["nanoGPT"]:
            rates = _number(medians["course"]), _number(medians.get(other))
            note = "" if other == "nanoGPT" else other
            lines.append((f"{name}, {row['unit']}", *rates, _number(ratios.get(f"course vs {other}")), note))
        if "mfu" in row:
            lines.append(("  MFU", *(_percent(row["mfu"].get(who)) for who in ("course", "nanoGPT")), "", ""))
            for what in ("batch_size", "peak_memory_gib"):
                values = (row["details"].get(who, {}).get(what) for who in ("course", "nanoGPT"))
                lines.append((f"  {what}", *map(_number, values), "", ""))
    elif "shares" in row:
        lines.append((f"{name}, share of a step", "", "", "", ""))
        lines += [(f"  {part}", _percent(share), "", "", "") for part, share in row["shares"].items()]
    for word in ("left_out", "failed"):
        if word in row:
            lines.append((f"{name}: {word.replace('_', ' ')}: {row[word].splitlines()[-1]}", "", "", "", ""))
    return lines


def _race(side: dict[str, Any]) -> str:
    if side.get("seconds") is None:
        return "-"
    return f"{side['seconds']:,.1f}" + ("" if side["reached"] else "*")


def _not_reached(side: dict[str, Any]) -> str:
    if side.get("reached") is not False or side.get("seconds") is None:
        return side.get("left_out", "")
    return f"* its lowest was {side['val_loss']:g}: the ratio is at most this"


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,.0f}" if value >= 1000 else f"{value:.4g}"


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"
