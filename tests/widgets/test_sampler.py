"""The next token's picture: what it shows and draws is what the library's distribution says."""

import base64
import math
from pathlib import Path

import pytest
import torch
from torch import nn

from course_lib import checkpoint
from course_lib.config import DataConfig, GPTConfig, RunConfig, TrainConfig
from course_lib.errors import CourseError
from course_lib.models import GPT
from course_lib.sampling import token_probabilities
from course_lib.tokenizers import ByteTokenizer, CharTokenizer
from course_lib.widgets import sampler as module
from course_lib.widgets.sampler import MOST_BARS, Sampler, own_runs

pytestmark = pytest.mark.usefixtures("one_thread")

TEXT = "the fox naps.\nthe cat hops.\nABCDEFGHIJKLM"
TOKENIZER = CharTokenizer.train(TEXT)
V = TOKENIZER.vocab_size


def build(seed: int = 0, **changes) -> GPT:
    torch.manual_seed(seed)
    model = GPT(GPTConfig(**dict(block_size=8, vocab_size=V, n_layer=1, n_head=2, n_embd=16, dropout=0.5) | changes))
    with torch.no_grad():
        model.head.weight.normal_(std=1.0)
    return model


@pytest.fixture
def model() -> GPT:
    return build()


@pytest.fixture
def sampler(model, project) -> Sampler:
    return Sampler({"trained": model, "other": build(1)}, TOKENIZER, "the fox naps.\nthe ")


def expected(model: nn.Module, text: str, *settings) -> torch.Tensor:
    """What may follow ``text``, (V,): by the last eight tokens, and in evaluation mode."""
    ids = torch.tensor([TOKENIZER.encode(text)[-8:]])
    with torch.no_grad():
        logits = model.eval()(ids)[0, -1]
    return token_probabilities(logits, *settings)


def test_the_bars_are_the_librarys_distribution(sampler, model):
    for T, k, p in ((1.0, V, 1.0), (0.5, 5, 1.0), (2.0, V, 0.8), (1.0, 1, 1.0), (0.0, V, 1.0), (3.0, 10, 0.5)):
        sampler.temperature.value, sampler.top_k.value, sampler.top_p.value = T, k, p
        data = sampler.view.data
        whole, left = expected(model, sampler.view.text, T), expected(model, sampler.view.text, T, k, p)
        assert len(data["bars"]) == MOST_BARS
        assert [bar["p"] for bar in data["bars"]] == sorted((bar["p"] for bar in data["bars"]), reverse=True)
        for bar in data["bars"]:
            i = TOKENIZER.encode({"␣": " ", "↵": "\n"}.get(bar["sign"], bar["sign"]))[0]
            assert bar["p"] == pytest.approx(whole[i].item(), abs=1e-4)
            assert bar["left"] == pytest.approx(left[i].item(), abs=1e-4)
        assert data["rest"]["sign"] == f"{V - MOST_BARS} others"
        for name in ("p", "left"):
            assert sum(bar[name] for bar in data["bars"]) + data["rest"][name] == pytest.approx(1, abs=1e-3)
        n, entropy = int((left > 0).sum()), -torch.special.xlogy(left, left).sum().item()
        assert data["status"].startswith(f"{n} of {V} characters can be drawn. Entropy {abs(entropy):.2f} nats")
        assert f"{math.exp(entropy):.1f} equally likely" in data["status"]


def test_at_a_sure_place_nothing_is_called_cut_that_can_be_drawn(model, project):
    with torch.no_grad():
        model.head.weight.mul_(4)  # sure: most probabilities are rounded to 0.00000
    shown = Sampler({"trained": model}, TOKENIZER, "the fox naps.\nthe ")
    data = shown.view.data
    assert any(bar["left"] == 0 for bar in data["bars"])
    assert all(bar["kept"] and not bar["cut"] for bar in data["bars"])
    assert data["status"].startswith(f"{V} of {V} characters can be drawn. Entropy")
    shown.top_k.value = 2
    assert [bar["kept"] for bar in shown.view.data["bars"]] == [True] * 2 + [False] * (MOST_BARS - 2)
    assert [bar["cut"] for bar in shown.view.data["bars"]] == [False] * 2 + [True] * (MOST_BARS - 2)
    assert shown.view.data["rest"]["cut"]


def test_what_is_too_small_for_a_number_is_told_and_not_called_cut(model, project):
    with torch.no_grad():
        model.head.weight.mul_(20)
    shown = Sampler({"trained": model}, TOKENIZER, "the fox naps.\nthe ")
    shown.temperature.value = 0.1
    tiny = int((expected(model, "the fox naps.\nthe ", 0.1) == 0).sum())
    assert 0 < tiny < V
    assert f"{V - tiny} of {V} characters can be drawn. {tiny} others are below what" in shown.view.data["status"]
    assert not any(bar["cut"] for bar in shown.view.data["bars"])
    shown.temperature.value = 0.0
    assert shown.view.data["status"].startswith(f"1 of {V} characters can be drawn. Entropy 0.00")


def test_what_was_drawn_before_a_change_is_marked_as_earlier(sampler):
    sampler.top_k.value = 3
    assert not sampler.view.data["earlier"], "nothing is drawn yet"
    sampler.draw()
    assert not sampler.view.data["earlier"]
    for control, value in ((sampler.temperature, 2.0), (sampler.top_p, 0.5), (sampler.model, "other")):
        control.value = value
        assert sampler.view.data["earlier"]
        assert sampler.view.data["trail"]
        sampler.draw()
        assert not sampler.view.data["earlier"]
    sampler.temperature.value = 1.0
    sampler.view.text = "the "
    assert not sampler.view.data["earlier"]


def test_the_order_of_the_bars_does_not_change_with_the_temperature(sampler):
    orders = []
    for T in (0.0, 0.3, 1.0, 5.0):
        sampler.temperature.value = T
        orders.append([bar["sign"] for bar in sampler.view.data["bars"]])
    assert orders.count(orders[0]) == 4


def test_another_model_and_another_text_give_other_bars(sampler):
    before = sampler.view.data["bars"]
    sampler.model.value = "other"
    assert sampler.view.data["bars"] != before
    sampler.model.value = "trained"
    assert sampler.view.data["bars"] == before
    sampler.view.text = "ABC"
    assert sampler.view.data["bars"] != before
    assert "'ABC'" in sampler.view.data["alt"]


def test_a_draw_is_appended_and_told(sampler, model):
    text = sampler.view.text
    left = expected(model, text)
    sampler.view.ask = {"count": 1, "number": 1}
    letter = sampler.view.text.removeprefix(text)
    assert len(letter) == 1
    data = sampler.view.data
    (step,) = data["trail"]
    assert step["p"] == pytest.approx(left[TOKENIZER.encode(letter)[0]].item(), abs=1e-3)
    pieces, u = data["last"]["pieces"], data["last"]["u"]
    (hit,) = [piece for piece in pieces if piece["drawn"]]
    assert hit["start"] <= u <= hit["start"] + hit["p"] + 1e-3
    assert data["bars"] == sampler.seen(sampler.view.text)["bars"], "already of what comes next"
    sampler.view.ask = {"count": 40, "number": 2}
    assert len(sampler.view.text) == len(text) + 41
    assert len(sampler.view.data["trail"]) == 40, "the last ones"


def test_draws_follow_the_probabilities(sampler, model):
    sampler.top_k.value, sampler.temperature.value = 3, 1.5
    left = expected(model, sampler.view.text, 1.5, 3)
    counts = torch.zeros(V)
    text = sampler.view.text
    for _ in range(400):
        counts[TOKENIZER.encode(sampler.draw())[0]] += 1
        sampler.view.text = text
    assert counts[left == 0].sum() == 0
    assert (counts / 400 - left).abs().max() < 4 * 0.5 / math.sqrt(400)


def test_greedy_draws_the_likeliest_and_top_k_never_more_than_k(sampler):
    sampler.temperature.value = 0.0
    best = sampler.view.data["bars"][0]["sign"]
    assert sampler.draw() == best.replace("␣", " ").replace("↵", "\n")
    assert sampler.view.data["trail"][0]["p"] == 1


def test_bytes_are_drawn_as_bytes_and_shown_as_whole_characters(project, monkeypatch):
    """The model is asked about the bytes that were drawn, never about the signs that stand for broken ones."""
    row = [*"é".encode(), 0xFF, *"日".encode(), 0xE4, 0x41]
    asked = []

    def next_of_row(ids):
        asked.append(ids[0].tolist())
        logits = torch.zeros(1, ids.shape[1], 256)
        logits[0, -1, row[len(asked) - 1]] = 100
        return logits

    model = GPT(GPTConfig(block_size=32, vocab_size=256, n_layer=1, n_head=1, n_embd=4))
    monkeypatch.setattr(model, "forward", next_of_row)
    sampler = Sampler({"fixed": model}, ByteTokenizer(), "a")
    asked.clear()
    monkeypatch.setattr(sampler, "_redraw", lambda: None)
    assert sampler.draw(2) + sampler.draw(4) + sampler.draw(2) == "é\ufffd日\ufffdA"
    assert sampler.view.text == "aé\ufffd日\ufffdA"
    assert asked == [[97, *row[:i]] for i in range(len(row))]


def test_start_over_and_typing_forget_what_was_drawn(sampler):
    for begin_again in (lambda: setattr(sampler.view, "ask", {"count": 0, "number": 9}), lambda: None):
        sampler.draw(3)
        assert sampler.view.data["trail"]
        begin_again()
        sampler.view.text = "the fox naps.\nthe "
        assert (sampler.view.data["trail"], sampler.view.data["last"]) == ([], {})


@pytest.mark.parametrize(("text", "words"), [("", "Type at least one character"), ("Ä", "Ä")])
def test_a_text_that_cannot_be_read_is_told_and_draws_nothing(sampler, text, words):
    sampler.view.text = text
    assert sampler.view.data["bars"] == []
    assert words in sampler.view.data["status"]
    assert sampler.view.data["status"].count(". ") == 0, "one sentence"
    sampler.view.ask = {"count": 1, "number": 1}
    assert sampler.view.text == text
    sampler.view.text = "the "
    assert sampler.view.data["bars"]


def test_the_model_stays_as_it_was(sampler, model):
    model.train()
    state = torch.get_rng_state()
    sampler.draw(5)
    assert model.training
    assert torch.get_rng_state().equal(state)


def test_what_cannot_be_shown_is_told_at_once(model, project):
    with pytest.raises(CourseError, match="at least one model"):
        Sampler({}, TOKENIZER)
    with pytest.raises(CourseError, match="at least one token"):
        Sampler({"m": model}, TOKENIZER, "")
    with pytest.raises(CourseError):
        Sampler({"m": model}, TOKENIZER, "Ä")


def save_run(name: str, tokenizer: CharTokenizer, model: GPT, project: Path) -> None:
    config = RunConfig("tiny", DataConfig(), model.config, TrainConfig(max_steps=1))
    folder = project / "runs" / name
    checkpoint.create_run(folder, config, tokenizer)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    checkpoint.save(folder, 1, model, optimizer, {"step": 1})


def test_runs_of_ones_own_are_offered_where_the_tokenizer_fits(model, project):
    mine = build(5)
    save_run("mine", TOKENIZER, mine, project)
    other = CharTokenizer.train("xyz")
    save_run("foreign", other, build(6, vocab_size=other.vocab_size), project)
    (project / "runs" / "broken").mkdir()
    (project / "runs" / "broken" / "config.json").write_text("{")
    assert list(own_runs(TOKENIZER)) == ["mine"]
    shown = Sampler({"trained": model}, TOKENIZER, "the ")
    assert shown.model.options == ("trained", "your run mine")
    shown.model.value = "your run mine"
    left = expected(mine, "the ")
    assert shown.view.data["bars"][0]["p"] == pytest.approx(left.max().item(), abs=1e-4)
    assert own_runs(TOKENIZER, project / "nowhere") == {}


def test_a_run_that_is_gone_when_it_is_chosen_is_told(model, project):
    save_run("mine", TOKENIZER, build(5), project)
    shown = Sampler({"trained": model}, TOKENIZER, "the ")
    (project / "runs" / "mine" / "config.json").unlink()
    shown.model.value = "your run mine"
    assert shown.view.data["bars"] == []
    assert "no run directory" in shown.view.data["status"]


def test_only_the_newest_runs_are_offered(model, project, monkeypatch):
    monkeypatch.setattr(module, "MOST_RUNS", 2)
    for name in ("a", "b", "c"):
        save_run(name, TOKENIZER, build(5), project)
    assert len(own_runs(TOKENIZER)) == 2


def test_without_a_kernel_there_is_a_picture_and_words(sampler):
    bundle, about = sampler._repr_mimebundle_()
    assert base64.b64decode(bundle["image/png"]).startswith(b"\x89PNG")
    assert bundle["text/plain"] == repr(sampler.view)
    assert " at 0x" not in repr(sampler.view) + repr(sampler)
    assert "trained: After" in about["image/png"]["alt"]
    assert "other: After" in about["image/png"]["alt"]
    assert bundle["application/vnd.jupyter.widget-view+json"]["model_id"] == sampler.widget.model_id
    top, below = sampler.picture().axes
    assert max(patch.get_height() for patch in top.patches) == sampler.seen()["bars"][0]["p"]
    assert below.get_title(loc="left").startswith("other, after")


def test_the_page_part_reads_only_what_it_is_sent(sampler):
    code = Path(__file__).resolve().parents[2].joinpath("course_lib/widgets/sampler.js").read_text(encoding="utf-8")
    sampler.draw()
    for name in sampler.view.data:
        assert f"data.{name}" in code, name
    for name in (*sampler.view.data["bars"][0], *sampler.view.data["last"]["pieces"][0]):
        assert f".{name}" in code, name
    assert "innerHTML" not in code, "what is typed is never read as HTML"
