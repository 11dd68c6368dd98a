"""AGIFORMER's tuning guide and its peers, as ``course record`` measures them: against plain runs and sums by hand."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from course_lib import measurements
from course_lib.data import load_text, prepared_for
from course_lib.errors import CourseError
from course_lib.losses import bits_per_byte
from course_lib.measurements import guide, lengths, optimizers, peers, runs
from course_lib.models import build_model
from course_lib.recipes import Recipe, load_recipe
from course_lib.recipes.build import build_trainer
from course_lib.training import Trainer

pytestmark = pytest.mark.usefixtures("one_thread")

SHAPE = dict(kind="agiformer", n_layer=1, n_head=1, n_embd=32, n_hidden=16, window_size=4, block_size=16, dropout=0.0)
TRAIN = dict(batch_size=2, max_steps=8, max_lr=0.01, warmup_steps=1, grad_clip=0.5, eval_every=0, device="cpu")


@pytest.fixture
def recipe(project: Path) -> Recipe:
    """An AGIFORMER on a text whose last 300 characters are for validation; some of them have two or three bytes."""
    text = load_text("numbers")[:2700] + (" and café ∑ naïve " + load_text("numbers")[5000:])[:300]
    Path("a.txt").write_text(text, encoding="utf-8")
    return Recipe("small", SHAPE | TRAIN | dict(dataset="text:a.txt", tokenizer="byte", bpe_vocab_size=270))


def records(recipe: Recipe, **changes: object) -> list:
    return list(build_trainer(recipe.replace(**changes)))


# The tuning guide -----------------------------------------------------------------------------------------


@pytest.fixture
def short_guide(monkeypatch: pytest.MonkeyPatch) -> None:
    values = {"max_lr": (0.001, 0.01, 1e30), "grad_clip": (0.01, 100.0), "thinking_steps": (0, 3, 5)}
    monkeypatch.setattr(guide, "GUIDE", values)


@pytest.mark.usefixtures("short_guide")
def test_each_value_of_the_guide_is_a_plain_run_that_differs_in_it_alone(recipe: Recipe) -> None:
    seconds, details = guide.measure_guide(recipe, 2)
    found = {name: {entry["value"]: entry for entry in entries} for name, entries in details["guide"].items()}
    assert {name: list(values) for name, values in found.items()} == {
        "max_lr": [0.001, 0.01, 1e30],
        "grad_clip": [0.01, 0.5, 100.0],  # the recipe's own is among them, whether the guide names it or not
        "thinking_steps": [0, 3, 5],
    }
    assert details["seeds"] == [1, 2]
    assert len(seconds) == 2
    for name, values in found.items():
        for value, entry in values.items():
            if value == 1e30:
                continue
            for i, seed in enumerate((1, 2)):
                rows = records(recipe, seed=seed, **{name: value})
                clip = value if name == "grad_clip" else 0.5
                norms = [row.grad_norm for row in rows]
                assert entry["bits_per_byte"][i] == pytest.approx(rows[-1].val_loss / math.log(2), abs=1e-4)
                assert entry["clipped"][i] == sum(norm > clip for norm in norms) / 8
                assert entry["largest_grad_norm"][i] == pytest.approx(max(norms), abs=1e-4)
                assert entry["steps"][i] == 8
                assert entry["step_seconds"][i] > 0
                if seed == 1:
                    assert [row["step"] for row in entry["rows"]] == [0, 7]
                    assert entry["rows"][0]["train_loss"] == round(rows[0].train_loss, 4)
            assert entry["mean_bits_per_byte"] == pytest.approx(sum(entry["bits_per_byte"]) / 2, abs=1e-4)
    assert {entry["clipped"][0] for entry in found["grad_clip"].values()} >= {0.0, 1.0}, "both ends are seen"


@pytest.mark.usefixtures("short_guide")
def test_the_recipes_own_point_stands_in_every_list_and_is_run_once(
    recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    built: list[tuple] = []

    def build(asked: Recipe) -> Trainer:
        built.append(tuple(asked.settings[name] for name in ("seed", "max_lr", "grad_clip")))
        return build_trainer(asked)

    monkeypatch.setattr(guide, "build_trainer", build)
    details = guide.measure_guide(recipe, 2)[1]
    lists = details["guide"].values()
    assert len(built) == 2 * (sum(map(len, lists)) - 2)
    own = [next(entry for entry in entries if entry["value"] in (0.01, 0.5, 3)) for entries in lists]
    own[1] = next(entry for entry in details["guide"]["grad_clip"] if entry["value"] == 0.5)
    assert len({json.dumps(entry | {"value": None}, sort_keys=True) for entry in own}) == 1
    assert details["val_loss"] == [round(records(recipe, seed=seed)[-1].val_loss, 4) for seed in (1, 2)]
    assert [rows[-1]["val_loss"] for rows in details["rows"]] == details["val_loss"]
    flops = {entry["value"]: entry["flops_per_byte"] for entry in details["guide"]["thinking_steps"]}
    of_one_thought = 6 * (8 + 1) * 32 * 32 / 4  # its MLP and its gate, once for four bytes
    assert (flops[3] - flops[0]) / 3 == (flops[5] - flops[3]) / 2 == of_one_thought


@pytest.mark.usefixtures("short_guide")
def test_a_run_that_explodes_has_no_score_and_the_others_go_on(recipe: Recipe) -> None:
    details = guide.measure_guide(recipe.replace(warmup_steps=2), 1)[1]
    *fine, exploded = details["guide"]["max_lr"]
    assert exploded["bits_per_byte"] == [None]
    assert exploded["mean_bits_per_byte"] is None
    assert exploded["steps"][0] < 8
    assert len(exploded["rows"]) >= 1
    assert all(entry["steps"] == [8] and math.isfinite(entry["bits_per_byte"][0]) for entry in fine)
    json.dumps(details, allow_nan=False)  # NaN and Infinity are no JSON


@pytest.mark.parametrize("measure", [guide.measure_guide, optimizers.measure_optimizers, peers.measure_peers])
def test_an_error_that_is_no_divergence_is_not_taken_for_one(
    recipe: Recipe, measure, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*args: object) -> None:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory")

    monkeypatch.setattr("course_lib.data.batcher.Batcher.batch", full)
    with pytest.raises(CourseError, match="out of memory"):
        measure(recipe, 1)


def test_what_is_left_of_a_run_that_explodes(recipe: Recipe) -> None:
    rows = runs.rows_of(build_trainer(recipe.replace(max_lr=1e30)))
    assert 0 < len(rows) < 8
    assert all(math.isfinite(row["train_loss"]) for row in rows)
    assert runs.step_seconds(rows[:1]) is None


def test_the_guides_recording_asks_what_the_document_speaks_of() -> None:
    recording = measurements.RECORDINGS["agiformer_guide"]
    asked = load_recipe(recording.recipe).replace(**recording.changes)
    lists = guide.points(asked)
    assert {name: list(values) for name, values in lists.items()} == {
        "max_lr": [3e-5, 3e-4, 3e-3], "grad_clip": [0.1, 0.5, 2.0], "thinking_steps": [0, 1, 3, 5],
    }  # fmt: skip
    assert len({id(point) for values in lists.values() for point in values.values()}) == 8
    assert [point.changes for values in lists.values() for point in values.values()].count({}) == 3
    train = asked.train
    assert (train.max_steps, train.schedule, train.warmup_steps, train.eval_batches) == (500, "constant", 100, None)


def test_the_long_recording_is_the_documents_run() -> None:
    """Against the document: its small size, and what stands in its list of settings."""
    recording = measurements.RECORDINGS["agiformer_long"]
    asked = load_recipe(recording.recipe).replace(**recording.changes)
    model, train = asked.model(256), asked.train
    assert (model.n_embd, model.n_layer, model.n_head, model.patch_size, model.window_size) == (256, 4, 8, 4, 128)
    assert (model.thinking_steps, model.block_size, model.dropout) == (3, 1024, 0.1)
    assert (train.batch_size, train.grad_accum, train.max_steps, train.max_lr) == (4, 1, 5000, 3e-4)
    assert (train.warmup_steps, train.grad_clip, train.weight_decay, train.optimizer) == (100, 0.5, 0.01, "adamw")
    assert (train.schedule, train.eval_every, train.eval_batches, asked.data.dataset) == (
        *("constant", 500, None, "wikitext"),
    )


# The peers ------------------------------------------------------------------------------------------------


@pytest.fixture
def few_rates(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers, "LRS", {"adamw": (0.003, 1e30), "muon": (0.001, 0.02)})


def test_peers_cost_the_same_or_are_as_large(recipe: Recipe) -> None:
    own, thoughtless, *gpts = [peer.found for peer in peers.peers(recipe)]
    assert (own["kind"], own["equal"], own["max_steps"]) == ("agiformer", None, 8)
    assert own["bytes"] == own["tokens"] == 8 * 2 * 16
    assert own["weights"] == build_trainer(recipe).model.num_parameters()
    per_byte = own["flops"] / own["bytes"] - 3 * 6 * (8 + 1) * 32 * 32 / 4  # a step of thinking: its MLP and its gate
    assert thoughtless["flops"] == pytest.approx(per_byte * thoughtless["bytes"])
    assert thoughtless["max_steps"] == round(8 * own["flops"] / own["bytes"] / per_byte) > 8
    assert [(gpt["tokenizer"], gpt["equal"]) for gpt in gpts] == [
        (cut, equal) for cut in ("byte", "bpe") for equal in ("compute", "weights")
    ]
    for gpt in gpts:
        T, C, L, V = (gpt[name] for name in ("block_size", "n_embd", "n_layer", "vocab_size"))
        assert (256 if gpt["tokenizer"] == "byte" else 270) == V
        matrices = L * 12 * C * C + C * V  # by hand: attention 4 C x C, the MLP 8, and the head
        assert gpt["weights"] == matrices + C * V + (2 * L + 1) * C, "the table, and the gains of RMSNorm"
        per_token = 6 * matrices + 12 * L * C * T
        assert gpt["flops"] == per_token * gpt["tokens"]
        assert gpt["tokens"] == gpt["max_steps"] * 2 * T
        bytes_per_token = gpt["bytes"] / gpt["tokens"]
        assert round(16 / bytes_per_token) == T, "a window covers as much text"
        if gpt["equal"] == "compute":
            assert (C, L) == (32, 1)
            assert abs(gpt["flops"] - own["flops"]) <= per_token * 2 * T / 2, "within half a step"
        else:
            assert abs(gpt["weights"] / own["weights"] - 1) <= 0.03
            assert abs(gpt["bytes"] - own["bytes"]) <= bytes_per_token * 2 * T / 2 + 1


def test_the_recorded_peers_are_as_large_too() -> None:
    """By hand for the sizes of the record: 1,040,384 weights, of which any cut can be counted without its text."""
    recording = measurements.RECORDINGS["agiformer_peers"]
    asked = load_recipe(recording.recipe).replace(**recording.changes)
    assert build_model(asked.model(256)).num_parameters() == 1_040_384
    assert (asked.train.max_steps, asked.train.batch_size * asked.all_settings()["block_size"]) == (500, 4096)
    assert asked.train.max_lr in peers.LRS["adamw"]
    assert load_recipe(peers.GPT_RECIPE).train.max_lr in peers.LRS["muon"]
    gpt = load_recipe(peers.GPT_RECIPE).replace(n_layer=2, n_embd=128, n_head=4, block_size=97)
    for vocab_size, width in ((256, 200), (1024, 168)):
        shape = peers.shape_of(1_040_384, gpt, vocab_size)
        assert shape == {"n_layer": 2, "n_embd": width}
        weights = 2 * 12 * width**2 + 2 * width * vocab_size + 5 * width
        assert abs(weights / 1_040_384 - 1) <= 0.03
        assert all(
            abs(2 * 12 * C**2 + 2 * C * vocab_size + 5 * C - 1_040_384) > abs(weights - 1_040_384)
            for C in range(8, 400, 8)
            if width != C
        ), "no other width comes nearer"
    deeper = peers.shape_of(1_040_384, gpt.replace(n_head=16), 256)  # widths come in steps of 32
    assert deeper["n_layer"] > 2
    assert deeper["n_embd"] % 32 == 0
    with pytest.raises(CourseError, match="No GPT of 2 to 6 layers has 3000 weights within 3%"):
        peers.shape_of(3000, gpt, 256)


def by_hand(trainer: Trainer, texts: list[bytes], skipped: int) -> float:
    """Bits per byte behind the first ``skipped`` bytes, target by target; ``texts`` has the bytes of each token."""
    ids, T = np.array(trainer.val_batches.tokens), trainer.batches.block_size
    assert len(ids) == len(texts)
    nats = n_bytes = place = 0
    scores: dict[int, float] = {}
    for start in range(0, len(ids) - 1, T):
        x = torch.from_numpy(ids[start : start + T].astype("int64"))[: len(ids) - 1 - start]
        logits = trainer.model.eval()(x[None]).detach()[0].double()
        for t in range(len(x)):
            scores[start + t + 1] = -torch.log_softmax(logits[t], dim=-1)[int(ids[start + t + 1])].item()
    for i, text in enumerate(texts):
        if place >= skipped:
            nats += scores[i]
            n_bytes += len(text)
        place += len(text)
    return bits_per_byte(nats, 1, n_bytes)


@pytest.mark.usefixtures("few_rates")
def test_all_are_judged_by_the_same_bytes(recipe: Recipe) -> None:
    """Against a sum by hand, target by target; the settings are those that a run of seed 0 finds best."""
    seconds, details = peers.measure_peers(recipe, 2)
    text = Path("a.txt").read_text(encoding="utf-8")
    part = text[int(len(text) * 0.9) :].encode()
    pieces = prepared_for(recipe.data.replace(tokenizer="bpe"))
    cut = [pieces.tokenizer.vocab[int(i)] for i in np.fromfile(pieces.path("val"), dtype="<u2")]
    assert b"".join(cut) == part
    assert len(cut[0]) > 1, "else there would be nothing to make the same"
    assert details["judged"] == len(part) - len(cut[0])
    assert len(seconds) == 2
    for peer, found in zip(peers.peers(recipe), details["peers"], strict=True):
        texts = cut if found["tokenizer"] == "bpe" else [part[i : i + 1] for i in range(len(part))]
        for seed, bits in ((1, found["bits_per_byte"][0]), (2, found["bits_per_byte"][1])):
            trainer = build_trainer(peer.recipe.replace(seed=seed, **found["best"]))
            list(trainer)
            assert bits == pytest.approx(by_hand(trainer, texts, len(cut[0])), abs=1e-4), found["name"]
        assert found["mean_bits_per_byte"] == pytest.approx(sum(found["bits_per_byte"]) / 2, abs=1e-4)
        assert found["bits_per_byte"][0] != found["bits_per_byte"][1]
    own = details["peers"][0]
    assert details["val_loss"] == pytest.approx([bits * math.log(2) for bits in own["bits_per_byte"]], abs=1e-4)
    assert [rows[-1]["val_loss"] for rows in details["rows"]] == details["val_loss"]
    json.dumps(details, allow_nan=False)


@pytest.mark.usefixtures("few_rates")
def test_each_model_has_the_rate_that_is_best_for_it(recipe: Recipe) -> None:
    details = peers.measure_peers(recipe, 1)[1]
    own, thoughtless, *gpts = details["peers"]
    assert (thoughtless["tried"], thoughtless["best"]) == ([], own["best"])
    assert [(tried["optimizer"], tried["max_lr"]) for tried in own["tried"]] == [
        *(("adamw", 0.003), ("adamw", 1e30), ("muon", 0.001), ("muon", 0.02)),
    ]
    assert own["tried"][1]["bits_per_byte"] is None, "a run that explodes is not the best"
    for found in (own, *gpts):
        scored = [tried for tried in found["tried"] if tried["bits_per_byte"] is not None]
        best = min(scored, key=lambda tried: tried["bits_per_byte"])
        assert found["best"] == {name: value for name, value in best.items() if name != "bits_per_byte"}
    for gpt in gpts:
        assert [(tried["optimizer"], tried["max_lr"]) for tried in gpt["tried"]] == [("muon", 0.001), ("muon", 0.02)]
    plain = peers.peers(recipe)[2]
    judged = peers.judged_by(recipe)
    assert gpts[0]["tried"][0]["bits_per_byte"] == peers._run(plain, plain.tried[0], 0, judged)[0], "of seed 0"


@pytest.mark.usefixtures("few_rates")
def test_one_that_was_cut_off_goes_on_with_the_run_it_was_in(recipe: Recipe, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, train, made = peers.measure_peers(recipe, 1, "whole")[1], peers._run, []

    def cut_off(*args: Any) -> Any:
        made.append(args)
        if len(made) == 8:
            raise KeyboardInterrupt
        return train(*args)

    monkeypatch.setattr(peers, "_run", cut_off)
    with pytest.raises(KeyboardInterrupt):
        peers.measure_peers(recipe, 1, "cut")
    details = peers.measure_peers(recipe, 1, "cut")[1]
    assert len(made) == 4 + 4 * 2 + 6 + 1, "each run once, and the one that was cut off twice"
    for one, other in zip(details["peers"], whole["peers"], strict=True):
        assert one | {"seconds": []} == other | {"seconds": []}
    assert details["rows"] == whole["rows"]


@pytest.mark.usefixtures("few_rates")
def test_a_best_rate_that_explodes_from_another_seed_has_no_score(
    recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = optimizers._run
    monkeypatch.setattr(optimizers, "LRS", {"adamw": (0.003,), "muon": (0.02,)})
    monkeypatch.setattr(optimizers, "_run", lambda *args: [] if args[-2] == 2 else run(*args))
    seconds, details = optimizers.measure_optimizers(recipe.replace(optimizer="muon"), 3)
    assert [loss is None for loss in details["val_loss"]] == [False, True, False]
    assert (seconds[1], details["rows"][1], details["adamw_step_seconds"][1]) == (0.0, [], None)


def test_gpts_are_trained_as_the_course_trains_gpts(recipe: Recipe) -> None:
    theirs = load_recipe("tinytales_cpu")
    differ = {
        *("dataset", "val_fraction", "tokenizer", "bpe_vocab_size", "block_size", "n_layer", "n_head", "n_embd"),
        *("batch_size", "max_steps", "warmup_steps", "eval_every"),
    }
    _, _, *gpts = peers.peers(recipe)
    for peer in gpts:
        settings, usual = peer.recipe.all_settings(), theirs.all_settings()
        assert {name for name, value in settings.items() if value != usual[name]} <= differ
        share = settings["max_steps"] / usual["max_steps"]
        assert settings["warmup_steps"] == round(usual["warmup_steps"] * share)


# Long texts -----------------------------------------------------------------------------------------------


def test_long_texts_are_read_in_one_piece(recipe: Recipe, monkeypatch: pytest.MonkeyPatch) -> None:
    """Against logits by hand, on texts of four windows, the validation part's last bytes left over."""
    monkeypatch.setattr(lengths, "ENDS", (1, 4))
    short = recipe.replace(eval_every=8)
    _, details = lengths.measure_lengths(short, 2)
    assert details["stretches"] == [(0, 16), (16, 64)]
    for places, found in details["bits_per_byte"].items():
        assert len(found) == 2
        trainer = build_trainer(short.replace(seed=2, position=places))
        list(trainer)
        ids = torch.tensor(np.array(trainer.val_batches.tokens).astype("int64"))
        texts = [ids[start : start + 65] for start in range(0, len(ids) - 64, 64)]
        assert details["judged"] == len(texts) >= 4
        nats = []
        for text in texts:
            log_p = trainer.model.eval()(text[None, :64]).detach()[0].double().log_softmax(dim=-1)
            nats.append(torch.stack([-log_p[t, text[t + 1]] for t in range(64)]))
        by_hand = torch.stack(nats) / math.log(2)  # (texts, 64)
        assert found[1] == pytest.approx([by_hand[:, :16].mean().item(), by_hand[:, 16:].mean().item()], abs=1e-4)
    assert details["bits_per_byte"]["rope"] != details["bits_per_byte"]["patch"]
    assert len(details["val_loss"]) == len(details["rows"]) == 2
    json.dumps(details, allow_nan=False)
