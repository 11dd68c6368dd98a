"""A lab under a random walk: what a hand may do to it, drawn by a seed, and a look at it after each deed."""

import json
import random
import re
import time
from collections.abc import Callable

from jupyter_page import ERROR, run_cell, wait_until
from playwright.sync_api import Error, Page
from seeing import SEEN, faults_of

PATIENCE = 90.0
SETUP, MAKE, ASK, TRAIN = "# the walk begins", "# the lab", "# who is at work", "# in a cell"
CELLS = (
    "import json, threading\nfrom course_lib.notebook import setup\nsetup()\nfrom course_lib.lab import Lab\n"
    f"from course_lib.recipes import load_recipe  {SETUP}",
    "small = load_recipe('tinytales_cpu').replace(n_embd=32, n_layer=1, batch_size=4, max_steps=200)\n"
    f"lab = Lab(small.replace(eval_every=20, eval_batches=1))\nlab  {MAKE}",
    "going = lab.session.run if lab.session and lab.is_training else None\n"
    "over = {run.number: len(run.records) for run in lab.runs if run is not going}\n"
    "at_work = [t for t in threading.enumerate() if t.name == 'course-lab' and t.is_alive()]\n"
    "print(json.dumps({'over': over, 'threads': len(at_work), 'going': going is not None}))  " + ASK,
    f"run = lab.train(max_steps=30)  {TRAIN}",
)


class Walk:
    """Does one thing after another to the lab of a page, drawn by a seed, and looks at it after each."""

    def __init__(self, page: Page, seed: int) -> None:
        self.page, self.random, self.done = page, random.Random(seed), list[str]()
        self.complaints: list[str] = []
        self._told: list[str] = []
        page.on("pageerror", lambda error: self.complaints.append(f"{error}\n{getattr(error, 'stack', '')}"))
        page.on("console", lambda message: self._told.append(message.text) if message.type == "error" else None)
        page.on("dialog", lambda dialog: dialog.accept())
        self.actions = self._actions()
        self._longer = [self.ask, self.make_again, self.reload, self.restart, self.in_a_cell]

    def _actions(self) -> dict[Callable[[], None], int]:
        return {
            self.press: 30, self.slide: 12, self.drag_slider: 4, self.set_seed: 2, self.reset: 3, self.constant: 2,
            self.fold: 2, self.choose: 8, self.point: 6, self.point_by_key: 4, self.tray: 6, self.browse: 5,
            self.guess: 3, self.drag_guess: 2, self.resize: 2, self.ask: 6, self.make_again: 2, self.reload: 1,
            self.restart: 1, self.in_a_cell: 2, self.let_be: 6,
        }  # fmt: skip

    def go(self, seconds: float) -> None:
        """Walk, then ask once more; AssertionError where something was seen that may not be."""
        end = time.monotonic() + seconds
        self.look()
        while time.monotonic() < end:
            action = self.random.choices(list(self.actions), list(self.actions.values()))[0]
            self.done.append(action.__name__)
            self._do(action)
            self.look()
        self.done.append("ask")
        self.ask()

    def _do(self, action: Callable[[], None]) -> None:
        """A hand may come too late: the thing is gone, or turned off, since it was seen. Then nothing is done."""
        self.page.set_default_timeout(1000 * (PATIENCE if action in self._longer else 3))
        try:
            action()
        except Error as error:
            if action in self._longer:
                raise
            self.say(f"(missed: {str(error).splitlines()[0]})")

    def say(self, words: object) -> None:
        self.done[-1] += f" {words}"

    # ---- looking -------------------------------------------------------------------------------------

    def look(self) -> dict:
        """A picture without a fault: what is wrong for a moment, between two messages, is right soon."""
        end, seen = time.monotonic() + 15, self.page.evaluate(SEEN)
        while faults := faults_of(seen):
            assert time.monotonic() < end, faults
            time.sleep(0.05)
            seen = self.page.evaluate(SEEN)
        shown = self.page.locator(ERROR).all_text_contents()  # JupyterLab hides what is out of sight: no inner text
        while "" in shown:  # it puts an output up, and writes its text a moment later
            assert time.monotonic() < end, "an output of the kind error has no text"
            shown = self.page.locator(ERROR).all_text_contents()
        odd = [text for text in shown if not re.match(r"\s*CourseError: [^\n]*\s*$", text)]
        assert odd == [], odd
        ours = [text for text in self._told if re.search("course-lab|anywidget|TypeError|ReferenceError", text)]
        assert self.complaints + ours == [], self.complaints + ours
        return seen

    def ask(self) -> None:
        """The kernel and the page tell the same: who trains, which runs are over, how long each is."""
        end = time.monotonic() + 20
        while True:
            told, seen = json.loads(self._answer(ASK)), self.look()
            tray = {row["number"]: row["words"] for row in seen["tray"]}
            runs = {int(name): steps for name, steps in told["over"].items()}
            is_right = told["threads"] <= 1 and (told["threads"] == 1 or not told["going"]) and set(tray) == set(runs)
            if is_right and all(re.search(rf"(?<![\d,]){runs[n]:,} (steps|of)", tray[n]) for n in tray):
                return
            assert time.monotonic() < end, (told, tray)

    def _answer(self, source: str) -> str:
        cell = self.page.locator(".jp-Notebook .jp-CodeCell", has_text=source)
        prompt = cell.locator(".jp-InputPrompt").first
        before = prompt.inner_text()
        run_cell(self.page, source)
        wait_until(lambda: prompt.inner_text() not in (before, "[*]:"), source, PATIENCE)
        output = cell.locator(".jp-OutputArea-output")
        output.first.wait_for()
        return output.first.inner_text().strip()

    def make(self) -> None:
        """Run the first cells, as after a restart."""
        run_cell(self.page, SETUP)
        run_cell(self.page, MAKE)
        self._wait_for_lab()

    def _wait_for_lab(self) -> None:
        def is_there() -> bool:
            seen = self.page.evaluate(SEEN)
            return seen["ready"] and not seen["gone"] and seen["labs"] == 1

        wait_until(is_there, "the lab", PATIENCE)
        self.page.locator(".jp-StatusBar-Widget", has_text="| Idle").wait_for(timeout=1000 * PATIENCE)

    # ---- doing ---------------------------------------------------------------------------------------

    def _lab(self, selector: str):
        return self.page.locator(f".course-lab {selector}")

    def _one_of(self, selector: str):
        """One of those that can be seen; None where there are none."""
        found = [node for node in self._lab(selector).all() if node.is_visible() and node.is_enabled()]
        return self.random.choice(found) if found else None

    def _box(self, selector: str) -> dict | None:
        """Where it is on the screen; None where it is not there, or is drawn anew at this moment."""
        node = self._lab(selector)
        if not node.is_visible():
            return None
        node.scroll_into_view_if_needed()
        return node.bounding_box()

    def press(self) -> None:
        button = self.random.choice(["start", "start", "pause", "pause", "step", "step", "stop"])
        times = self.random.choice([1, 1, 1, 2, 3])
        self.say(f"{button} {times}")
        node = self._lab(f"button.course-lab-{button}")
        for _ in range(times):
            if node.is_enabled():
                node.click()

    def slide(self) -> None:
        slider = self._one_of("input[type=range]")
        if slider is None:
            return
        name = slider.evaluate("node => node.labels[0].innerText")
        keys = ["ArrowLeft", "ArrowLeft", "ArrowRight", "Home"]
        key, times = self.random.choice(keys), self.random.choice([1, 2, 4])
        self.say(f"{name} {key} {times}")
        slider.focus()
        for _ in range(times):
            self.page.keyboard.press(key)

    def drag_slider(self) -> None:
        name = self.random.choice(["max_lr", "dropout", "block_size"])
        place, to = self._box(f".course-lab-{name} input[type=range]"), self.random.random()
        self.say(f"{name} to {to:.2f}")
        if place is None:
            return
        self.page.mouse.move(place["x"] + place["width"] / 2, place["y"] + place["height"] / 2)
        self.page.mouse.down()
        self.page.mouse.move(place["x"] + place["width"] * to, place["y"] + place["height"] / 2, steps=6)
        self.page.mouse.up()

    def set_seed(self) -> None:
        field = self._lab(".course-lab-seed input")
        if field.is_visible() and field.is_enabled():
            field.fill(str(self.random.randrange(10**6)))
            field.press("Enter")

    def reset(self) -> None:
        if self._lab("button.course-lab-reset").is_enabled():
            self._lab("button.course-lab-reset").click()

    def constant(self) -> None:
        if self._lab(".course-lab-constant input").is_enabled():
            self._lab(".course-lab-constant input").press("Space")

    def fold(self) -> None:
        if self._lab(".course-lab-fold-button").is_enabled():
            self._lab(".course-lab-fold-button").click()

    def choose(self) -> None:
        box = self._one_of(".course-lab-tools select, .course-lab-tools input, .course-lab-tools button")
        kind = box.evaluate("node => node.tagName")
        self.say(box.get_attribute("aria-label") or box.evaluate("node => node.closest('label')?.innerText"))
        if kind == "SELECT":
            box.select_option(index=self.random.randrange(box.locator("option").count()))
        else:
            box.click()

    def point(self) -> None:
        box = self._box(".course-lab-moment")
        if box is None:
            return
        for _ in range(self.random.choice([1, 3])):
            x, y = self.random.uniform(-0.1, 1.1), self.random.uniform(-0.1, 1.1)
            self.page.mouse.move(max(0, box["x"] + x * box["width"]), max(0, box["y"] + y * box["height"]), steps=3)
        if self.random.random() < 0.3:
            self.page.mouse.click(box["x"] + 0.3 * box["width"], box["y"] + 0.5 * box["height"])

    def point_by_key(self) -> None:
        self._lab(".course-lab-moment").focus()
        for _ in range(self.random.choice([1, 4])):
            key = self.random.choice(["ArrowLeft", "ArrowRight", "Home", "End", "PageUp", "PageDown", "Escape"])
            self.say(key)
            self.page.keyboard.press(key)

    def tray(self) -> None:
        node = self._one_of(".course-lab-tray-frame li input, .course-lab-tray-frame li button")
        if node is not None:
            self.say(node.get_attribute("aria-label"))
            node.click()

    def browse(self) -> None:
        chip = self._one_of(".course-lab-samples [role=radio]")
        if chip is not None:
            chip.click()
            self.page.keyboard.press(self.random.choice(["ArrowLeft", "ArrowRight", "Home", "End"]))

    def guess(self) -> None:
        field, words = self._lab(".course-lab-guess input"), self.random.choice(["1.5", "0.3", "", "99", "-1", "3e9"])
        if field.is_enabled():
            self.say(words)
            field.fill(words)
            field.press("Enter")

    def drag_guess(self) -> None:
        box = self._box(".course-lab-guess-mark")
        if box is not None:
            self.page.mouse.move(box["x"] + 8, box["y"] + 8)
            self.page.mouse.down()
            self.page.mouse.move(box["x"] + 8, box["y"] + self.random.uniform(-300, 300), steps=4)
            self.page.mouse.up()

    def resize(self) -> None:
        width = self.random.choice([700, 1000, 1300])
        self.say(width)
        self.page.set_viewport_size({"width": width, "height": 1000})

    def let_be(self) -> None:
        self.page.wait_for_timeout(self.random.choice([100, 500, 1500]))

    def make_again(self) -> None:
        """The lab's cell is run again; its runs lie in the new lab's tray."""
        self.ask()  # a run that was just removed is gone by then
        before = {row["number"] for row in self.look()["tray"]}
        run_cell(self.page, MAKE)
        self.page.wait_for_timeout(300)
        self._wait_for_lab()
        after = {row["number"] for row in self.look()["tray"]}
        assert before <= after, f"runs {before} lay in the tray, and then {after}"

    def reload(self) -> None:
        self.page.keyboard.press("Control+s")  # the kernel knows the lab of this save, perhaps not that of an older one
        wait_until(lambda: self.page.locator(".jp-mod-dirty").count() == 0, "Ctrl + S, wherever the hand is", 30)
        self.page.wait_for_timeout(500)
        self.page.reload()
        self.page.wait_for_selector(".jp-Notebook .jp-Cell", timeout=1000 * PATIENCE)
        self._wait_for_lab()

    def restart(self) -> None:
        self.page.get_by_role("menuitem", name="Kernel", exact=True).click()
        self.page.locator(".lm-Menu-item", has_text=re.compile("^Restart Kernel…")).first.click()
        self.page.locator(".jp-Dialog button.jp-mod-accept").click()
        wait_until(lambda: self.page.evaluate(SEEN).get("gone", False), "the announcement", PATIENCE)
        self.look()
        self.page.locator(".jp-StatusBar-Widget", has_text="| Idle").wait_for(timeout=1000 * PATIENCE)
        self._clear(TRAIN)
        self.make()

    def _clear(self, source: str) -> None:
        """Throw away a cell's outputs: of a widget whose kernel is gone JupyterLab itself says, after a reload, that it
        is not found; no widget can say anything else there."""
        self.page.locator(".jp-Notebook .jp-CodeCell", has_text=source).locator(".jp-InputPrompt").first.click()
        self.page.get_by_role("menuitem", name="Edit", exact=True).click()
        self.page.locator(".lm-Menu-item", has_text=re.compile("^Clear Cell Output")).first.click()

    def in_a_cell(self) -> None:
        run_cell(self.page, TRAIN)
        self.page.wait_for_timeout(self.random.choice([50, 800, 3000]))
        if self.random.random() < 0.5:
            self.say("interrupted")
            self.page.locator("[data-command='notebook:interrupt-kernel'], jp-button[title*='Interrupt']").first.click()
        self.page.locator(".jp-StatusBar-Widget", has_text="| Idle").wait_for(timeout=1000 * PATIENCE)
