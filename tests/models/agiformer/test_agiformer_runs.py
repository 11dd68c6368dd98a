"""AGIFORMER in runs: trained by recipe, kept, resumed, sampled from; what it writes comes in whole characters."""

import re

import pytest
import torch
from slow_agiformer import build, text

from course_lib import checkpoint
from course_lib.cli import main as course
from course_lib.cli.sample import show_tokens
from course_lib.config import MODEL_KINDS, AGIFormerConfig, TrainConfig
from course_lib.data import Batcher
from course_lib.models import AGIFormer
from course_lib.recipes import Recipe, load_recipe
from course_lib.sampling import generate, stream
from course_lib.tokenizers import ByteTokenizer
from course_lib.training import Trainer

TINY = "--block-size 16 --n-layer 1 --n-head 2 --n-embd 16 --n-hidden 16 --batch-size 2 --eval-batches 2".split()


def test_the_recipe_makes_an_agiformer():
    recipe = load_recipe("agiformer_cpu")
    assert recipe.kind == "agiformer"
    assert isinstance(recipe.model(256), AGIFormerConfig)
    assert recipe.model(256).block_size == 256
    assert "kind" not in recipe.all_settings()
    with pytest.raises(Exception, match="vocab_size should be 256"):
        recipe.model(65)
    with pytest.raises(Exception, match="no kind of model 'agi'"):
        Recipe("mine", {"kind": "agi"})
    with pytest.raises(Exception, match="no setting 'patch_size'"):
        Recipe("mine", {"patch_size": 2})


def test_a_run_is_trained_resumed_and_sampled_from(project, capsys):
    assert (
        course(["train", "agiformer_cpu", "--max-steps", "3", "--out-dir", "runs/agi", "--patch-size", "3", *TINY]) == 0
    )
    assert "bits per byte" in capsys.readouterr().out
    run = checkpoint.load("runs/agi")
    assert isinstance(run.model, AGIFormer)
    assert (run.config.model.patch_size, run.config.model.n_embd) == (3, 16)
    assert course(["train", "--resume", "agi", "--max-steps", "5", "--dropout", "0.1"]) == 0
    capsys.readouterr()
    assert checkpoint.load("runs/agi", "last").state["step"] == 5
    assert course(["sample", "agi", "--max-new-tokens", "30", "--start", "Ünder"]) == 0
    assert capsys.readouterr().out.startswith("Ünder")
    assert course(["export", "agi", "--to", "cpp"]) != 0
    assert re.search("serves models of the kind gpt; .* holds one of the kind agiformer", capsys.readouterr().err)


def test_a_kept_model_is_the_same(tmp_path):
    model = build("adaptive", torch.float32)
    trainer = Trainer(
        model, Batcher(text(200), 2, 16), TrainConfig(max_steps=2, max_lr=1e-3, device="cpu"), run_dir=tmp_path / "run"
    )
    records = list(trainer)
    assert len(records) == 2
    again = checkpoint.load(tmp_path / "run").model
    idx = text(1, 30)
    with torch.no_grad():
        assert torch.equal(again(idx), model.eval()(idx))


def test_it_learns_a_text_by_heart_and_writes_whole_characters(capsys):
    """One line in many scripts: characters of one to four bytes, that begin anywhere in a patch."""
    line = "aß語🙂 ñandú Ω: "
    ids = torch.tensor(ByteTokenizer().encode(line * 12))
    torch.manual_seed(0)
    model = AGIFormer(AGIFormerConfig(n_embd=32, n_head=2, n_layer=1, n_hidden=48, dropout=0.0, window_size=8))
    config = TrainConfig(max_steps=100, max_lr=0.01, warmup_steps=5, log_every=50, device="cpu")
    losses = [record.train_loss for record in Trainer(model, Batcher(ids, 4, 60), config)]
    assert losses[-1] < 0.2
    start = ByteTokenizer().encode(line)
    for cut in range(3):
        show_tokens(ByteTokenizer(), (int(t) for t in stream(model, [start[: len(start) - cut]], 60, temperature=0)))
        wrote = capsys.readouterr().out
        if cut == 0:
            assert wrote.startswith((line * 3)[:30])
            assert "\N{REPLACEMENT CHARACTER}" not in wrote[:30]
    assert generate(model, [start], 5, temperature=0).shape == (1, len(start) + 5)


def test_its_kind_is_known_by_name():
    assert MODEL_KINDS["agiformer"].config is AGIFormerConfig
