"""``course record``: what it measures, under which name, and that it asks for what it needs before it begins."""

import json
import math
from pathlib import Path

import pytest
import torch

from course_lib import measurements, reference
from course_lib.cli import main as course
from course_lib.corpora import Grade, Part
from course_lib.data import datasets, load_text
from course_lib.data.datasets import CORPORA, Corpus
from course_lib.errors import CourseError
from course_lib.measurements import differences, ladder, optimizers, runs, seeds, vocabularies, writing
from course_lib.models.micro import MicroGPT
from course_lib.models.partial import LADDER
from course_lib.optim import set_lr
from course_lib.recipes import Recipe, load_recipe, names
from course_lib.recipes.build import build_trainer

pytestmark = pytest.mark.usefixtures("one_thread")

TINY = Recipe("tiny", dict(
    dataset="numbers", n_layer=1, n_head=2, n_embd=16, block_size=16, batch_size=2, max_steps=25, eval_every=10,
    eval_batches=1, device="cpu",
))  # fmt: skip


def test_each_seed_is_a_run_of_the_recipe(project):
    seconds, details = seeds.measure_seeds(TINY, 2)
    assert len(seconds) == 2
    assert details["recipe"] == "tiny"
    assert details["settings"] == TINY.settings
    assert details["seeds"] == [1, 2]
    for rows, loss in zip(details["rows"], details["val_loss"], strict=True):
        assert [row["step"] for row in rows] == [0, 9, 10, 19, 20, 24]
        assert rows[-1]["val_loss"] == loss
        assert rows[0]["train_loss"] == pytest.approx(math.log(24), abs=0.2)
    assert details["rows"][0] != details["rows"][1]
    assert "sentence_share" not in details, "nobody can judge these sentences"
    assert seeds.measure_seeds(TINY, 1)[1]["rows"] == details["rows"][:1], "the same for a seed"
    assert not (project / "runs").exists()


def test_where_a_grammar_can_judge_its_verdict_is_kept(project, monkeypatch):
    graded: list[str] = []

    def grade(text: str) -> Grade:
        graded.append(text)
        return Grade(text, (Part(0, 5, None), Part(5, 9, "a fault"), Part(9, 12, "a fault")), ())

    monkeypatch.setitem(CORPORA, "judged", Corpus(CORPORA["numbers"].read, "char", "x", start="one", grade=grade))
    monkeypatch.setattr(writing, "SAMPLE_LENGTH", 40)
    monkeypatch.setattr(writing, "SAMPLES", 2)
    details = seeds.measure_seeds(TINY.replace(dataset="judged"), 2)[1]
    assert details["sentence_share"] == [0.3333, 0.3333]
    assert [len(text) for text in graded] == [40] * 4, "two samples of each seed; the prompt is not judged"
    assert len(set(graded)) == 4
    trainer = build_trainer(TINY.replace(dataset="judged"))
    for seed in (1, 2, 1):
        writing.sentence_share(trainer, "judged", seed)
    assert graded[4:6] == graded[8:10] != graded[6:8], "the draws are the seed's"


def test_a_model_that_finishes_no_sentence_has_no_right_one(project, monkeypatch):
    monkeypatch.setitem(
        CORPORA, "judged", Corpus(CORPORA["numbers"].read, "char", "x", grade=lambda text: Grade(text, (), ()))
    )
    trainer = build_trainer(TINY.replace(dataset="judged"))
    assert writing.sentence_share(trainer, "judged", seed=1) == 0.0


RATES = {"adamw": (0.001, 0.01), "muon": (0.01, 0.02), "adamw_own_rates": (0.002, 1e30)}


def test_optimizers_are_compared_each_at_its_best_rate(project, monkeypatch):
    monkeypatch.setattr(optimizers, "LRS", RATES)
    recipe = TINY.replace(optimizer="muon", head_lr_scale=0.3, max_steps=12, eval_every=6)
    seconds, details = optimizers.measure_optimizers(recipe, 2)
    assert len(seconds) == len(details["seeds"]) == 2
    for name, rates in RATES.items():
        losses = details["sweep"][name]
        assert list(losses) == [str(rate) for rate in rates]
        known = {rate: losses[str(rate)] for rate in rates if losses[str(rate)] is not None}
        assert details["best_lr"][name] == min(known, key=known.get)
        own = "" if name == "muon" else f"{name}_"
        assert len(details[f"{own}val_loss"]) == len(details[f"{own}step_seconds"]) == 2
        for rows, loss in zip(details[f"{own}rows"], details[f"{own}val_loss"], strict=True):
            assert (rows[-1]["step"], rows[-1]["val_loss"]) == (11, loss)
    assert details["sweep"]["adamw_own_rates"]["1e+30"] is None, "a run that explodes ends, and has no loss"
    alone = build_trainer(recipe.replace(optimizer="adamw", max_lr=details["best_lr"]["adamw"], seed=2))
    assert details["adamw_val_loss"][1] == round(list(alone)[-1].val_loss, 4)


def test_with_rates_of_its_own_adamw_changes_the_hidden_matrices_only(project):
    recipe = TINY.replace(optimizer="muon", max_lr=0.02, head_lr_scale=0.3, weight_decay=0.1)
    trainer = build_trainer(recipe)
    before = {id(p): group for group in trainer.optimizer.param_groups for p in group["params"]}
    optimizer = optimizers._adamw_for_matrices(trainer, 0.004)
    set_lr(optimizer, 0.02)
    assert isinstance(optimizer, torch.optim.AdamW)
    assert sum(len(group["params"]) for group in optimizer.param_groups) == len(before)
    for group in optimizer.param_groups:
        old = before[id(group["params"][0])]
        assert group["weight_decay"] == old["weight_decay"]
        expected = 0.02 * old["lr_scale"] if "lr_scale" in old else 0.004
        assert group["lr"] == pytest.approx(expected)


def test_the_ladder_is_measured_rung_by_rung(project):
    recipe = TINY.replace(optimizer="muon", max_steps=4, eval_every=4, n_layer=2, n_head=4)
    seconds, details = ladder.measure_ladder(recipe, 2)
    rungs = [rung.name for rung in LADDER]
    assert details["ladder"] == rungs
    assert len(seconds) == len(details["seeds"]) == 2
    assert all(len(details[name]) == 2 for name in (*rungs, "without positions"))
    assert details["weights"][0] == 2 * 24 * 16 + 16
    whole = build_trainer(recipe.replace(seed=2))
    assert details["weights"][-1] == whole.model.num_parameters()
    assert details["val_loss"] == details[rungs[-1]]
    assert details["val_loss"][1] == round(list(whole)[-1].val_loss, 4), "the last rung is the recipe's own run"
    assert details["a bigram"][0] != details["a bigram"][1]


def test_what_each_way_of_drawing_writes_is_surveyed_for_each_seed(project, monkeypatch):
    """Against the part of the text that was trained on, with the settings that are named, from the start of a story."""
    asked: list[tuple[list[str], str]] = []

    def survey(texts, source, grade):
        asked.append((texts, source))
        return {"sentences": len(asked)}

    monkeypatch.setattr(writing, "survey", survey)
    monkeypatch.setattr(writing, "SAMPLE_LENGTH", 30)
    monkeypatch.setattr(writing, "SAMPLES", 2)
    monkeypatch.setattr(writing, "WRITING", {"greedy": {"temperature": 0.0}, "free": {"top_p": 0.9}})
    seconds, details = writing.measure_writing(TINY.replace(eval_every=25), 2)
    assert len(seconds) == len(details["val_loss"]) == 2
    assert details["seeds"] == [1, 2]
    assert details["grammar"] == {"sentences": 1}
    assert details["writing"] == [{"greedy": {"sentences": n}, "free": {"sentences": n + 1}} for n in (2, 4)]
    text = CORPORA["numbers"].read().decode()
    assert {source for _, source in asked} == {text[: len(text) * 9 // 10]}
    (grammar, _), *written = asked
    assert all(len(text) >= 30 for text in grammar)
    assert len(set(grammar)) == 2
    assert all(len(text) == 30 for texts, _ in written for text in texts)
    greedy, free = written[0][0], written[1][0]
    assert greedy[0] == greedy[1]
    assert free[0] != free[1]
    assert details["samples"] == {"greedy": greedy[0], "free": free[0]}, "of the first seed"


def test_microgpt_is_measured_at_two_lengths(project, monkeypatch):
    monkeypatch.setattr(measurements.names, "LADDERS", {"short": (1, 4), "long": (1, 3, 8)})
    monkeypatch.setattr(measurements.names, "INVENTED", 5)
    seconds, details = measurements.plan("chapter_00", None, 2)[1]()
    assert len(seconds) == 2
    assert details["seeds"] == [1, 2]
    assert details["held_out"] + details["training"] == len(load_text("names").split())
    assert [len(ladder) for ladder in details["ladder"]] == [2, 2]
    assert [len(ladder) for ladder in details["long_ladder"]] == [3, 3]
    assert details["val_loss"] == [ladder[-1] for ladder in details["ladder"]]
    assert details["long_val_loss"] == [ladder[-1] for ladder in details["long_ladder"]]
    assert all(0 <= share <= 1 for share in details["new_share"] + details["long_new_share"])
    # By hand, for the first seed: the held-out names are not among those that are trained on.
    names = load_text("names").split()
    model = MicroGPT([name for i, name in enumerate(names) if i % 40], seed=1, engine="vector")
    model.train(4)
    assert details["val_loss"][0] == pytest.approx(model.score(names[::40]), abs=1e-4)


@pytest.fixture
def two_texts(project, monkeypatch) -> Recipe:
    """A recipe of byte pairs on a text, which is compared on another, too; and on one that cannot be had."""
    texts = {"names": (260,), "numbers": (270, 300), "holmes": (270,)}
    monkeypatch.setattr(vocabularies, "VOCABULARIES", texts)
    schedule = dict(schedule="trapezoid", warmup_steps=2, cooldown_steps=6, max_steps=8, optimizer="muon")
    return TINY.replace(tokenizer="bpe", bpe_vocab_size=300, tie_weights=False, **schedule)


def test_ways_of_cutting_a_text_are_compared_at_equal_compute(two_texts, capsys):
    seconds, details = vocabularies.measure_vocabularies(two_texts, 2)
    assert "holmes is left out" in capsys.readouterr().err
    assert list(details["forms"]) == ["names", "numbers"]
    ways = ["characters", "characters, longer view", "bytes"]
    assert [form["name"] for form in details["forms"]["numbers"]] == [*ways, "byte pairs, 270", "byte pairs, 300"]
    own = details["forms"]["numbers"][-1]
    assert (details["val_loss"], seconds) == (own["nats_per_token"], own["seconds"])
    assert (own["flops"], own["max_steps"]) == (details["flops"], 8)
    alone = list(build_trainer(two_texts.replace(seed=2)))
    assert details["val_loss"][1] == round(alone[-1].val_loss, 4), "the recipe's own form is its own run"
    assert details["settings"] == two_texts.settings
    text = {name: load_text(name) for name in details["forms"]}
    for name, forms in details["forms"].items():
        assert [form["vocab_size"] for form in forms[2:]] == [256, *vocabularies.VOCABULARIES[name]]
        for form in forms:
            T, C = form["block_size"], 16
            B = max(1, round(2 * 16 / T))  # a step takes about as many tokens, whatever the view
            head, blocks = C * form["vocab_size"], 12 * C * C  # by hand: attention 4 C x C, the MLP 8
            per_token = 6 * (blocks + head) + 12 * C * T  # of one layer
            assert form["head_share"] == pytest.approx(6 * head / per_token, abs=1e-4)
            assert form["tokens"] == form["max_steps"] * B * T
            assert form["flops"] == form["tokens"] * per_token
            assert abs(form["flops"] - details["flops"]) <= per_token * B * T / 2, "within a step, to either side"
            assert len(form["bits_per_byte"]) == len(form["seconds"]) == 2
            n_bytes = len(text[name][int(len(text[name]) * 0.9) :].encode())
            n_tokens = round(n_bytes / form["bytes_per_token"])
            for bits, nats in zip(form["bits_per_byte"], form["nats_per_token"], strict=True):
                assert bits == pytest.approx(nats * n_tokens / (n_bytes * math.log(2)), abs=2e-3)
        by_letters, longer, *_, pairs = forms
        assert by_letters["block_size"] == pairs["block_size"] == 16
        assert name != "numbers" or longer["block_size"] == round(16 * own["bytes_per_token"])
        assert by_letters["bits_per_byte"][0] != by_letters["bits_per_byte"][1], "the seeds differ"


def test_a_schedule_keeps_its_shares_of_a_run_of_another_length(two_texts):
    flops = runs.run_flops(build_trainer(two_texts))
    forms = vocabularies._forms(two_texts, (300,), 2 * flops)
    train = forms[-1].recipe.train
    assert (train.max_steps, train.warmup_steps, train.cooldown_steps, train.eval_every) == (16, 4, 12, 0)
    without = vocabularies._forms(two_texts.replace(cooldown_steps=None), (300,), flops / 4)
    train = without[-1].recipe.train
    assert (train.max_steps, train.warmup_steps, train.cooldown_steps) == (2, 0, None)


def test_every_recording_has_a_recipe_that_exists():
    for name, recording in measurements.RECORDINGS.items():
        assert recording.minutes > 0
        if recording.recipe in names():
            assert measurements.plan(name, None, 1)[0] == name
    assert measurements.plan("seeds", "numbers_cpu", 1)[0] == "numbers_cpu_seeds"


def test_a_recording_knows_from_how_many_seeds_it_is_made(project, tiny_file, monkeypatch):
    monkeypatch.setattr(reference, "BUNDLED", project / "nowhere" / "course_lib" / "reference")
    recording = measurements.Recording("x", 1, seeds.measure_seeds, seeds=2)
    monkeypatch.setitem(measurements.RECORDINGS, "seeds", recording)
    assert course(["record", "seeds", "--recipe", str(tiny_file)]) == 0
    content = reference.recorded("tiny_seeds").content
    assert content["details"]["seeds"] == [1, 2]
    assert content["command"] == "course record seeds --recipe tiny.toml --seeds 2", "whoever repeats it gets the same"


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (("tinytale_seeds", None, 5), "did you mean 'tinytales_seeds'"),
        (("seeds", None, 5), "also needs --recipe"),
        (("seeds", "number_cpu", 5), "did you mean 'numbers_cpu'"),
        (("tinytales_seeds", "numbers_cpu", 5), "always made with tinytales_cpu"),
        (("tinytales_seeds", None, 0), "seeds should be at least 1"),
        (("chapter_00", "numbers_cpu", 5), "chapter_00 is made without a recipe"),
        (("sprite_order", "numbers_cpu", 3), "sprite_order is made without a recipe"),
        (("chapter_00", None, 0), "seeds should be at least 1"),
    ],
)
def test_what_does_not_go_together_is_told_at_once(asked, words):
    with pytest.raises(CourseError, match=words):
        measurements.plan(*asked)


@pytest.fixture
def tiny_file(project: Path) -> Path:
    lines = [f"{name} = {json.dumps(value)}\n" for name, value in TINY.settings.items()]
    (project / "tiny.toml").write_text("".join(lines))
    return project / "tiny.toml"


def test_the_command_keeps_a_record_that_a_notebook_can_read(project, tiny_file, monkeypatch, capsys):
    monkeypatch.setattr(reference, "BUNDLED", project / "nowhere" / "course_lib" / "reference")
    assert course(["record", "seeds", "--recipe", str(tiny_file), "--seeds", "1"]) == 0
    path = project / "data" / "reference" / "tiny_seeds.json"
    assert str(path) in capsys.readouterr().out
    record = reference.recorded("tiny_seeds")
    assert record.content["command"] == "course record seeds --recipe tiny.toml --seeds 1", "no path of one machine"
    assert record.content["benchmark"] == "tiny_seeds"
    assert {"machine", "versions", "date"} <= record.content.keys()
    assert record.values("seeds") == [1]
    assert len(record.content["runs"]["course"]) == 1


def test_a_recording_that_is_cut_off_leaves_the_old_one(project, tiny_file, monkeypatch, capsys):
    out = project / "kept.json"
    command = ["record", "seeds", "--recipe", str(tiny_file), "--seeds", "1", "--out", str(out)]
    assert course(command) == 0
    before = out.read_text()
    batches = 0

    def stop(*args):
        nonlocal batches
        batches += 1
        if batches > 5:
            raise KeyboardInterrupt
        return torch.zeros(2, 16, dtype=torch.long), torch.zeros(2, 16, dtype=torch.long)

    monkeypatch.setattr("course_lib.data.batcher.Batcher.batch", stop)
    assert course(command) == 130
    assert batches == 6
    assert out.read_text() == before


def test_a_file_that_cannot_be_written_is_told_before_the_first_step(project, tiny_file, monkeypatch, capsys):
    def too_late(*args):
        raise AssertionError("it has begun to measure")

    monkeypatch.setitem(measurements.RECORDINGS, "seeds", measurements.Recording("x", 1, too_late))
    assert course(["record", "seeds", "--recipe", str(tiny_file), "--out", str(project)]) == 2
    assert "Cannot write" in capsys.readouterr().err


def test_without_a_name_it_lists_what_there_is(project, monkeypatch, capsys):
    monkeypatch.setattr(reference, "BUNDLED", project / "reference")
    (project / "reference").mkdir()
    assert course(["record"]) == 0
    printed = capsys.readouterr().out
    for name, recording in measurements.RECORDINGS.items():
        assert f"  {name}" in printed
        assert f"about {recording.minutes:g} minutes for {recording.seeds} seed" in printed
    assert "not recorded yet" in printed


def test_an_unknown_record_is_told(capsys):
    assert course(["record", "tinytale_seeds"]) == 2
    assert "did you mean 'tinytales_seeds'" in capsys.readouterr().err


def test_the_corpus_module_is_the_one_that_is_patched():
    """The fixtures above plant a corpus; this would be in vain if records looked elsewhere."""
    assert seeds.find_corpus is datasets.find_corpus
    assert load_recipe("numbers_cpu").data.dataset == "numbers"


@pytest.fixture
def patches() -> Recipe:
    """AGIFORMER on a text of 41 bytes for validation: two windows of 16, and one of 8."""
    shape = dict(kind="agiformer", n_layer=1, n_head=2, n_embd=16, n_hidden=8, window_size=4, block_size=16)
    return Recipe("patches", shape | dict(dataset="text:a.txt", tokenizer="byte", batch_size=2, max_steps=3,
                                          max_lr=0.01, eval_every=0, device="cpu"))  # fmt: skip


@pytest.fixture
def a_text(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project)
    Path("a.txt").write_text(load_text("numbers")[:410])


@pytest.mark.usefixtures("a_text")
def test_the_original_is_approached_difference_by_difference(patches: Recipe) -> None:
    _, details = differences.measure_differences(patches, 2)
    assert list(details["forms"]) == ["original", "position", "own_start", "init"]
    assert list(details["forms"].values()) == [
        {"position": "patch", "own_start": False, "init": "torch"}, {"own_start": False, "init": "torch"},
        {"init": "torch"}, {},
    ]  # fmt: skip
    both = differences.measure_original(patches, 1)[1]["bits_per_byte"]
    found = details["bits_per_byte"]
    assert both == {"original": found["original"][:1], "default": found["init"][:1]}, "each is a run of its own"
    assert len({score for scores in found.values() for score in scores}) == 8
    assert details["mean_bits_per_byte"]["init"] == pytest.approx(sum(found["init"]) / 2, abs=1e-4)
    alone = build_trainer(patches.replace(seed=2))
    assert details["val_loss"][1] == round(list(alone)[-1].val_loss, 4), "the default is the recipe's own run"


@pytest.mark.usefixtures("a_text")
def test_what_the_original_does_not_predict_is_not_judged(patches: Recipe) -> None:
    """Against sums by hand, byte by byte. 41 bytes are two windows of 16 guesses, and one of 8."""
    trainer = build_trainer(patches)
    nats, late, judged = differences.scores(trainer, trainer.val_batches.windows())
    assert nats == pytest.approx(trainer.evaluate(), abs=1e-5)
    ids = torch.from_numpy(trainer.val_batches.tokens.astype("int64"))
    model, each = trainer.model.eval(), []
    for start, end in ((0, 16), (16, 32), (32, 40)):
        scores = torch.log_softmax(model(ids[None, start:end]).detach()[0], dim=-1)
        each += [-scores[t, ids[start + t + 1]].item() for t in range(3, end - start)]
    assert judged == len(each) == 31
    assert late == pytest.approx(sum(each) / 31, abs=1e-5)
