"""The rules that every chapter keeps, each as a function from a notebook's JSON to the broken ones in words.

`test_notebooks` holds the chapters to them, and proves each rule on a planted mistake.
"""

import ast
import json
import re
from collections.abc import Iterator, Sequence

from course_lib.exercises import Exercise
from course_lib.notebook import FOLDED, normalized

CELLS = (25, 60)
MOST_LINES = 15
MOST_IGNORED = 3
MOST_WITHOUT_A_STOP = 20
STOP = re.compile(r"^\*\*A good place to stop\.\*\* ", re.MULTILINE)  # begins a paragraph; it says what one has by now
KNOWN_TAGS = {"nbval-ignore-output", "raises-exception", FOLDED}

MACHINE_PATH = re.compile(r"(?<![\w.~$/})-])/(?:work|root|home|Users|tmp|opt|mnt|srv)(?![\w-])")
COLORS = re.compile(r"\\u001b\[[\d;]*m")  # of a traceback, as JSON writes them: they may split a path's beginning
NOT_EVERYWHERE = re.compile(r"^:{3,}|\{ref\}|\{numref\}|\{eq\}", re.MULTILINE)
ADDRESS = re.compile(r"\bat 0x[0-9a-f]{6,}")
EXERCISE_HEADING = re.compile(r"^### (\d\d-\d+) (.+) \((\w+), (\d+) minutes?\)$")
CHECK = re.compile(r'^check\("(\d\d-\d+)", (\w+)\)$')
HINT = re.compile(r'^hint\("(\d\d-\d+)"\)$')


def source(cell: dict) -> str:
    return "".join(cell["source"])


def code_cells(cells: list[dict]) -> list[dict]:
    return [cell for cell in cells if cell["cell_type"] == "code"]


def markdown(cells: list[dict]) -> str:
    return "\n\n".join(source(cell) for cell in cells if cell["cell_type"] == "markdown")


def headings(cells: list[dict], level: int) -> list[str]:
    text = re.sub(r"^```.*?^```$", "", markdown(cells), flags=re.MULTILINE | re.DOTALL)
    return re.findall(rf"^{'#' * level} (.+)$", text, flags=re.MULTILINE)


def without_exercises(cells: list[dict]) -> tuple[list[dict], list[dict]]:
    """The chapter's own cells, and those from the heading Exercises to the next heading of that level."""
    own: list[dict] = []
    exercises: list[dict] = []
    inside = False
    for cell in cells:
        if cell["cell_type"] == "markdown" and source(cell).startswith("## "):
            inside = source(cell).startswith("## Exercises\n")
        (exercises if inside else own).append(cell)
    return own, exercises


# What can be said of any notebook -------------------------------------------------------------------------


def problems_of_file(notebook: dict) -> list[str]:
    """What it stores: nothing of one machine or one moment, nothing that hides a fault."""
    cells = notebook["cells"]
    code = code_cells(cells)
    found = [problem for cell in code for problem in problems_of_cell(cell)]
    counts = [cell["execution_count"] for cell in code]
    if counts != list(range(1, len(code) + 1)):
        found.append(f"execution counts are {counts}: run it from the top in a fresh kernel")
    ignored = sum("nbval-ignore-output" in cell["metadata"].get("tags", []) for cell in code)
    if ignored > MOST_IGNORED:
        found.append(f"{ignored} cells are not compared: at most {MOST_IGNORED}")
    if len({cell["id"] for cell in cells}) < len(cells):
        found.append("two cells have one id")
    text = COLORS.sub("", json.dumps(notebook, ensure_ascii=False))
    found += [f"a path of one machine: {path}" for path in MACHINE_PATH.findall(text)]
    found += [f"an address in memory: {address}" for address in ADDRESS.findall(text)]
    signs = NOT_EVERYWHERE.findall(markdown(cells))
    found += [f"markup that one of the three places does not show: {sign}" for sign in signs]
    if notebook != normalized(notebook):
        found.append("not normalized: see course_lib.notebook.normalized")
    return found


def problems_of_cell(cell: dict) -> list[str]:
    found, name, tags = [], cell["id"], cell["metadata"].get("tags", [])
    lines = source(cell).splitlines()
    if len(lines) > MOST_LINES:
        found.append(f"{name}: {len(lines)} lines, at most {MOST_LINES}")
    if lines and lines[-1].rstrip().endswith(";"):
        found.append(f"{name}: a semicolon at the end hides a value here and shows it in the test")
    found += [f"{name}: unknown tag {tag}; known are {sorted(KNOWN_TAGS)}" for tag in tags if tag not in KNOWN_TAGS]
    errors = [output for output in cell["outputs"] if output["output_type"] == "error"]
    if errors and "raises-exception" not in tags:
        found.append(f"{name}: a stored error without the tag raises-exception")
    if "raises-exception" in tags and not errors:
        found.append(f"{name}: the tag raises-exception, and no stored error")
    for output in cell["outputs"]:
        if output.get("name") == "stderr":
            found.append(f"{name}: a stored warning")
        if "image/png" in output.get("data", {}) and not cell["metadata"].get("mystnb", {}).get("image", {}).get("alt"):
            found.append(f"{name}: a picture without alternative text (metadata: mystnb.image.alt)")
    return found


# What holds for a chapter ---------------------------------------------------------------------------------


def problems_of_size(notebook: dict) -> list[str]:
    """As many cells as a reader can take, with places to stop on the way; exercises are not counted."""
    own, _ = without_exercises(notebook["cells"])
    found = []
    if not CELLS[0] <= len(own) <= CELLS[1]:
        found.append(f"{len(own)} cells without the exercises: {CELLS[0]} to {CELLS[1]}")
    since_a_stop = 0
    for cell in own:
        since_a_stop += 1
        if cell["cell_type"] == "markdown" and STOP.search(source(cell)):
            since_a_stop = 0
        if since_a_stop == MOST_WITHOUT_A_STOP + 1:
            found.append(f"more than {MOST_WITHOUT_A_STOP} cells without **A good place to stop.**, up to {cell['id']}")
    return found


def problems_of_code(notebook: dict) -> list[str]:
    """What a reader who knows Python and nothing else reads: one statement a line, and no clever forms."""
    found = []
    for cell in code_cells(notebook["cells"]):
        if source(cell).startswith("%%"):
            continue
        lines = re.sub(r"^(\s*)[%!].*", r"\1pass", source(cell), flags=re.MULTILINE)
        tree = ast.parse(lines)
        starts = [node.lineno for node in ast.walk(tree) if isinstance(node, ast.stmt)]
        found += [f"{cell['id']}: two statements in one line" for _ in range(len(starts) - len(set(starts)))]
        found += [f"{cell['id']}: {words}" for words in dict.fromkeys(_clever(tree))]
    return found


def _clever(tree: ast.Module) -> Iterator[str]:
    """The forms that say two things at once, in words."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign | ast.AnnAssign) and isinstance(node.value, ast.Lambda):
            yield "a lambda is given a name: write def"
        elif isinstance(node, ast.Starred) and isinstance(node.value, ast.GeneratorExp | ast.ListComp):
            yield "a generator is unpacked into arguments: give the list a name first, or join it into one text"
        elif isinstance(node, ast.NamedExpr):
            yield "a walrus: assign in a line of its own"
        elif isinstance(node, ast.GeneratorExp | ast.ListComp) and any(map(_prints, ast.walk(node))):
            yield "a comprehension prints: write a for loop"


def _prints(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"


def problems_of_guesses(notebook: dict) -> list[str]:
    """A folded output answers a guess that the text before it, or the cell itself, asks for."""
    found, text = [], ""
    for cell in notebook["cells"]:
        if cell["cell_type"] == "markdown":
            text = source(cell)
        elif FOLDED in cell["metadata"].get("tags", []):
            asked = re.search(r"\bguess|\bon paper\b", text + source(cell), re.IGNORECASE)
            if not asked:
                found.append(f"{cell['id']}: its output is folded, and no guess is asked for before it")
            if not cell["outputs"]:
                found.append(f"{cell['id']}: it has no output to fold")
    return found


def problems_of_order(notebook: dict, number: str) -> list[str]:
    """Title, question, minutes, what is needed; set-up; ...; break it; exercises; what to remember; sources."""
    cells = notebook["cells"]
    first = source(cells[0])
    rules = {
        f"the first cell should begin with # {number} and the title": first.startswith(f"# {number} "),
        "the first cell should have one question, in bold": bool(re.search(r"\n\n\*\*[^*]+\?\*\*\n\n", first)),
        "the first cell should say how many minutes it takes": " minutes" in first,
        "the first cell should say what is needed (You need ...)": bool(
            re.search(r"\byou need\b", first, re.IGNORECASE)
        ),
        "the second cell should be the set-up, with the id setup": cells[1]["id"] == "setup",
        "the sources should end the last cell (**Sources.** ...)": "\n\n**Sources.** " in source(cells[-1]),
    }
    found = [words for words, holds in rules.items() if not holds]
    parts = headings(cells, 2)
    names = ["Break it" if part.startswith("Break it") else part for part in parts]
    if "Break it" not in names:
        found.append("there is no part that begins with ## Break it")
    elif names[-1] != "What to remember" or names.count("Exercises") != 1:
        found.append(f"there should be one part Exercises, and What to remember at the end; it is {', '.join(names)}")
    elif names[names.index("Exercises") - 1] != "Break it":
        before = names[names.index("Exercises") - 1]
        found.append(f"between Break it and the exercises stands another part: {before}")
    for part in ("Exercises", "What to remember"):
        if part in parts and not any(source(cell).startswith(f"## {part}\n") for cell in cells):
            found.append(f"## {part} should begin a cell of its own")
    return found


def problems_of_exercises(notebook: dict, exercises: Sequence[Exercise]) -> list[str]:
    """The chapter has the library's exercises and no others, each as it is there, with its check and its hints."""
    _, cells = without_exercises(notebook["cells"])
    found = []
    told = []
    for heading in headings(cells, 3):
        match = EXERCISE_HEADING.match(f"### {heading}")
        if match is None:
            found.append(f"an exercise's heading should read ### 05-1 Title (easy, 5 minutes); it is ### {heading}")
        else:
            told.append((match[1], match[2], match[3], int(match[4])))
    known = [(e.id, e.title, e.difficulty, e.minutes) for e in exercises]
    found += [f"the chapter says {one}, and the library does not" for one in told if one not in known]
    found += [f"the library says {one}, and the chapter does not" for one in known if one not in told]
    if not found and told != known:
        found.append(f"the exercises stand in another order than in the library: {[one[0] for one in told]}")
    last_lines = [(cell, source(cell).rstrip().splitlines()[-1]) for cell in code_cells(cells) if source(cell).strip()]
    checks = [(match[1], match[2], cell) for cell, line in last_lines if (match := CHECK.match(line))]
    asked = [(one, attempt) for one, attempt, _ in checks]
    if asked != [(e.id, e.attempt) for e in exercises]:
        found.append(f"each exercise needs one cell that ends in its check, in order; there are {asked}")
    hints = [match[1] for _, line in last_lines if (match := HINT.match(line))]
    if hints != [e.id for e in exercises]:
        found.append(f"each exercise needs one cell that ends in its hint, in order; there are {hints}")
    for one, _, cell in checks:
        text = "".join("".join(output.get("data", {}).get("text/plain", "")) for output in cell["outputs"])
        if not text.startswith("Not attempted yet."):
            found.append(f"the stored check of {one} should say that it is not attempted yet; it says {text[:60]!r}")
    for cell in code_cells(notebook["cells"]):
        if re.search(r"\bsolution\(", source(cell)):
            found.append(f"{cell['id']}: a solution lies open in the file; name it in the text, for learners to call")
    return found


def problems(notebook: dict, number: str, exercises: Sequence[Exercise]) -> list[str]:
    """Every broken rule of a chapter."""
    return [
        *problems_of_file(notebook),
        *problems_of_size(notebook),
        *problems_of_code(notebook),
        *problems_of_guesses(notebook),
        *problems_of_order(notebook, number),
        *problems_of_exercises(notebook, exercises),
    ]
