"""The table of heads: what it shows is what the model computes, with a kernel and without one."""

import base64
from pathlib import Path

import pytest
import torch

from course_lib.errors import CourseError
from course_lib.models import GPT, GPTConfig
from course_lib.tokenizers import CharTokenizer
from course_lib.widgets.heads import MOST_EXPECTED, HeadView, look

TOKENIZER = CharTokenizer.train("the fox naps.\nthe cat hops. ")
TEXT = "the fox hops"


def model_of(seed: int, block_size: int = 16, **more) -> GPT:
    torch.manual_seed(seed)
    model = GPT(GPTConfig(block_size, TOKENIZER.vocab_size, n_layer=2, n_head=2, n_embd=16, **more))
    for p in model.parameters():
        torch.nn.init.normal_(p, std=0.4)
    return model


@pytest.fixture
def models() -> dict[str, GPT]:
    return {"before": model_of(1), "after": model_of(2)}


@pytest.fixture
def view(models) -> HeadView:
    return HeadView(models, TOKENIZER, TEXT)


def by_hand(model: GPT, text: str, here: int) -> tuple[list[list[float]], torch.Tensor]:
    """What each head gives to the tokens up to ``here``, and the guess there, by scores that are written out."""
    rows, T = [], len(text)
    with torch.no_grad():
        idx = torch.tensor([TOKENIZER.encode(text)])
        x = model.token_embedding(idx) + model.position_embedding.weight[:T]
        for block in model.blocks:
            packed = block.attn.qkv(block.norm1(x))[0]  # (T, 48)
            for head in range(2):
                q, k = (packed[:, part * 16 + head * 8 : part * 16 + head * 8 + 8] for part in (0, 1))
                exps = [(q[here] @ k[s] / 8**0.5).exp().item() for s in range(here + 1)]
                rows.append([one / sum(exps) for one in exps])
            x = block(x, None, None)
        return rows, model(idx)[0, here].softmax(dim=-1)


@pytest.mark.parametrize("here", [0, 4, 11])
@pytest.mark.parametrize("stage", ["before", "after"])
def test_the_rows_and_the_guesses_are_the_models(models, view, stage, here):
    view.widget.stage, view.widget.chosen = stage, here
    data = view.widget.data
    rows, guess = by_hand(models[stage], TEXT, here)
    assert [row["name"] for row in data["rows"]] == [f"layer {i}, head {j}" for i in (0, 1) for j in (0, 1)]
    for row, expected in zip(data["rows"], rows, strict=True):
        assert row["weights"] == pytest.approx(expected, abs=1e-3)
        assert sum(row["weights"]) == pytest.approx(1, abs=1e-2)
    best = guess.sort(descending=True).values[:MOST_EXPECTED].tolist()
    assert [one["p"] for one in data["expected"]] == pytest.approx(best, abs=1e-3)
    letters = [{"␣": " ", "↵": "\n"}.get(one["sign"], one["sign"]) for one in data["expected"]]
    assert [guess[TOKENIZER.encode(letter)[0]].item() for letter in letters] == pytest.approx(
        [one["p"] for one in data["expected"]], abs=1e-3
    )
    came = [letter for letter, one in zip(letters, data["expected"]) if one["came"]]
    assert came == [letter for letter in letters if TEXT[here + 1 : here + 2] == letter]
    if here + 1 < len(TEXT):
        p = guess[TOKENIZER.encode(TEXT[here + 1])[0]].item()
        assert f"goes on with “{data['tokens'][here + 1]}”, which got {p:.1%}" in data["status"]


def test_the_last_token_looks_until_another_is_chosen(view):
    assert view.widget.data["chosen"] == len(TEXT) - 1
    view.widget.chosen = 3
    assert (view.widget.data["chosen"], len(view.widget.data["rows"][0]["weights"])) == (3, 4)
    view.widget.text = "the cat naps."
    assert (view.widget.chosen, view.widget.data["chosen"]) == (-1, 12)
    view.widget.chosen = 99
    assert view.widget.data["chosen"] == 12


def test_a_long_text_is_read_by_its_end(view):
    view.widget.text = "the cat naps. " + TEXT
    data = view.widget.data
    assert "".join(data["tokens"]).replace("␣", " ") == ("the cat naps. " + TEXT)[-16:]
    assert "first 10 tokens are left out" in data["status"]


def test_a_text_that_cannot_be_read_is_told_and_can_be_mended(view):
    view.widget.text = "the café"
    data = view.widget.data
    with pytest.raises(CourseError) as error:
        TOKENIZER.encode("the café")
    what, advice = str(error.value).split(" Leave it out")
    assert "with_unknown" in advice, "no use to one who types"
    assert data["error"] == data["status"] == f"{what} Leave it out."
    assert (data["tokens"], data["rows"], data["expected"]) == ([], [], [])
    view.widget.text = ""
    assert (view.widget.data["error"], view.widget.data["status"][:11]) == ("", "Type a text")
    view.widget.text = "the cat"
    assert len(view.widget.data["rows"]) == 4


def test_models_stay_as_they_were(models):
    dropping = model_of(3, dropout=0.5).train()
    weights, guesses = look(dropping, torch.tensor([[0, 1, 2]]))
    assert dropping.training
    again = look(dropping, torch.tensor([[0, 1, 2]]))
    assert torch.equal(weights, again[0])
    assert torch.equal(guesses, again[1])
    state = torch.get_rng_state()
    HeadView(models, TOKENIZER, TEXT)
    assert torch.equal(torch.get_rng_state(), state)


def test_models_that_do_not_fit_are_refused():
    with pytest.raises(CourseError, match="at least one model"):
        HeadView({}, TOKENIZER)
    with pytest.raises(CourseError, match="Give the tokenizer that the model was trained with"):
        HeadView({"after": model_of(1)}, CharTokenizer.train("abc"))


def test_without_a_kernel_there_is_a_picture_and_words(view):
    bundle, about = view._repr_mimebundle_()
    assert base64.b64decode(bundle["image/png"]).startswith(b"\x89PNG")
    assert bundle["text/plain"] == repr(view)
    assert " at 0x" not in repr(view.widget) + repr(view)
    assert about["image/png"]["alt"] == view.widget.data["alt"]
    assert bundle["application/vnd.jupyter.widget-view+json"]["model_id"] == view.widget.model_id
    best = max(range(12), key=view.widget.data["rows"][3]["weights"].__getitem__)
    share = view.widget.data["rows"][3]["weights"][best]
    assert f"layer 1, head 1: {share:.0%} at token {best}" in about["image/png"]["alt"]


@pytest.mark.parametrize("text", ["", "café", "t", TEXT])
def test_every_text_has_a_picture(models, text):
    bundle, _ = HeadView(models, TOKENIZER, text)._repr_mimebundle_()
    assert base64.b64decode(bundle["image/png"]).startswith(b"\x89PNG")


def test_the_pictures_bars_are_the_weights(view):
    view.widget.chosen = 5
    heads, expected = view.picture().axes
    data = view.widget.data
    bars = [patch for patch in heads.patches if patch.get_hatch() is None]
    assert [bar.get_height() for bar in bars] == pytest.approx([w for row in data["rows"] for w in row["weights"]])
    assert [patch.get_hatch() for patch in heads.patches if patch.get_hatch()] == ["////"], "the future, without color"
    assert [bar.get_width() for bar in expected.patches][::-1] == pytest.approx([one["p"] for one in data["expected"]])


def test_the_page_part_reads_only_what_it_is_sent(view):
    code = Path(__file__).resolve().parents[2].joinpath("course_lib/widgets/heads.js").read_text(encoding="utf-8")
    for name in set(view.widget.data) - {"alt"}:  # for the picture
        assert f"data.{name}" in code or f"{{ {name}" in code or f"{name}, chosen" in code, name
    assert "innerHTML" not in code, "what is typed never becomes markup"
