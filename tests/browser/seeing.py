"""What the page shows of a lab at one moment, and what no picture of a lab may say: its parts agree."""

import re

# The lab at one moment.
SEEN = r"""
() => {
    const words = document.querySelector(".jp-Notebook")?.innerText ?? "";
    const page = {
        unloved: /Error displaying widget|Error creating widget/.test(words),
        images: [...document.images].filter((i) => i.getClientRects().length && i.complete && !i.naturalWidth).length,
    };
    const labs = [...document.querySelectorAll(".course-lab")];
    const chart = labs[0]?.querySelector(".course-lab-chart");
    if (!chart?.querySelector("svg text")) return {...page, labs: labs.length, ready: false};
    const lab = labs[0];
    const still = chart.querySelector("svg[role=img]");
    const marks = (anchor, place, off) => [...still.querySelectorAll(`text[text-anchor=${anchor}]:not([class])`)]
        .filter((node) => !node.hasAttribute("transform") && /^-?[\d.e+-]+[kMG]?$/.test(node.textContent))
        .map((node) => [node.textContent, Number(node.getAttribute(place)) - off]);
    const clip = still.querySelector("clipPath rect");
    const curve = chart.querySelector("polyline.current");
    const corners = (curve?.getAttribute("points") ?? "").split(" ").filter(Boolean);
    const buttons = {};
    for (const name of ["start", "pause", "step", "stop"])
        buttons[name] = !lab.querySelector(`button.course-lab-${name}`).disabled;
    return {
        ...page, labs: labs.length, ready: true, gone: !!lab.querySelector(".course-lab-gone"),
        state: chart.querySelector("[role=status]").textContent,
        status: chart.querySelector(".course-lab-status").textContent,
        buttons, second: lab.querySelector("button.course-lab-pause").innerText.trim(),
        growing: !!curve, end: corners.at(-1)?.split(",").map(Number) ?? null,
        unit: chart.querySelector("select[aria-label=axis]").value,
        log: chart.querySelector("select[aria-label=loss]").value,
        heights: marks("end", "y", 4), places: marks("middle", "x", 0), // words stand 4 pixels lower than their line
        right: Number(clip.getAttribute("x")) + Number(clip.getAttribute("width")) - 6,
        curves: chart.querySelectorAll("polyline.finished").length,
        tray: [...lab.querySelectorAll(".course-lab-tray-frame li")].map((row) => ({
            number: Number(row.querySelector("b").textContent.split(" ")[1]),
            checked: row.querySelector("input").checked, words: row.innerText,
        })),
        wide: lab.scrollWidth > lab.clientWidth + 1,
    };
}
"""
OVER = {"", "finished", "stopped", "ended by an error", "not started"}


def number(text: str) -> float:
    """10k as 10000."""
    sizes = {"k": 1e3, "M": 1e6, "G": 1e9}
    return float(text[:-1]) * sizes[text[-1]] if text[-1] in sizes else float(text)


def value_at(place: float, marks: list[tuple[str, float]], is_log: bool) -> float | None:
    """What an axis says of a place, by two of its marks."""
    known = [(number(text), at) for text, at in marks]
    if len(known) < 2 or (is_log and min(value for value, _ in known) <= 0):
        return None
    (a, at_a), (b, at_b) = known[0], known[-1]
    share = (place - at_a) / (at_b - at_a)
    return a * (b / a) ** share if is_log else a + share * (b - a)


def faults_of(seen: dict) -> list[str]:
    """What is wrong in one picture of a lab; nothing of it may last."""
    if not seen["ready"]:
        return [f"no lab is there: {seen}"]
    found = []
    if seen["unloved"] or seen["images"]:
        found.append("a widget or an image is broken")
    if seen["wide"]:
        found.append("the lab is wider than its place")
    if seen["gone"]:
        is_dead = seen["state"] == "not connected" and not any(seen["buttons"].values())
        return found + ([] if is_dead else [f"the kernel is gone, but {seen['state']!r} and {seen['buttons']}"])
    return [*found, *_buttons(seen), *_steps(seen), *_curve(seen), *_tray(seen)]


def _buttons(seen: dict) -> list[str]:
    state, can = seen["state"], {name for name, is_on in seen["buttons"].items() if is_on}
    if state in OVER:
        wanted = [{"start", "step"}]
    elif state == "paused":
        wanted = [{"pause", "step", "stop"}]
    elif state == "training in a cell":
        wanted = [set()]
    else:
        wanted = [{"pause", "stop"}, {"stop"}] if state in ("training", "preparing", "writing a last sample") else []
    found = [] if can in wanted else [f"state {state!r}, but these can be pressed: {sorted(can)}"]
    if (seen["second"] == "Resume") != (state == "paused"):
        found.append(f"state {state!r}, but the button says {seen['second']!r}")
    if state in OVER and seen["growing"]:
        found.append(f"state {state!r}, but a curve still grows")
    return found


def _steps(seen: dict) -> list[str]:
    told = re.search(r"step (\d+) of (\d+)", seen["status"])
    return [f"more steps than there are: {seen['status']}"] if told and int(told[1]) > int(told[2]) else []


def _curve(seen: dict) -> list[str]:
    """The newest corner of the curve that grows is what the status says in numbers."""
    told = re.search(r"step (\d+) of \d+, training ([\d.]+)", seen["status"])
    if not (seen["growing"] and told and seen["end"]):
        return []
    across, down = seen["end"]
    found = [] if across <= seen["right"] + 1 else [f"the curve leaves the picture: {across} > {seen['right']}"]
    step = value_at(across, seen["places"], False)
    ahead = value_at(across + 1, seen["places"], False)
    if seen["unit"] == "steps" and step is not None and abs(step - (int(told[1]) - 1)) > 0.5 * abs(ahead - step) + 0.01:
        found.append(f"the curve ends at step {step}, the status says: {seen['status']}")
    loss = value_at(down, seen["heights"], bool(seen["log"]))
    pixel = abs(value_at(down + 1, seen["heights"], bool(seen["log"])) - loss) if loss is not None else 0
    if loss is not None and abs(down) < 5000 and abs(loss - float(told[2])) > 0.006 + 0.2 * pixel:
        found.append(f"the curve ends at a loss of {loss}, the status says: {seen['status']}")
    return found


def _tray(seen: dict) -> list[str]:
    numbers = [row["number"] for row in seen["tray"]]
    found = [] if len(set(numbers)) == len(numbers) else [f"a run lies in the tray twice: {numbers}"]
    checked = sum(row["checked"] for row in seen["tray"])
    return found if seen["curves"] == checked else [*found, f"{checked} runs are checked, {seen['curves']} are drawn"]
