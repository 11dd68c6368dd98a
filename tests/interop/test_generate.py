"""The C++ program against the Python sampler: token for token, score by score, draw by draw."""

import itertools
import json
import random
from pathlib import Path

import pytest
import torch
from small_runs import FORMS, SOME_LETTERS, Small, build, keep, keep_byte_pairs

from course_lib import checkpoint
from course_lib.cli import main as course
from course_lib.config import DataConfig, GPTConfig, RunConfig, TrainConfig
from course_lib.data import Batcher, load_text
from course_lib.data.reading import same_line_ends
from course_lib.interop import export_cpp
from course_lib.interop.cpp import LETTERS
from course_lib.models import GPT
from course_lib.sampling import generate, token_probabilities
from course_lib.tokenizers import BPETokenizer, ByteTokenizer, CharTokenizer
from course_lib.tokenizers.bpe import GPT4_PATTERN
from course_lib.training import Trainer

pytestmark = pytest.mark.usefixtures("one_thread")


def small(folder: Path, form: str, **changes) -> Small:
    tokenizer = ByteTokenizer() if form == "bytes" else None
    return keep(folder / "run", build(**(FORMS[form] | changes)), tokenizer)


@torch.no_grad()
def assert_same(model: GPT, prompt: list[int], found: list[int]) -> None:
    """``found`` is Python's greedy continuation; where two scores are tied, either token, and onward from there.

    Tied means within 1e-5, of the largest score where that is above 1: as near as fp32 can tell.
    """
    place, ties = 0, 0
    while place < len(found):
        known = [*prompt, *found[:place]]
        expected = generate(model, torch.tensor([known]), len(found) - place, temperature=0)[0, len(known) :].tolist()
        pairs = enumerate(zip(found[place:], expected, strict=True))
        differing = next((i for i, (one, other) in pairs if one != other), None)
        if differing is None:
            return
        place += differing
        window = torch.tensor([[*prompt, *found[:place]][-model.config.block_size :]])
        logits = model(window)[0, -1]
        gap = (logits.max() - logits[found[place]]).item()
        assert gap <= 1e-5 * max(1.0, logits.abs().max().item()), f"token {place} differs, by {gap} in its score"
        place, ties = place + 1, ties + 1
        assert ties < 5


# Greedy ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("block_size", [512, 24], ids=["within block_size", "past it"])
@pytest.mark.parametrize("form", FORMS)
def test_500_greedy_tokens_are_pythons(tmp_path: Path, ids, form: str, block_size: int) -> None:
    run = small(tmp_path, form, block_size=block_size)
    found = ids(run.path, "fade", "--max-new-tokens", 500, "--temperature", 0)
    assert len(found) == 500
    assert len(set(found)) > 3  # the model does not repeat one token for ever
    assert_same(run.model, run.tokenizer.encode("fade"), found)


def test_500_greedy_tokens_of_a_trained_model(tmp_path: Path, ids, run) -> None:
    text = load_text("tinytales")[:100_000]
    tokenizer = CharTokenizer.train(text)
    torch.manual_seed(0)
    shape = dict(position="rope", norm="rmsnorm", qk_norm=True, mlp="relu2", tie_weights=False)
    model = GPT(GPTConfig(32, tokenizer.vocab_size, n_layer=2, n_head=2, n_embd=64, **shape))
    config = TrainConfig(max_steps=150, batch_size=16, max_lr=3e-3, eval_every=0, device="cpu")
    trainer = Trainer(
        model, Batcher(tokenizer.encode(text), 16, 32), config, tokenizer=tokenizer, run_dir=tmp_path / "run"
    )
    losses = [record.train_loss for record in trainer]
    assert losses[-1] < losses[0] - 1.5  # it has learned something
    for prompt in ("\n", "The "):
        found = ids(tmp_path / "run", prompt, "--max-new-tokens", 500, "--temperature", 0)
        assert_same(model.eval(), tokenizer.encode(prompt), found)
        printed = run(tmp_path / "run", "--prompt", prompt, "--max-new-tokens", 500, "--temperature", 0).stdout
        assert printed == prompt + tokenizer.decode(found) + "\n"


def test_any_number_of_threads_gives_the_same_tokens(tmp_path: Path, ids) -> None:
    """The model is large enough for its products to be shared out, alone and over a whole window."""
    run = keep(tmp_path / "run", build(n_embd=192, n_head=6, block_size=40))
    one, *others = (
        ids(run.path, "face", "--max-new-tokens", 80, "--temperature", 0, "--threads", threads) for threads in (1, 2, 5)
    )
    assert_same(run.model, run.tokenizer.encode("face"), one)
    for other in others:
        assert other == one


@pytest.mark.parametrize("form", ["gpt2", "modern"])
def test_a_block_size_of_one(tmp_path: Path, ids, form: str) -> None:
    run = small(tmp_path, form, block_size=1)
    found = ids(run.path, "abc", "--max-new-tokens", 60, "--temperature", 0)
    assert_same(run.model, run.tokenizer.encode("abc"), found)
    assert ids(run.path, "c", "--max-new-tokens", 60, "--temperature", 0) == found


@pytest.mark.parametrize("length", [23, 24, 25, 90])
def test_of_a_long_prompt_the_last_tokens_count(tmp_path: Path, ids, length: int) -> None:
    run = small(tmp_path, "modern")
    prompt = "".join(itertools.islice(itertools.cycle("facade badge "[:12].replace(" ", "w")), length))
    found = ids(run.path, prompt, "--max-new-tokens", 60, "--temperature", 0)
    assert_same(run.model, run.tokenizer.encode(prompt), found)


def test_the_first_of_equal_scores_is_chosen(tmp_path: Path, ids) -> None:
    run = constant(tmp_path, [1.0, 4.0, 4.0, 2.0, 4.0])
    assert ids(run.path, "a", "--max-new-tokens", 10, "--temperature", 0) == [1] * 10


# Scores ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("prompt", ["b", "deadbeef", "facefeedbeadabedeafcabbage"], ids=len)
def test_the_scores_are_pythons(tmp_path: Path, run, form: str, prompt: str) -> None:
    kept = small(tmp_path, form)
    found = torch.tensor([float(line) for line in run(kept.path, "--prompt", prompt, "--logits").stdout.split()])
    window = torch.tensor([kept.tokenizer.encode(prompt)[-24:]])
    with torch.no_grad():
        expected = kept.model.double()(window)[0, -1].float()
    assert found.shape == expected.shape
    assert (found - expected).abs().max() <= 1e-5 * expected.abs().max()
    assert expected.std() > 0.3


def test_norms_of_tiny_numbers(tmp_path: Path, run) -> None:
    """Where the numbers are as small as the eps under a norm's root, the eps shows."""
    for form in ("gpt2", "modern"):
        model = build(**FORMS[form])
        with torch.no_grad():
            for name, p in model.named_parameters():
                if "embedding" in name:
                    p *= 1e-3
                if "attn.qkv" in name:
                    p[: 2 * model.config.n_embd] *= 3e-4  # queries and keys
                if name.endswith(("proj.weight", "proj.bias", "down.weight", "down.bias")):
                    p *= 1e-3
        kept = keep(tmp_path / form, model)
        found = torch.tensor([float(line) for line in run(kept.path, "--prompt", "cab", "--logits").stdout.split()])
        with torch.no_grad():
            expected = model(torch.tensor([[2, 0, 1]]))[0, -1]
        assert (found - expected).abs().max() <= 1e-4 * expected.abs().max()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_weights_in_other_types(tmp_path: Path, run, dtype: torch.dtype) -> None:
    model = build(**FORMS["gpt2"])
    with torch.no_grad():
        model.norm.weight *= 1e-5  # subnormal in fp16, and nothing larger covers it up
        model.norm.bias *= 1e-5
    kept = keep(tmp_path / "run", model.to(dtype))
    printed = run(kept.path, "--prompt", "cab", "--logits").stdout
    found = torch.tensor([float(line) for line in printed.split()])
    with torch.no_grad():
        expected = model.float()(torch.tensor([[2, 0, 1]]))[0, -1]
    assert 0 < expected.abs().max() < 1e-3
    assert (found - expected).abs().max() <= 1e-5 * expected.abs().max()


# Draws ----------------------------------------------------------------------------------------------------

CRITICAL = {1: 10.83, 2: 13.82, 3: 16.27, 4: 18.47, 5: 20.52}  # chi-square: 99.9%, by degrees of freedom
SCORES = [1.5, 0.0, 1.0, -1.0, 0.5, 0.5]


def constant(folder: Path, scores: list[float]) -> Small:
    """A model that gives the same scores whatever stands before: its last norm puts out its bias alone."""
    model = build(vocab_size=len(scores), block_size=1, bias=True, tie_weights=False)
    with torch.no_grad():
        model.norm.weight.zero_()
        model.norm.bias.zero_()
        model.norm.bias[0] = 1
        model.head.weight[:, 0] = torch.tensor(scores)
    return keep(folder / "run", model)


@pytest.mark.parametrize(
    "settings",
    [
        *(dict(temperature=t) for t in (0.5, 1.0, 2.0)),
        *(dict(top_k=k) for k in (1, 3, 4, 99)),  # the third and the fourth are equal: both stay
        *(dict(top_p=p) for p in (0.3, 0.75, 0.9, 1.0)),
        dict(temperature=1.5, top_k=4, top_p=0.9),
        dict(temperature=0.7, top_k=2, top_p=0.5),
    ],
    ids=str,
)
def test_draws_follow_pythons_probabilities(tmp_path: Path, ids, settings: dict) -> None:
    """20,000 tokens, counted."""
    whole = dict(temperature=1.0) | settings
    flags = [word for name, value in whole.items() for word in (f"--{name.replace('_', '-')}", value)]
    found = ids(constant(tmp_path, SCORES).path, "a", "--max-new-tokens", 20_000, "--seed", 5, *flags)
    counts = torch.bincount(torch.tensor(found), minlength=6).tolist()
    expected = [20_000 * p for p in token_probabilities(torch.tensor(SCORES), **whole).tolist()]
    assert [count > 0 for count in counts] == [e > 0 for e in expected]
    chi_square = sum((c - e) ** 2 / e for c, e in zip(counts, expected, strict=True) if e)
    kinds = sum(e > 0 for e in expected)
    assert kinds == 1 or chi_square < CRITICAL[kinds - 1]


def test_of_equals_at_the_edge_of_top_p_the_first_stay(tmp_path: Path, ids) -> None:
    run = constant(tmp_path, [1.0, 1.0, 1.0, 1.0])
    found = ids(run.path, "a", "--max-new-tokens", 300, "--temperature", 1, "--top-p", 0.6)
    assert set(found) == {0, 1, 2}


def test_both_programs_keep_the_same_tokens_where_decimals_meet_p(tmp_path: Path, ids) -> None:
    """Tenths, in any order, at each of their sums; a kept token stays unseen in 220 draws once in 1e10 times."""
    tenths = [(3, 1, 1, 5), (1, 2, 3, 4), (4, 3, 2, 1), (1, 7, 1, 1), (2, 2, 3, 3), (6, 1, 2, 1), (5, 1, 2, 2)]
    for n, shares in enumerate(tenths):
        logits = (torch.tensor(shares) / 10).log()
        model = constant(tmp_path / str(n), logits.tolist())
        for p in sorted(set(itertools.accumulate(sorted(shares, reverse=True))) - {10}):
            flags = ["--max-new-tokens", 220, "--temperature", 1, "--top-p", p / 10]
            expected = token_probabilities(logits, top_p=p / 10).nonzero().flatten().tolist()
            assert sum(sorted(shares, reverse=True)[: len(expected)]) == p
            assert sorted(set(ids(model.path, "a", *flags))) == expected, (shares, p)


def test_extreme_temperatures(tmp_path: Path, ids) -> None:
    run = constant(tmp_path, SCORES)
    assert set(ids(run.path, "a", "--max-new-tokens", 50, "--temperature", 1e-300)) == {0}
    assert set(ids(run.path, "a", "--max-new-tokens", 500, "--temperature", 1e300)) == set(range(6))


def test_a_seed_gives_the_same_tokens_and_another_seed_others(tmp_path: Path, ids) -> None:
    run = small(tmp_path, "modern")

    def drawn(*words: object) -> list[int]:
        return ids(run.path, "a", "--max-new-tokens", 40, "--temperature", 1, *words)

    assert drawn("--seed", 5) == drawn("--seed=5") == drawn("--threads", 2, "--seed", 5)
    assert drawn("--seed", 5) != drawn("--seed", 6)
    assert drawn() == drawn("--seed", 1337)


# Text in and out ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(6))
def test_bytes_become_the_text_that_python_decodes(tmp_path: Path, ids, run, seed: int) -> None:
    """Random bytes hold every way of being no UTF-8."""
    kept = small(tmp_path, "bytes", block_size=1)
    words = ["--max-new-tokens", 3000, "--temperature", 2, "--seed", seed]
    found = ids(kept.path, "a", *words)
    assert len(set(found)) > 150
    printed = run(kept.path, "--prompt", "a", *words, text=False, encoding=None).stdout
    assert printed == b"a" + kept.tokenizer.decode(found).encode() + b"\n"


def fixed_order(folder: Path, content: bytes) -> Small:
    """A model of bytes that writes ``content``, whose bytes are distinct, over and over."""
    model = build(vocab_size=256, block_size=1, n_embd=256, n_layer=1, tie_weights=False, norm="rmsnorm")
    with torch.no_grad():
        for p in model.parameters():
            p.zero_()
        model.norm.weight.fill_(1)
        model.token_embedding.weight.copy_(torch.eye(256))
        for here, following in zip(content, content[1:] + content[:1], strict=True):
            model.head.weight[following, here] = 1
    return keep(folder / "run", model, ByteTokenizer())


@pytest.mark.parametrize("count", range(1, 8))
def test_half_a_character_waits_for_the_rest(tmp_path: Path, run, count: int) -> None:
    content = "x\u20ac\u00e9!".encode()
    kept = fixed_order(tmp_path, content)
    printed = run(kept.path, "--prompt", "x", "--max-new-tokens", count, "--temperature", 0, text=False, encoding=None)
    expected = (content + content)[: 1 + count].decode(errors="replace").encode() + b"\n"
    assert printed.stdout == expected


def test_characters_beyond_ascii_in_vocabulary_and_prompt(tmp_path: Path, ids, run) -> None:
    tokenizer = CharTokenizer("".join(sorted("\n a\u00e9\u03b2\u20ac\ufffd\U0001f600\U0010ffff")))
    kept = keep(tmp_path / "run", build(vocab_size=tokenizer.vocab_size), tokenizer)
    prompt = "\u00e9\U0001f600 \u20ac\u03b2"
    found = ids(kept.path, prompt, "--max-new-tokens", 100, "--temperature", 0)
    assert_same(kept.model, tokenizer.encode(prompt), found)
    drawn = ["--max-new-tokens", 200, "--temperature", 2]
    expected = tokenizer.decode(ids(kept.path, prompt, *drawn))
    assert set(expected) == set(tokenizer.characters)
    assert run(kept.path, "--prompt", prompt, *drawn).stdout == prompt + expected + "\n"


def test_without_a_prompt_it_starts_as_course_sample_does(tmp_path: Path, ids, run) -> None:
    """A new line, where the run says nothing else; or where that is unknown, the first token."""
    with_line = keep(tmp_path / "line", build(vocab_size=4), CharTokenizer("\nabc"))
    without = keep(tmp_path / "none", build(vocab_size=4), CharTokenizer(" abc"))
    more = ["--max-new-tokens", 20, "--temperature", 0]
    for kept in (with_line, without):
        for prompt in ("", "\n"):
            assert_same(kept.model, [0], ids(kept.path, prompt, *more))
            assert run(kept.path, "--prompt", prompt, *more).stdout.startswith(prompt + "")
    assert run(with_line.path, *more).stdout == run(with_line.path, "--prompt", "\n", *more).stdout
    text = with_line.tokenizer.decode(ids(with_line.path, "", *more))
    for spelling in (["--prompt="], ["--prompt", ""], ["--start="], ["--start", ""]):
        assert run(with_line.path, *spelling, "--max_new_tokens=20", "--temperature=0").stdout == text + "\n"


@pytest.mark.parametrize("start", ["\n\n", "b\n"])
def test_a_run_says_what_its_texts_begin_with(tmp_path: Path, run, capsys, start: str) -> None:
    model, tokenizer = build(vocab_size=4), CharTokenizer("\nabc")
    settings = RunConfig("test", DataConfig(start=start), model.config, TrainConfig())
    checkpoint.create_run(tmp_path / "run", settings, tokenizer)
    checkpoint.save(tmp_path / "run", 1, model)
    more = ["--max-new-tokens", "20", "--temperature", "0"]
    printed = run(tmp_path / "run", *more).stdout
    assert printed.startswith(start)
    assert course(["sample", str(tmp_path / "run"), *more]) == 0
    assert capsys.readouterr().out == printed


def test_an_unknown_character(tmp_path: Path, ids, run) -> None:
    tokenizer = CharTokenizer("abc")
    model = build(vocab_size=3)
    done = run(keep(tmp_path / "refuse", model, tokenizer).path, "--prompt", "ab\u00e9")
    assert done.returncode == 2
    assert "The character \u00e9 (U+00E9) at position 2 of the prompt is not among the 3" in done.stderr
    done = run(tmp_path / "refuse", "--prompt", "ab\x07")
    assert "The character (U+0007) at position 2" in done.stderr
    skip = keep(tmp_path / "skip", model, tokenizer.with_unknown(""))
    replace = keep(tmp_path / "replace", model, tokenizer.with_unknown("c"))
    more = ["--max-new-tokens", 20, "--temperature", 0]
    assert_same(model, [0, 1], ids(skip.path, "a?b", *more))
    assert_same(model, [0, 2, 1], ids(replace.path, "a?b", *more))
    assert_same(model, [2], ids(replace.path, "", *more))  # the new line, replaced
    assert "no character that this model knows" in run(skip.path, "--prompt", "??").stderr


def test_a_prompt_from_a_file(tmp_path: Path, run) -> None:
    kept = keep(tmp_path / "run", build(vocab_size=4), CharTokenizer("\nabc"))
    (tmp_path / "prompt.txt").write_bytes(b"ab\r\nc\rb\n")
    done = run(kept.path, "--prompt", f"FILE:{tmp_path / 'prompt.txt'}", "--max-new-tokens", 0)
    assert done.stdout == (tmp_path / "prompt.txt").read_text() + "\n" == "ab\nc\nb\n\n"
    assert "is missing" in run(kept.path, "--prompt", "FILE:none.txt").stderr


# Which save, which settings -------------------------------------------------------------------------------


def test_the_save_is_found_as_course_sample_finds_it(tmp_path: Path, ids, run) -> None:
    from course_lib import checkpoint

    kept = keep(tmp_path / "run", build(**FORMS["modern"]))
    other = build(**FORMS["modern"])
    with torch.no_grad():
        other.head.weight.copy_(other.head.weight.flip(0))
    more = ["--max-new-tokens", 30, "--temperature", 0]
    expected = {}
    for name, model in (("old", kept.model), ("new", other)):
        expected[name] = generate(model, torch.tensor([[0]]), 30, temperature=0)[0, 1:].tolist()
    assert expected["old"] != expected["new"]
    assert ids(kept.path, "a", *more) == expected["old"]  # last, where there is no best
    checkpoint.save(kept.path, 9, kept.model, best=True)
    checkpoint.save(kept.path, 9, other)
    chosen = {which: ids(kept.path, "a", "--which", which, *more) for which in ("best", "last")}
    assert chosen == {"best": expected["old"], "last": expected["new"]}
    assert ids(kept.path, "a", *more) == expected["old"]
    assert "has no save '8'" in run(kept.path, "--which", 8).stderr
    exported = export_cpp(kept.path, tmp_path / "exported", which="best")
    assert ids(exported, "a", *more) == expected["old"]
    assert "holds one save only" in run(exported, "--which", "best").stderr


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ("--temperature -1", "--temperature should be 0 (greedy) or more"),
        ("--temperature nan", "--temperature should be a number; it is 'nan'"),
        ("--temperature 1x", "--temperature should be a number"),
        ("--top-k 0", "--top-k should be a whole number from 1 on; it is '0'"),
        ("--top-k -3", "--top-k should be a whole number"),
        ("--top-p 0", "--top-p should be above 0 and at most 1"),
        ("--top-p 1.5", "--top-p should be above 0 and at most 1"),
        ("--seed 99999999999999999999", "--seed should be a whole number"),
        ("--max-new-tokens 1e3", "--max-new-tokens should be a whole number from 0 on; it is '1e3'"),
        ("--threads 0", "--threads should be a whole number from 1 on"),
        ("--temprature 1", "There is no setting '--temprature': generate --help"),
        ("--seed", "--seed needs a value"),
        ("--which ../x", "has no save '../x'"),
        ("another", "One folder is enough; there is also 'another'"),
    ],
)  # fmt: skip
def test_settings_that_make_no_sense(tmp_path: Path, run, words: str, complaint: str) -> None:
    kept = small(tmp_path, "modern")
    done = run(kept.path, *words.split())
    assert done.returncode == 2
    assert complaint in done.stderr
    assert done.stdout == ""


def test_a_prompt_that_is_no_utf8(tmp_path: Path, run) -> None:
    kept = small(tmp_path, "bytes")
    done = run(kept.path, "--prompt", b"ab\xff".decode("utf-8", "surrogateescape"))
    assert done.returncode == 2
    assert "The prompt is not valid UTF-8 at byte 2" in done.stderr


def test_help_and_time(tmp_path: Path, run) -> None:
    import re
    import subprocess

    kept = small(tmp_path, "modern")
    done = run(kept.path, "--help")
    assert done.returncode == 0
    for word in ("--prompt", "--ids", "--logits", "--seed", "not PyTorch's"):
        assert word in done.stdout
    done = run(kept.path, "--max-new-tokens", 5, "--prompt", "a", "--ids", "--time")
    assert re.fullmatch(r"5 tokens in \d+\.\d{6} s\n", done.stderr)
    alone = subprocess.run([done.args[0]], capture_output=True, text=True)
    assert (alone.returncode, alone.stderr) == (2, "generate: Which model? Name a folder; generate --help says more.\n")

# Byte-pair encoding ---------------------------------------------------------------------------------------


TEACHING = (
    "The fox can't see the dogs' 13 bones; she's sure we'll go.\n\n\tGrüße, 中文, \u0627\u0644 😀 ²³ \u1e9e  end.\n" * 3
)


@pytest.fixture(scope="module")
def by_pairs(tmp_path_factory) -> Small:
    """A model whose tokens are pairs of pairs, exported: with the tables of letters beside it."""
    tokenizer = BPETokenizer.train(TEACHING, 320, ["<|endoftext|>"])
    folder = tmp_path_factory.mktemp("bpe")
    small = keep(folder / "run", build(vocab_size=tokenizer.vocab_size, block_size=64), tokenizer)
    return Small(export_cpp(small.path, folder / "out"), small.model, tokenizer)


def test_a_text_becomes_the_ids_that_python_gives(by_pairs: Small, run) -> None:
    """By the scores that follow: the model sees all tokens of the prompt."""
    chance = random.Random(0)
    letters = sorted(set(TEACHING)) + list("'" * 3 + "  \n\t\r\x1c\x85\u00a0\u2003\u3000\u200b½Ⅷ٣")
    texts = ["".join(chance.choices(letters, k=chance.randint(1, 40))) for _ in range(60)]
    for text in [TEACHING[:70], "we'll've'd 's'ss  's", "   ", " \n a", "a \n", "don't<|endoftext|>", "e" * 30, *texts]:
        prompt = same_line_ends(text)
        scores = [float(line) for line in run(by_pairs.path, "--prompt", prompt, "--logits").stdout.split()]
        window = torch.tensor([by_pairs.tokenizer.encode(prompt)[-64:]])
        with torch.no_grad():
            expected = by_pairs.model(window)[0, -1]
        torch.testing.assert_close(torch.tensor(scores), expected, rtol=1e-4, atol=1e-4, msg=repr(prompt))


def test_greedy_text_by_pairs_is_pythons(by_pairs: Small, ids, run) -> None:
    prompt = by_pairs.tokenizer.encode("The fox")
    found = ids(by_pairs.path, "The fox", "--max-new-tokens", 200, "--temperature", 0)
    assert_same(by_pairs.model, prompt, found)
    settings = ("--max-new-tokens", 200, "--temperature", 0)
    text = run(by_pairs.path, "--prompt", "The fox", *settings).stdout
    assert text == by_pairs.tokenizer.decode(prompt + found) + "\n"
    numbers = " ".join(map(str, prompt))
    assert run(by_pairs.path, "--prompt-ids", numbers, *settings).stdout == text


def test_another_pattern_takes_a_prompt_of_ids(tmp_path: Path, run) -> None:
    tokenizer = BPETokenizer.train(TEACHING, 300, pattern=GPT4_PATTERN)
    small = keep(tmp_path / "run", build(vocab_size=300), tokenizer)
    done = run(small.path, "--prompt", "a")
    assert done.returncode == 2
    assert "GPT-2's alone. Give the prompt's ids instead: --prompt-ids" in done.stderr
    assert "--ids" in done.stderr
    found = run(small.path, "--prompt-ids", "97 98", "--ids", "--max-new-tokens", 50, "--temperature", 0).stdout
    assert_same(small.model, [97, 98], [int(word) for word in found.split()])
    assert "one is 300" in run(small.path, "--prompt-ids", "300").stderr
    assert "at least one id" in run(small.path, "--prompt-ids", " ").stderr


def test_without_the_tables_of_letters_it_says_how_to_get_them(tmp_path: Path, run) -> None:
    tokenizer = BPETokenizer.train(TEACHING, 300)
    small = keep(tmp_path / "run", build(vocab_size=300), tokenizer)
    done = run(small.path, "--prompt", "a")
    assert done.returncode == 2
    assert "letters.json is missing" in done.stderr
    assert "course export RUN --to cpp" in done.stderr


def test_tables_of_letters_in_which_the_space_is_none_are_refused(tmp_path: Path, run) -> None:
    """Found by the fuzz: a chunk of white space would end where it begins, and the program would not end."""
    small = keep_byte_pairs(tmp_path / "run")
    for damage in ({"spaces": [9, 13, 0x2000, 0x200A]}, {"letters": [32, 32]}):
        (small.path / LETTERS).write_text(json.dumps(SOME_LETTERS | damage))
        done = run(small.path, "--prompt", " \u2003 a")
        assert (done.returncode, "the space should be white space" in done.stderr) == (2, True)
