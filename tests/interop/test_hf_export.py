"""course export --to hf: transformers opens the folder, computes the same, and splits texts the same."""

import json
import os
import random
from pathlib import Path

import pytest
import torch
from hf_models import build_hf, same_logits
from small_runs import FORMS, Small, build, keep
from transformers import AutoModelForCausalLM, AutoTokenizer, GPT2LMHeadModel

from course_lib import checkpoint
from course_lib.cli import main as course
from course_lib.config import AGIFormerConfig, DataConfig, RunConfig, TrainConfig
from course_lib.data import Batcher, prepared_for
from course_lib.errors import CourseError
from course_lib.interop import export_hf, load_hf_gpt2, load_hf_tokenizer, save_hf_gpt2
from course_lib.interop.hf_tokenizer import OWN_FILE
from course_lib.models import AGIFormer
from course_lib.recipes.starting import find_start
from course_lib.tokenizers import BPETokenizer, ByteTokenizer, CharTokenizer, load_tokenizer
from course_lib.training import Trainer

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:transformers"),  # 5.15 calls tokenizers in its old way
]
TEXT = "Hello world, we'll go   12 times; é中🙂 ab\n\n\tx  y  naïve Ünï 345 \u2003 they're done "


@pytest.fixture
def kept(project: Path) -> Small:
    return keep(project / "runs" / "mine", build(**FORMS["gpt2"]))


def gpt2_files() -> None:
    """Skips where GPT-2's own vocabulary is not at hand."""
    mirror = os.environ.get("COURSE_DATA")
    if mirror is None or not (Path(mirror) / "gpt2-bpe" / "vocab.bpe").is_file():
        pytest.skip("COURSE_DATA names no folder with gpt2-bpe/vocab.bpe and gpt2-bpe/encoder.json")


# The model -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", [FORMS["gpt2"], {}, dict(tie_weights=False, mlp="gelu_tanh")], ids=str)
def test_transformers_computes_what_the_run_computes(project: Path, capsys, form: dict) -> None:
    kept = keep(project / "runs" / "my run", build(**form))
    assert course(["export", "my run", "--to", "hf"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[:2] == ["my run-hf", "open it with: transformers.GPT2LMHeadModel.from_pretrained('my run-hf')"]
    hf, info = GPT2LMHeadModel.from_pretrained("my run-hf", output_loading_info=True)
    assert not any(info.values()), info
    same_logits(hf.eval(), kept.model)
    same_logits(AutoModelForCausalLM.from_pretrained("my run-hf").eval(), kept.model)
    same_logits(hf, load_hf_gpt2("my run-hf"))


def test_it_goes_on_writing_as_the_course_does(project: Path, kept: Small) -> None:
    from course_lib.sampling import generate

    hf = GPT2LMHeadModel.from_pretrained(export_hf("mine")).eval()
    prompt = torch.tensor([[1, 2, 3]])
    theirs = hf.generate(prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=15, do_sample=False)
    assert theirs.tolist() == generate(kept.model, prompt, 15, temperature=0).tolist()


def test_a_modern_model_or_another_kind_is_refused(project: Path) -> None:
    keep(project / "runs" / "modern", build(**FORMS["modern"]))
    torch.manual_seed(0)
    keep(project / "runs" / "agi", AGIFormer(AGIFormerConfig(n_layer=1, n_head=1, n_embd=8)), ByteTokenizer())
    with pytest.raises(CourseError, match=r"has position rope, norm rmsnorm, qk_norm True, mlp relu2\. What works"):
        export_hf("modern")
    with pytest.raises(CourseError, match=r"no class for a model of the kind agiformer, which .*agi holds.*--to pth"):
        export_hf("agi")
    keep(project / "runs" / "n-grams", build(**FORMS["gpt2"], ngrams=(2, 3), ngram_rows=50))
    with pytest.raises(CourseError, match=r"this one has embeddings of n-grams\. What works instead: .*--to cpp"):
        export_hf("n-grams")
    with pytest.raises(CourseError, match="this one has embeddings of n-grams"):
        save_hf_gpt2(checkpoint.load("runs/n-grams").model, project / "saved")
    assert {path.name for path in project.iterdir()} == {"_toc.yml", "runs"}


# The tokenizer ---------------------------------------------------------------------------------------------


def splits_the_same(folder: Path, tokenizer: BPETokenizer) -> None:
    """The folder's tokenizer, as transformers opens it, on texts of all kinds of signs."""
    theirs = AutoTokenizer.from_pretrained(folder)
    assert len(theirs) == tokenizer.vocab_size
    draw = random.Random(5)
    signs = TEXT + "".join(map(chr, range(1, 300)))
    for text in [TEXT, *("".join(draw.choices(signs, k=40)) for _ in range(50))]:
        ids = tokenizer.encode(text)
        assert theirs(text, truncation=False)["input_ids"] == ids, text
        assert theirs.decode(ids) == text
    for special, i in tokenizer.special_tokens.items():
        assert theirs(f"a{special}b")["input_ids"] == tokenizer.encode(f"a{special}b", allowed_special="all")
        assert theirs.decode([i], skip_special_tokens=True) == ""


@pytest.mark.parametrize("special", [(), ("<|end|>",), ("<|user|>", "<|endoftext|>")], ids=str)
def test_learned_byte_pairs_are_opened_by_transformers(project: Path, capsys, special: tuple[str, ...]) -> None:
    tokenizer = BPETokenizer.train(TEXT * 4, 290 + len(special), special)
    keep(project / "runs" / "mine", build(vocab_size=tokenizer.vocab_size, block_size=99), tokenizer)
    assert course(["export", "mine", "--to", "hf", "--out", "there"]) == 0
    assert "its tokenizer: transformers.AutoTokenizer.from_pretrained('there')" in capsys.readouterr().out
    splits_the_same(Path("there"), tokenizer)
    assert load_hf_tokenizer(Path("there")) == load_tokenizer(Path("there") / OWN_FILE) == tokenizer
    AutoTokenizer.from_pretrained("there").save_pretrained("again")  # in one file, as transformers writes it
    assert not (Path("again") / "merges.txt").exists()
    assert load_hf_tokenizer(Path("again")) == tokenizer


def test_gpt2s_own(project: Path) -> None:
    gpt2_files()
    tokenizer = BPETokenizer.gpt2()
    keep(project / "runs" / "mine", build(vocab_size=50257, n_embd=8, n_layer=1, block_size=99), tokenizer)
    folder = export_hf("mine")
    splits_the_same(folder, tokenizer)
    assert load_hf_tokenizer(folder) == tokenizer
    settings = json.loads((folder / "config.json").read_text())
    assert settings["eos_token_id"] == settings["bos_token_id"] == AutoTokenizer.from_pretrained(folder).eos_token_id
    assert settings["eos_token_id"] == 50256


@pytest.mark.parametrize("kind", ["char", "byte", "bytes of another pattern"])
def test_a_tokenizer_that_transformers_does_not_have_is_the_courses_file(project: Path, capsys, kind: str) -> None:
    tokenizer = {
        "char": CharTokenizer("abc"),
        "byte": ByteTokenizer(),
        "bytes of another pattern": BPETokenizer([(97, 98)], pattern=r"\s+|\S+"),
    }[kind]
    keep(project / "runs" / "mine", build(vocab_size=tokenizer.vocab_size), tokenizer)
    assert course(["export", "mine", "--to", "hf"]) == 0
    said = capsys.readouterr().out
    assert "transformers has none like it; course_lib.tokenizers.load_tokenizer('mine-hf/course_tokenizer" in said
    assert load_tokenizer(Path("mine-hf") / OWN_FILE) == tokenizer
    names = {path.name for path in Path("mine-hf").iterdir()}
    assert names == {"config.json", "model.safetensors", "course_config.json", OWN_FILE}


def test_a_tokenizer_of_another_kind_is_not_guessed_at(project: Path) -> None:
    assert load_hf_tokenizer(project) is None
    tokenizer = BPETokenizer.train(TEXT * 4, 280)
    keep(project / "runs" / "mine", build(vocab_size=280), tokenizer)
    AutoTokenizer.from_pretrained(export_hf("mine")).save_pretrained(project / "saved")
    path = project / "saved" / "tokenizer.json"
    whole = json.loads(path.read_text())
    for changes, words in (
        (dict(model=whole["model"] | {"type": "WordPiece"}), "should be a byte-pair tokenizer"),
        (dict(pre_tokenizer=whole["pre_tokenizer"] | {"add_prefix_space": True}), "should be a byte-pair tokenizer"),
        (dict(normalizer={"type": "NFC"}), "should be a byte-pair tokenizer"),
        (dict(model={"type": "BPE"}), "is not a tokenizer of transformers"),
        (dict(model=whole["model"] | {"merges": whole["model"]["merges"][:-1]}), "do not belong to the vocabulary"),
    ):
        path.write_text(json.dumps(whole | changes))
        with pytest.raises(CourseError, match=words):
            load_hf_tokenizer(project / "saved")


@pytest.mark.parametrize("kept_as", ["tokenizer.json", "added_tokens.json"])
def test_a_token_that_was_added_later_belongs_to_the_tokenizer(project: Path, kept_as: str) -> None:
    """A folder with vocab.json and merges.txt, which know nothing of it, and beside them the file that does."""
    tokenizer = BPETokenizer.train(TEXT * 4, 280)
    keep(project / "runs" / "mine", build(vocab_size=280), tokenizer)
    folder = export_hf("mine")
    theirs = AutoTokenizer.from_pretrained(folder)
    theirs.add_special_tokens({"pad_token": "<pad>"})
    theirs.save_pretrained(project / "saved")
    whole = (project / "saved" / "tokenizer.json").read_text()
    content = {"tokenizer.json": whole, "added_tokens.json": '{"<pad>": 280}'}
    (folder / kept_as).write_text(content[kept_as])
    found = load_hf_tokenizer(folder)
    assert (found.vocab_size, found.special_tokens) == (281, {"<pad>": 280})
    assert found.encode(TEXT) == tokenizer.encode(TEXT) == theirs.encode(TEXT)
    (folder / OWN_FILE).unlink()
    save_hf_gpt2(build(vocab_size=281, mlp="gelu_tanh"), folder)
    assert find_start(f"gpt2:{folder}").model.config.vocab_size == 281


# The folder ------------------------------------------------------------------------------------------------


def test_an_earlier_export_is_brought_up_to_date_and_nothing_else_is_touched(project: Path, kept: Small) -> None:
    pairs = BPETokenizer([(97, 98)])
    keep(project / "runs" / "pairs", build(vocab_size=257), pairs)
    folder = export_hf("pairs", "there")
    assert (folder / "merges.txt").exists()
    export_hf("mine", "there")  # of another tokenizer: nothing of the old one is left
    assert {p.name for p in folder.iterdir()} == {"config.json", "model.safetensors", "course_config.json", OWN_FILE}
    (folder / "tokenizer.json").write_text("{}")
    (project / "full").mkdir()
    (project / "full" / "config.json").write_text("mine")
    (project / "file").write_text("mine")
    for name, words in (("there", "holds other files"), ("full", "holds other files"), ("file", "is a file")):
        with pytest.raises(CourseError, match=words):
            export_hf("mine", name)
    assert (project / "full" / "config.json").read_text() == "mine"


def test_an_export_that_was_cut_off_is_taken_up_again(project: Path, kept: Small, monkeypatch) -> None:
    def full(tensors: object, target: Path, **words: object) -> None:
        Path(target).write_bytes(b"half")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("course_lib.interop.hf.save_file", full)
        with pytest.raises(KeyboardInterrupt):
            export_hf("mine")
    assert {path.name for path in Path("mine-hf").iterdir()} > {".model.safetensors.new"}
    same_logits(GPT2LMHeadModel.from_pretrained(export_hf("mine")).eval(), kept.model)


def test_the_chosen_save_is_exported(project: Path, kept: Small) -> None:
    with torch.no_grad():
        kept.model.norm.weight.fill_(5)
    checkpoint.save(kept.path, 12, kept.model)
    assert torch.equal(load_hf_gpt2(export_hf("mine", which=12)).norm.weight, torch.full((32,), 5.0))
    with pytest.raises(CourseError, match="has no save 8"):
        export_hf("mine", which=8)


def test_what_leaves_this_machine_does_not_say_where_a_text_lay(project: Path) -> None:
    model, tokenizer = build(), CharTokenizer("".join(chr(97 + i) for i in range(23)))
    data = DataConfig(dataset="text:/home/somebody/secret place/notes.txt", tokenizer="char")
    checkpoint.create_run(project / "runs" / "mine", RunConfig("x", data, model.config, TrainConfig()), tokenizer)
    checkpoint.save(project / "runs" / "mine", 1, model)
    folder = export_hf("mine")
    for path in folder.iterdir():
        assert b"somebody" not in path.read_bytes(), path
    assert "text:notes.txt" in (folder / "course_config.json").read_text()


# All the way -----------------------------------------------------------------------------------------------


def test_a_gpt2_is_loaded_trained_on_and_handed_back(project: Path) -> None:
    gpt2_files()
    if not (Path(os.environ["COURSE_DATA"]) / "tinyshakespeare" / "input.txt").is_file():
        pytest.skip("real text: set COURSE_DATA to a folder that holds tinyshakespeare/input.txt")
    theirs = build_hf(vocab_size=50257, n_embd=16, n_head=2, n_positions=32, bos_token_id=50256, eos_token_id=50256)
    theirs.save_pretrained("theirs")
    data = DataConfig(dataset="shakespeare", tokenizer="gpt2")
    prepared = prepared_for(data)
    model = load_hf_gpt2("theirs", dropout=0.0, tokenizer=prepared.tokenizer)
    same_logits(theirs, model)
    config = TrainConfig(max_steps=20, batch_size=4, max_lr=3e-3, eval_every=0, device="cpu", precision="fp32")
    batches = Batcher(prepared.path("train"), 4, 32, config.seed)
    trainer = Trainer(model, batches, config, tokenizer=prepared.tokenizer, run_dir="runs/tuned", data=data)
    losses = [record.train_loss for record in trainer]
    assert len(losses) == 20
    assert losses[-1] < losses[0]
    back = GPT2LMHeadModel.from_pretrained(export_hf("tuned")).eval()
    same_logits(back, checkpoint.load("runs/tuned").model)
    assert not torch.equal(back.transformer.h[0].mlp.c_fc.weight, theirs.transformer.h[0].mlp.c_fc.weight)
    ids = AutoTokenizer.from_pretrained("tuned-hf")("ROMEO:")["input_ids"]
    assert ids == prepared.tokenizer.encode("ROMEO:")
