"""What holds for every exercise of every chapter, and for `check` whatever it is handed."""

import importlib
import random
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from course_lib import exercises
from course_lib.errors import CourseError
from course_lib.exercises import (
    Exercise,
    Folded,
    Unattempted,
    Verdict,
    Wrong,
    check,
    exercises_of,
    find,
    hint,
    solution,
)
from course_lib.exercises.judge.judging import judged

pytestmark = pytest.mark.usefixtures("one_thread")

EVERY = [exercise for chapter in exercises.chapters() for exercise in exercises_of(chapter)]
IDS = [exercise.id for exercise in EVERY]


def solved(exercise: Exercise) -> Any:
    """What the solution hands in, run by itself, as a learner would paste it into an empty notebook."""
    names: dict[str, Any] = {}
    exec(compile(exercise.solution, f"{exercise.id}.py", "exec"), names)
    return names[exercise.attempt]


FUNCTIONS = [exercise for exercise in EVERY if callable(solved(exercise))]


# Every exercise -------------------------------------------------------------------------------------------


def test_there_are_exercises_and_each_has_its_own_id():
    assert EVERY
    assert len(set(IDS)) == len(IDS)
    for chapter in exercises.chapters():
        numbers = [exercise.id for exercise in exercises_of(chapter)]
        assert numbers == [f"{chapter}-{i + 1}" for i in range(len(numbers))], "counted from 1, in order"


@pytest.mark.parametrize("exercise", EVERY, ids=IDS)
def test_the_solution_passes(exercise):
    verdict = check(exercise.id, solved(exercise))
    assert verdict.passed is True, verdict
    assert repr(verdict).startswith("Right. ")
    assert len(repr(verdict)) > 60, "it says why"


@pytest.mark.parametrize("exercise", EVERY, ids=IDS)
def test_nothing_is_not_attempted_yet(exercise):
    def with_words(*args):
        """Only words, and dots."""
        ...

    def later(*args):
        raise NotImplementedError

    blanks = [None, ..., lambda *args: None, with_words]
    blanks += [later] if callable(solved(exercise)) else [[..., ...], {1: None}]
    for blank in blanks:
        verdict = check(exercise.id, blank)
        assert (verdict.passed, repr(verdict)) == (None, "Not attempted yet.")
    assert check(exercise.id).passed is None


class NotAnAnswer:
    pass


def named(junk: object) -> str:
    """Without an address: a test has the same name in every process."""
    return repr(junk).partition(" at 0x")[0]


@pytest.mark.parametrize("exercise", EVERY, ids=IDS)
@pytest.mark.parametrize(
    "junk",
    ["a text", "", 3.5, True, NotAnAnswer, NotAnAnswer(), [], {}, torch.ones(2, 3), np.ones(2), object],
    ids=named,
)
def test_something_else_is_told_what_is_expected(exercise, junk):
    verdict = check(exercise.id, junk)
    assert verdict.passed is False
    assert "xpected" in repr(verdict)
    assert "looking at it raised" not in repr(verdict), "the judge should see it coming"
    assert " at 0x" not in repr(verdict)


@pytest.mark.parametrize("exercise", FUNCTIONS, ids=lambda exercise: exercise.id)
@pytest.mark.parametrize(
    "junk",
    [None, ..., "x", 3, float("nan"), True, [1, "a"], {}, torch.ones(2, 3), torch.tensor(1.0), object()],
    ids=named,
)
def test_a_function_that_returns_something_else_is_told_so(exercise, junk):
    right = solved(exercise)

    def nearly(*args):
        right(*args)
        return junk

    for function in (nearly, lambda *args: [junk][0]):
        verdict = check(exercise.id, function)
        assert verdict.passed is False
        assert "looking at it raised" not in repr(verdict)
        assert " at 0x" not in repr(verdict)


@pytest.mark.parametrize("exercise", FUNCTIONS, ids=lambda exercise: exercise.id)
def test_a_function_that_raises_is_told_what_and_where(exercise):
    def stumbles(*args):
        number = 0
        return 1 / number  # here

    said = " ".join(repr(check(exercise.id, stumbles)).split())
    assert "raised ZeroDivisionError: division by zero" in said
    assert said.endswith("of your cell: return 1 / number # here")


@pytest.mark.parametrize("exercise", EVERY, ids=IDS)
def test_every_exercise_has_planted_mistakes(exercise):
    chapter = importlib.import_module(f"exercises.test_chapter_{exercise.id[:2]}")
    assert len(chapter.PLANTED[exercise.id]) >= 3


@pytest.mark.parametrize("exercise", EVERY, ids=IDS)
def test_hints_and_solution_unfold_and_give_nothing_away_before(exercise):
    for folded, words in ((hint(exercise.id), exercise.hints), (solution(exercise.id), [exercise.solution])):
        markdown = folded._repr_markdown_()
        assert all(word.strip() in markdown and word.strip() in str(folded) for word in words)
        assert markdown.count("<details>\n<summary>") == markdown.count("</details>") == len(words)
        assert not [word for word in words if word.strip() in repr(folded)]
        assert len(repr(folded).splitlines()) == 1
        assert "</summary>\n\n" in markdown, "Markdown inside HTML needs a blank line before it"
    assert 1 <= len(exercise.hints) <= 4


@pytest.mark.parametrize("exercise", EVERY, ids=IDS)
def test_checking_changes_nothing(exercise):
    """Neither the random numbers that follow nor a setting of torch, and a second check says the same."""
    attempt = solved(exercise)

    def state() -> tuple:
        return (
            random.getstate()[1], np.random.get_state()[1].tolist(), torch.get_rng_state().tolist(),
            torch.get_num_threads(), torch.get_default_dtype(), torch.is_grad_enabled(), torch.initial_seed(),
        )  # fmt: skip

    def careless(*args):
        random.seed(5), np.random.seed(5), torch.manual_seed(5)
        torch.set_num_threads(2), torch.set_default_dtype(torch.float64), torch.set_grad_enabled(False)
        return 0.0

    before = state()
    first = repr(check(exercise.id, attempt))
    check(exercise.id, careless)
    assert state() == before
    torch.rand(3), random.random()
    assert repr(check(exercise.id, attempt)) == first
    with torch.no_grad():
        assert repr(check(exercise.id, attempt)) == first


# check, hint, solution ------------------------------------------------------------------------------------


def made(judge: Callable[[Any], str], **more: Any) -> Exercise:
    settings = dict(id="99-1", title="t", difficulty="easy", minutes=1, attempt="f", expects="a thing", hints=("h",))
    return Exercise(**settings | more, judge=judge)


def test_an_unknown_exercise_gets_the_nearest():
    for function in (hint, solution, find, lambda name: check(name, 1)):
        with pytest.raises(CourseError, match="no exercise '05-9': did you mean '05-"):
            function("05-9")
        with pytest.raises(CourseError, match="did you mean '05-2'"):
            function("5-2")
    with pytest.raises(CourseError, match=r'such as "05-3".*it is a function'):
        check(lambda x: x, "05-3")
    assert exercises_of("no such chapter") == ()


def test_a_check_loads_no_other_chapters_judges(monkeypatch):
    """They may need what is not installed: chapter 00 runs in a browser, without torch."""
    asked = []
    load = exercises.exercises_of
    monkeypatch.setattr(exercises, "exercises_of", lambda chapter: asked.append(chapter) or load(chapter))
    for exercise in EVERY:
        asked.clear()
        assert find(exercise.id) == exercise
        assert asked == [exercise.id[:2]]


def test_an_exercise_is_checked_when_it_is_made():
    for wrong in ({"id": "5-1"}, {"id": "05-0"}, {"difficulty": "harsh"}, {"minutes": 0}, {"hints": ()}):
        with pytest.raises(CourseError):
            made(str, **wrong)


def test_the_models_that_are_handed_in_stay_in_their_mode():
    def judge(attempt: Any) -> str:
        for model in attempt if isinstance(attempt, list) else [attempt]:
            model.train()
            model[0].eval()
        raise Wrong("no")

    model = torch.nn.Sequential(torch.nn.Dropout(), torch.nn.Linear(1, 1)).eval()
    model[0].train()
    for attempt in (model, [model, model]):
        assert judged(made(judge), attempt).passed is False
        assert [module.training for module in model.modules()] == [False, True, False]


def test_a_judge_that_draws_numbers_draws_the_same_ones_each_time():
    drawing = made(lambda attempt: f"{random.random()} {np.random.rand()} {torch.rand(1).item()}")
    first = repr(judged(drawing, 1))
    random.random(), np.random.rand(), torch.rand(1)
    assert repr(judged(drawing, 1)) == first


def test_a_judge_that_stumbles_is_no_traceback():
    verdict = judged(made(lambda attempt: attempt.no_such_thing), 3)
    assert verdict.passed is False
    assert "Expected was a thing. It got the number 3; looking at it raised AttributeError" in " ".join(
        repr(verdict).split()
    )


def test_an_interrupt_goes_through():
    def judge(attempt: Any) -> str:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        judged(made(judge), 1)


def test_the_three_verdicts_have_a_color_and_the_same_words():
    def judge(attempt: Any) -> str:
        if attempt == 1:
            raise Wrong("x < y & z\n    if x < y:")
        if attempt == 2:
            raise Unattempted("Two parts are missing.")
        return "Because."

    wrong, none, right = (judged(made(judge), attempt) for attempt in (1, 2, 3))
    assert [verdict.passed for verdict in (wrong, none, right)] == [False, None, True]
    assert repr(right) == "Right. Because."
    assert repr(none) == "Not attempted yet. Two parts are missing."
    assert repr(wrong) == "Not yet. x < y & z\n    if x < y:"
    html = wrong._repr_html_()
    assert "Not yet. x &lt; y &amp; z<br><code>if x &lt; y:</code>" in html
    assert len({verdict._repr_html_().split("padding")[0] for verdict in (wrong, none, right)}) == 3


def test_long_words_of_a_verdict_are_broken_into_lines_and_code_is_not():
    verdict = Verdict(False, "word " * 60 + "\n    " + "code = " * 30)
    *text, code = repr(verdict).split("\n")
    assert max(map(len, text)) <= 100
    assert code == "    " + "code = " * 30


def test_two_hints_lie_one_in_the_other():
    folded = Folded("Hints", [("Hint 1", "first"), ("Hint 2", "second")], "print(...)")
    opened, closed = "<details>\n<summary>Hint {}</summary>\n\n{}", "\n\n</details>"
    assert folded._repr_markdown_() == (
        opened.format(1, "first") + "\n\n" + opened.format(2, "second") + closed + closed
    )


def test_importing_the_exercises_loads_neither_torch_nor_a_chapter():
    code = (
        "import sys, course_lib.exercises as e; assert e.chapters()\n"
        "loaded = [name for name in sys.modules if name == 'torch' or 'exercises.chapter' in name]\n"
        "assert not loaded, loaded"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
