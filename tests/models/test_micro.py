"""microGPT trained: against the original program to the last bit, and its two engines against each other.

COURSE_PEER_MICROGPT names the original, microgpt.py of github.com/iamkhalid2/microgpt-course; COURSE_DATA a folder
that holds names_full/names.txt; COURSE_PYTHONS other interpreters, separated as PATH is.
"""

import builtins
import contextlib
import doctest
import math
import os
import random
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import course_lib.corpora.names as names_module
from course_lib.corpora.names import given_names
from course_lib.errors import CourseError
from course_lib.models.micro import MicroGPT, loop, value

ROOT = Path(__file__).resolve().parents[2]
FEW = "anna boris chloe dmitri elif fatima guo hana ingrid jomo kwame lucia maximiliane o".split()
# What the original program printed on FEW, with all the digits.
FIRST_LOSSES = [
    3.1331675745208294,
    3.1210699035621996,
    3.074450155755766,
    3.195037335226411,
    3.075404532645662,
    3.0267021880566274,
    2.909551792829959,
    3.133145723423173,
    3.1342632077215815,
    3.1146758399230716,
    2.986367591115588,
    2.818911478499666,
    2.9808929379879556,
    3.0355973979278383,
    2.821380519869655,
]


@pytest.fixture(scope="module")
def names() -> list[str]:
    return given_names()


# Against the original --------------------------------------------------------------------------------------


class Enough(Exception):
    """The original has made as many steps as the test wants."""


def run_original(docs: list[str], folder: Path, stop_after: int | None = None) -> tuple[list[float], list[str]]:
    """The losses of the original program on ``docs``, with all their digits, and its samples.

    The program is run as it is. It prints once a step, so a ``print`` of ours sees every loss; and it seeds
    Python's common generator, which is put back afterwards.
    """
    program = os.environ.get("COURSE_PEER_MICROGPT")
    if not program or not Path(program).is_file():
        pytest.skip("COURSE_PEER_MICROGPT names no file with the original microgpt.py")
    losses: list[float] = []
    samples: list[str] = []

    def overheard(text: str) -> None:
        if text.startswith("step"):
            losses.append(space["loss"].data)
        if found := re.fullmatch(r"sample +\d+: (.*)", text):
            samples.append(found[1])
        if len(losses) == stop_after:
            raise Enough

    space: dict = {"__name__": "microgpt", "__builtins__": builtins, "print": overheard}
    (folder / "input.txt").write_text("\n".join(docs) + "\n", encoding="utf-8")
    before = random.getstate()
    try:
        with contextlib.chdir(folder), contextlib.suppress(Enough):
            exec(compile(Path(program).read_text(encoding="utf-8"), program, "exec"), space)
    finally:
        random.setstate(before)
    return losses, samples


@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")  # the original's
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_the_first_losses_are_the_originals_to_the_last_bit(names: list[str], tmp_path: Path) -> None:
    losses, _ = run_original(names, tmp_path, stop_after=15)
    assert len(losses) == 15
    assert MicroGPT(names).train(500, stop_after=15) == losses


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("source", ["given names", "makemore's names"])
def test_all_losses_and_samples_are_the_originals(source: str, names: list[str], tmp_path: Path) -> None:
    docs = names if source == "given names" else makemore_names()
    losses, samples = run_original(docs, tmp_path)
    assert len(losses) == 500
    assert len(samples) == 20
    scalar = MicroGPT(docs)
    assert scalar.train(500) == losses
    assert scalar.generate(20) == samples
    vector = MicroGPT(docs, engine="vector")
    assert max(abs(a - b) for a, b in zip(vector.train(500), losses)) < 1e-9
    assert vector.generate(20) == samples


def makemore_names() -> list[str]:
    mirror = os.environ.get("COURSE_DATA")
    file = Path(mirror or "") / "names_full" / "names.txt"
    if not mirror or not file.is_file():
        pytest.skip("makemore's names: set COURSE_DATA to a folder that holds names_full/names.txt")
    return file.read_text(encoding="utf-8").splitlines()


def test_the_recorded_losses_of_the_original() -> None:
    """Here for every machine. A library of mathematics may round otherwise than the recording one's."""
    assert MicroGPT(FEW).train(500, stop_after=len(FIRST_LOSSES)) == pytest.approx(FIRST_LOSSES, abs=1e-9)


def test_other_pythons_compute_the_same_bits() -> None:
    pythons = [python for python in os.environ.get("COURSE_PYTHONS", "").split(os.pathsep) if python]
    if not pythons:
        pytest.skip("COURSE_PYTHONS names no other interpreters")
    code = f"from course_lib.models.micro import MicroGPT; print(MicroGPT({FEW!r}).train(500, stop_after=40))"
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    here = MicroGPT(FEW).train(500, stop_after=40)
    for python in pythons:
        printed = subprocess.check_output([python, "-S", "-c", code], env=environment, text=True, timeout=120)
        assert printed.strip() == repr(here), python


# The two engines -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("steps", "sizes"), [(100, {}), (20, {"n_layer": 2, "n_head": 3, "n_embd": 12})])
def test_the_engines_agree(names: list[str], steps: int, sizes: dict) -> None:
    models = [MicroGPT(names, engine=engine, **sizes) for engine in ("scalar", "vector")]
    losses = [model.train(500, stop_after=steps) for model in models]
    assert max(abs(a - b) for a, b in zip(*losses)) < 1e-9
    assert len(losses[0]) == len(losses[1]) == steps
    assert models[0].generate(5) == models[1].generate(5)


# Training and writing --------------------------------------------------------------------------------------


def test_it_learns_from_the_bundled_names(names: list[str]) -> None:
    model = MicroGPT(names, engine="vector")
    assert model.num_params == 4064
    losses = model.train(300)
    assert len(losses) == 300
    assert losses[0] == pytest.approx(math.log(27), abs=0.1)
    assert sum(losses[-50:]) / 50 < 2.75  # who knows how frequent each letter is has 2.88
    written = model.generate(20)
    assert len(written) == 20
    assert all(re.fullmatch("[a-z]{0,8}", name) for name in written)


@pytest.mark.parametrize("engine", ["scalar", "vector"])
def test_stopping_and_going_on_changes_nothing(engine: str) -> None:
    whole = MicroGPT(FEW, engine=engine).train(20)
    model = MicroGPT(FEW, engine=engine)
    parts = model.train(20, stop_after=3) + model.train(20, stop_after=11) + model.train(20, stop_after=99)
    assert parts == whole
    with pytest.raises(CourseError, match="has made 20 steps, and was asked for 20 in all"):
        model.train(20)


def test_the_seed_decides_everything_and_the_common_generator_is_left_alone() -> None:
    random.seed(7)
    before = random.getstate()
    docs = list(FEW)
    runs = []
    for seed in (1, 1, 2):
        model = MicroGPT(docs, seed=seed, engine="vector")
        runs.append((model.train(5), model.generate(3), model.generate(3)))
    assert runs[0] == runs[1] != runs[2]
    assert runs[0][1] != runs[0][2]
    assert random.getstate() == before
    assert docs == FEW


@pytest.mark.parametrize("engine", ["scalar", "vector"])
def test_what_may_follow(engine: str) -> None:
    model = MicroGPT(["ab", "ab ", "", "ab"], engine=engine, block_size=4)
    model.train(150, stop_after=8)
    first = model.probabilities()
    assert list(first) == ["a", "b", ""]
    assert model.probabilities("", temperature=0.1)["a"] > first["a"]
    assert model.probabilities("", temperature=100)["a"] == pytest.approx(1 / 3, abs=0.05)
    model.train(150)
    first = model.probabilities()
    assert sum(first.values()) == pytest.approx(1)
    assert first["a"] > 0.9
    assert model.probabilities("a")["b"] > 0.9
    assert model.probabilities("ab")[""] > 0.9
    assert set(model.generate(5, temperature=0.1)) == {"ab"}
    before = model.probabilities("aba")
    assert model.probabilities("aba") == before  # looking changes nothing


def test_the_score_is_the_mean_over_all_predictions(names: list[str]) -> None:
    """Against one prediction after another, made from what may follow."""
    model = MicroGPT(names, engine="vector")
    model.train(100, stop_after=20)
    docs = ["ana", " o ", "maximilian"]
    costs = []
    for doc in ("ana", "o", "maximilian"):
        for i in range(min(len(doc) + 1, 8)):
            costs.append(-math.log(model.probabilities(doc[:i])[doc[i : i + 1]]))
    assert len(costs) == 4 + 2 + 8
    assert model.score(docs) == pytest.approx(sum(costs) / len(costs), abs=1e-12)
    scalar = MicroGPT(names)
    scalar.train(100, stop_after=20)
    assert scalar.score(docs) == pytest.approx(model.score(docs), abs=1e-12)
    losses = model.train(100)
    scalar_losses = scalar.train(100, stop_after=30)
    assert losses[:10] == pytest.approx(scalar_losses, abs=1e-9)  # scoring has left no gradients behind


REFUSED = {
    "an engine": (lambda: MicroGPT(FEW, engine="gpu"), "'scalar' or 'vector'; it is 'gpu'"),
    "no name of an engine": (lambda: MicroGPT(FEW, engine=[]), r"'scalar' or 'vector'; it is \[\]"),
    "ids": (lambda: MicroGPT(["anna", 7]), "should be a text, such as 'anna'; one is 7"),
    "one text": (lambda: MicroGPT("anna\nnana"), r"list of documents; it is one text.*splitlines"),
    "no document": (lambda: MicroGPT([]), "at least one document"),
    "blank documents": (lambda: MicroGPT([" ", ""]), "at least one document"),
    "heads": (lambda: MicroGPT(FEW, n_head=3), r"multiple of n_head \(3\); it is 16"),
    "no steps": (lambda: MicroGPT(FEW).train(0), "num_steps should be at least 1"),
    "half a step": (lambda: MicroGPT(FEW).train(10, stop_after=0.5), "stop_after should be a whole number, or None"),
    "a letter": (lambda: MicroGPT(FEW).probabilities("a!"), "'a!' has '!'"),
    "too much": (lambda: MicroGPT(FEW).probabilities("annaanna"), "sees 7 letters at most; 'annaanna' has 8"),
    "cold": (lambda: MicroGPT(FEW).generate(1, temperature=0), "temperature should be above 0; it is 0"),
    "not a number": (lambda: MicroGPT(FEW).probabilities(temperature=math.nan), "temperature should be above 0"),
    "no rate": (lambda: MicroGPT(FEW).train(2, max_lr=0.0), "max_lr should be above 0, such as 0.01; it is 0.0"),
    "one step too many": (lambda: MicroGPT(FEW).train_step(0), "has made 0 steps, and was asked for 0 in all"),
    "nothing to score": (lambda: MicroGPT(FEW).score([]), "at least one document"),
    "a letter to score": (lambda: MicroGPT(FEW).score(["a!"]), "'a!' has '!'"),
    "no samples": (lambda: MicroGPT(FEW).generate(0), "count should be at least 1"),
}


@pytest.mark.parametrize(("call", "message"), REFUSED.values(), ids=REFUSED)
def test_bad_input_is_refused_in_words(call: object, message: str) -> None:
    with pytest.raises(CourseError, match=message):
        call()


@pytest.mark.parametrize("module", [value, loop, names_module], ids=["value", "loop", "names"])
def test_the_examples_in_the_docstrings_hold(module: ModuleType) -> None:
    failed, tried = doctest.testmod(module)
    assert (failed, tried > 0) == (0, True)


def test_it_needs_the_standard_library_alone(tmp_path: Path) -> None:
    """With -S no installed package is in reach; that torch is not there is checked as well."""
    code = (
        "import importlib.util; assert importlib.util.find_spec('torch') is None\n"
        "from course_lib.models.micro import MicroGPT\n"
        "from course_lib.corpora.names import given_names\n"
        "for engine in ('scalar', 'vector'):\n"
        "    model = MicroGPT(given_names(), engine=engine)\n"
        "    print(len(model.train(2)), len(model.generate(1)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-S", "-c", code],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "2 1\n2 1\n"
