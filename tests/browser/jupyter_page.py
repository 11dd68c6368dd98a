"""What a learner does in JupyterLab, as functions: open, run a cell, move a slider, read what is there."""

import json
import re
import time
from pathlib import Path

import pytest

ERROR = ", ".join(f"[data-mime-type='application/vnd.jupyter.{kind}']" for kind in ("error", "stderr"))

# The lightness of what a chart draws, against the page behind it (WCAG 2.1: relative luminance, contrast ratio).
AGAINST = """
frame => {
    const channels = (color) => color.match(/[\\d.]+/g).map(Number);
    const luminance = (color) => {
        const [r, g, b] = channels(color).map((c) => (c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    let behind = frame;
    while (["rgba(0, 0, 0, 0)", "transparent"].includes(getComputedStyle(behind).backgroundColor)) {
        behind = behind.parentElement;
    }
    const page = luminance(getComputedStyle(behind).backgroundColor);
    const against = (selector, property) => {
        const ink = luminance(getComputedStyle(frame.querySelector(selector))[property]);
        return (Math.max(ink, page) + 0.05) / (Math.min(ink, page) + 0.05);
    };
"""


def contrasts(measured: str) -> str:
    """A function of a frame in JavaScript; ``measured`` names entries, each ``against(selector, property)``."""
    return f"{AGAINST}    return {{{measured}}};\n}}\n"


CONTRASTS = contrasts("""
        text: against("svg text", "fill"), status: against(".course-lab-status", "color"),
        reference: against(".reference", "stroke"), curve: against(".curve", "stroke"), dot: against(".dot", "fill"),
    """)

# `contrast(node)` (WCAG 2.1): of words against the box behind them, thin colors laid over the page.
CONTRAST = """\
    const numbers = (color) => color.match(/[\\d.]+/g).map(Number);
    const over = ([r, g, b, a = 1], under) => [r, g, b].map((c, i) => a * c + (1 - a) * under[i]);
    const behind = (node) => {
        if (!node) return [255, 255, 255];
        const own = numbers(getComputedStyle(node).backgroundColor);
        return own.length > 3 && own[3] === 0 ? behind(node.parentElement) : over(own, behind(node.parentElement));
    };
    const luminance = (color) => {
        const [r, g, b] = color.map((c) => (c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const contrast = (node) => {
        const paper = behind(node);
        const [a, b] = [luminance(over(numbers(getComputedStyle(node).color), paper)), luminance(paper)];
        return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    };
"""
# The least contrast of all words of a picture.
LEAST_CONTRAST = (
    """
(picture) => {
"""
    + CONTRAST
    + """\
    const withWords = [...picture.querySelectorAll("span, div")].filter((node) => node.textContent.trim());
    return Math.min(...withWords.map(contrast));
}
"""
)


def write_notebook(path: Path, *cells: str) -> None:
    """A notebook of code cells that have not been run."""
    empty = {"cell_type": "code", "metadata": {}, "outputs": [], "execution_count": None}
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    notebook = {
        "cells": [empty | {"id": f"cell-{i}", "source": source} for i, source in enumerate(cells)],
        "metadata": {"kernelspec": kernel, "language_info": {"name": "python"}},
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    path.write_text(json.dumps(notebook), encoding="utf-8")


def open_notebook(page, url: str) -> None:
    """Open a notebook and wait until its kernel answers."""
    page.goto(url)
    page.wait_for_selector(".jp-Notebook .jp-Cell")
    page.locator(".jp-StatusBar-Widget", has_text="| Idle").wait_for()


def run_cell(page, source: str) -> None:
    """Shift + Enter in the cell that holds ``source``."""
    page.locator(".jp-Notebook .jp-CodeCell", has_text=source).locator(".cm-content").first.click()
    page.keyboard.press("Shift+Enter")


def run_cells_until(page, source: str) -> None:
    """Shift + Enter from the top, as a learner does, until the cell that holds ``source`` is the next one."""
    page.locator(".jp-Notebook .jp-Cell").first.click()
    active = page.locator(".jp-Notebook .jp-Cell.jp-mod-active")
    for _ in range(80):
        if source in active.inner_text():
            return
        page.keyboard.press("Shift+Enter")
        page.wait_for_timeout(50)
    pytest.fail(f"no cell holds {source!r}")


def move(page, slider: str, key: str, times: int = 1) -> None:
    handle = page.locator(f".course-lab-{slider} input[type=range]")
    handle.focus()
    for _ in range(times):
        handle.press(key)


def press(page, button: str) -> None:
    page.locator(f"button.course-lab-{button}").click()


def wait_until(condition, what: str, seconds: float = 60) -> float:
    """Wait for ``condition()``; returns how long it took."""
    start = time.monotonic()
    while not condition():
        assert time.monotonic() - start < seconds, f"waited {seconds} s for: {what}"
        time.sleep(0.02)
    return time.monotonic() - start


class Chart:
    """A chart in the page."""

    def __init__(self, locator) -> None:
        self.frame = locator

    def points(self, which: str = "current") -> list[tuple[float, float]]:
        """The corners of a curve, in pixels of the picture."""
        curve = self.frame.locator(f"polyline.{which}")
        if not curve.count():
            return []
        text = curve.first.get_attribute("points")
        return [tuple(float(number) for number in pair.split(",")) for pair in text.split()]

    def state(self) -> str:
        return self.frame.locator("[role=status]").inner_text()

    def status(self) -> str:
        return self.frame.locator(".course-lab-status").inner_text()

    def steps(self) -> int:
        return int(re.search(r"step (\d+) of", self.status())[1])

    def line_labels(self) -> str:
        texts = self.frame.locator("text.line-label").all_text_contents()
        return " ".join(texts).replace("\u00a0", " ")

    def line_heights(self) -> list[float]:
        return [float(line.get_attribute("y1")) for line in self.frame.locator("line.reference").all()]

    def assert_in_picture(self) -> None:
        """Every word and every swatch of the chart lies inside it."""
        outside = self.frame.evaluate(
            """frame => {
                return [...frame.querySelectorAll("svg text, svg line")].filter(node => {
                    const box = node.ownerSVGElement.getBoundingClientRect();
                    const b = node.getBoundingClientRect();
                    const aside = b.left < box.left - 1 || b.right > box.right + 1;
                    return aside || b.top < box.top - 1 || b.bottom > box.bottom + 1;
                }).map(node => node.textContent || node.outerHTML);
            }"""
        )
        assert outside == []

    def assert_readable(self) -> None:
        contrasts = self.frame.evaluate(CONTRASTS)
        for part, ratio in contrasts.items():
            assert ratio >= (4.5 if part in ("text", "status") else 3), contrasts


def switch_to_dark(page) -> None:
    page.get_by_role("menuitem", name="Settings", exact=True).click()
    page.locator(".lm-Menu-item", has_text=re.compile("^Theme")).hover()
    page.locator(".lm-Menu-item", has_text=re.compile("^JupyterLab Dark$")).click()
    page.wait_for_selector("body[data-jp-theme-light='false']", state="attached")
    page.wait_for_timeout(500)


def assert_no_errors(page) -> None:
    shown = page.locator(ERROR)
    assert shown.count() == 0, "\n".join(shown.all_text_contents())
    ids = page.evaluate("[...document.querySelectorAll('clipPath, [id^=course-lab]')].map((node) => node.id)")
    assert len(ids) == len(set(ids)), f"two widgets share a name, and the one uses what is the other's: {ids}"
