"""GPT-2 folders of transformers: the same logits in both directions, and what is refused."""

import json
import re
from pathlib import Path

import pytest
import torch
from hf_models import build_hf, same_logits
from safetensors.torch import load_file, save_file
from transformers import GPT2LMHeadModel

from course_lib.config import GPTConfig
from course_lib.errors import CourseError
from course_lib.interop import load_hf_gpt2, save_hf_gpt2
from course_lib.models import GPT
from course_lib.tokenizers import ByteTokenizer

pytestmark = [pytest.mark.usefixtures("one_thread")]
SHAPES = {
    "small": {},
    "GPT-2's vocabulary": dict(vocab_size=50257, n_layer=1, bos_token_id=50256, eos_token_id=50256),
    "one head, deeper": dict(n_head=1, n_layer=5),
    "heads of one number": dict(n_head=24),
    "exact GELU": dict(activation_function="gelu"),
    "tanh by its other name": dict(activation_function="gelu_pytorch_tanh"),
    "a head of its own": dict(tie_word_embeddings=False),
    "no dropout": dict(resid_pdrop=0.0, attn_pdrop=0.0, embd_pdrop=0.0),
    "wide": dict(n_embd=96, n_head=4, n_positions=7, n_inner=384),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    build_hf().save_pretrained(tmp_path / "my model")
    return tmp_path / "my model"


def edit(folder: Path, **changes) -> None:
    """Change settings of config.json; None takes one away."""
    path = folder / "config.json"
    settings = json.loads(path.read_text()) | changes
    kept = {name: value for name, value in settings.items() if name not in changes or value is not None}
    path.write_text(json.dumps(kept))


def can_be_pasted(folder: Path, error: CourseError) -> None:
    """The message names the folder, and always in quotes, as its name has a space."""
    assert str(folder) in str(error)
    assert folder.name not in re.sub(r"'[^']*'", "", str(error)), error


# The same model --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", SHAPES)
def test_logits_are_those_of_transformers_in_both_directions(tmp_path: Path, form: str) -> None:
    hf = build_hf(**SHAPES[form])
    hf.save_pretrained(tmp_path / "theirs")
    model = load_hf_gpt2(tmp_path / "theirs")
    assert not model.training
    same_logits(hf, model)
    back = GPT2LMHeadModel.from_pretrained(save_hf_gpt2(model, tmp_path / "ours")).eval()
    for name, tensor in hf.state_dict().items():
        assert torch.equal(back.state_dict()[name], tensor), name
    same_logits(back, model)
    same_logits(hf, load_hf_gpt2(tmp_path / "ours"))
    for name in ("n_positions", "n_head", "resid_pdrop", "attn_pdrop", "embd_pdrop", "tie_word_embeddings"):
        assert getattr(back.config, name) == getattr(hf.config, name)


def test_a_model_in_shards_or_without_prefix_or_in_bf16(tmp_path: Path) -> None:
    hf = build_hf()
    hf.save_pretrained(tmp_path / "shards", max_shard_size="20KB")
    assert len(list((tmp_path / "shards").glob("*.safetensors"))) > 2
    same_logits(hf, load_hf_gpt2(tmp_path / "shards"))
    hf.transformer.save_pretrained(tmp_path / "bare")  # a GPT2Model, as GPT-2's own folder on the Hub
    path = tmp_path / "bare" / "model.safetensors"
    tensors = load_file(path)
    assert "wte.weight" in tensors
    mask = torch.ones(1, 1, 16, 16).tril()
    save_file(tensors | {"h.0.attn.bias": mask, "h.1.attn.masked_bias": torch.tensor(-1e4)}, path)
    same_logits(hf, load_hf_gpt2(tmp_path / "bare"))
    hf.bfloat16().save_pretrained(tmp_path / "half")
    model = load_hf_gpt2(tmp_path / "half")
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    same_logits(hf.float(), model)


@pytest.mark.parametrize(
    "form", [dict(bias=False), dict(bias=True), dict(tie_weights=False), dict(mlp="gelu_tanh")], ids=str
)
def test_a_model_of_the_course_is_read_by_transformers(tmp_path: Path, form: dict) -> None:
    torch.manual_seed(0)
    model = GPT(GPTConfig(12, 65, 2, 2, 16, dropout=0.2, **form)).eval()
    for p in model.parameters():
        torch.nn.init.normal_(p, std=0.4)
    hf, info = GPT2LMHeadModel.from_pretrained(save_hf_gpt2(model, tmp_path / "a folder"), output_loading_info=True)
    assert not any(info.values()), info
    assert hf.config.attn_pdrop == hf.config.resid_pdrop == hf.config.embd_pdrop == 0.2
    same_logits(hf.eval(), model)


def test_training_on_has_the_dropout_that_is_asked_for(folder: Path) -> None:
    assert load_hf_gpt2(folder).config.dropout == 0.1
    assert load_hf_gpt2(folder, dropout=0.0).config.dropout == 0.0
    edit(folder, attn_pdrop=0.2)
    with pytest.raises(CourseError, match=r"attn_pdrop 0\.2; the course's GPT has one dropout for all\. Choose it"):
        load_hf_gpt2(folder)
    assert load_hf_gpt2(folder, dropout=0.3).blocks[1].attn.attn_dropout.p == 0.3


def test_torch_keeps_its_random_numbers(folder: Path) -> None:
    before = torch.get_rng_state()
    load_hf_gpt2(folder)
    assert torch.equal(torch.get_rng_state(), before)


# What is refused -------------------------------------------------------------------------------------------

SETTINGS = {
    "another architecture": (dict(model_type="llama"), "its model_type is 'llama'"),
    "no architecture": (dict(model_type=None), "its model_type is None"),
    "heads that do not divide": (dict(n_head=5), "n_embd should be a multiple of n_head.*24 is no multiple of 5"),
    "no heads": (dict(n_head=0), "n_head should be at least 1"),
    "a width in words": (dict(n_embd="24"), "n_embd should be a whole number; it is '24'"),
    "no depth": (dict(n_layer=None), "lacks n_layer"),
    "another activation": (dict(activation_function="relu"), "activation_function is 'relu'"),
    "no activation's name": (dict(activation_function=["gelu"]), r"activation_function is \['gelu'\]"),
    "another epsilon": (dict(layer_norm_epsilon=1e-6), "layer_norm_epsilon is 1e-06, and the course's GPT has 1e-05"),
    "scores of another scale": (dict(scale_attn_by_inverse_layer_idx=True), "scale_attn_by_inverse_layer_idx is True"),
    "cross-attention": (dict(add_cross_attention=True), "add_cross_attention is True"),
    "a narrow MLP": (dict(n_inner=48), "n_inner is 48; the course's MLP is four times as wide as the model, 96"),
    "a tie in words": (dict(tie_word_embeddings="yes"), "tie_weights should be true or false"),
    "dropout of all": (dict(resid_pdrop=1.0, embd_pdrop=1.0, attn_pdrop=1.0), "dropout should be at least 0 and below"),
    "more layers": (dict(n_layer=3), r"lacks transformer\.h\.2.* and 9 more, which a GPT-2 of its config.json has"),
    "fewer layers": (dict(n_layer=1), r"holds transformer\.h\.1.* and 9 more, which a GPT-2 of its .* does not have"),
    "layers without end": (dict(n_layer=10**15), "holds 28 tensors, and config.json says n_layer 1000000000000000"),
    "a vocabulary without end": (dict(vocab_size=10**12), r"should have the shape \(1000000000000, 24\)"),
    "more rows than any number has": (dict(vocab_size=10**30), r"should have the shape \(10{30}, 24\)"),
    "more places than any number has": (dict(n_positions=10**30), r"should have the shape \(10{30}, 24\)"),
    "a width without end": (dict(n_embd=10**12 * 3), r"should have the shape \(101, 3000000000000\)"),
    "a width beyond all": (dict(n_embd=10**30 * 3), r"should have the shape \(101, 30{30}\)"),
    "another width": (dict(n_embd=48), r"should have the shape \(101, 48\) by config.json; it has \(101, 24\)"),
    "another vocabulary": (dict(vocab_size=100), r"wte.weight should have the shape \(100, 24\)"),
    "another context": (dict(n_positions=17), r"wpe.weight should have the shape \(17, 24\)"),
    "a head that is not there": (dict(tie_word_embeddings=False), r"lacks lm_head\.weight"),
}


@pytest.mark.parametrize("name", SETTINGS)
def test_a_config_that_is_not_this_model_is_refused(folder: Path, name: str) -> None:
    changes, words = SETTINGS[name]
    edit(folder, **changes)
    with pytest.raises(CourseError, match=words) as error:
        load_hf_gpt2(folder)
    can_be_pasted(folder, error.value)


def test_any_tensor_that_is_missing_extra_or_turned_is_named(folder: Path) -> None:
    path = folder / "model.safetensors"
    whole = load_file(path)
    for name, tensor in whole.items():
        save_file({other: t for other, t in whole.items() if other != name}, path)
        with pytest.raises(CourseError, match=f"lacks {name}"):
            load_hf_gpt2(folder)
        save_file(whole | {name: tensor[:-1].contiguous()}, path)
        with pytest.raises(CourseError, match=f"{name} should have the shape") as error:
            load_hf_gpt2(folder)
        can_be_pasted(folder, error.value)
    for extra in ("h.0.attn.c_attn.weight", "transformer.h.0.attn.c_attn.lora", "score.weight"):
        save_file(whole | {extra: torch.zeros(2)}, path)
        with pytest.raises(CourseError, match=f"holds {extra}, which a GPT-2") as error:
            load_hf_gpt2(folder)
        can_be_pasted(folder, error.value)


def test_a_head_beside_the_embedding_that_it_is_tied_to(folder: Path) -> None:
    path = folder / "model.safetensors"
    whole = load_file(path)
    embedding = whole["transformer.wte.weight"]
    save_file(whole | {"lm_head.weight": embedding.clone()}, path)
    same_logits(build_hf(), load_hf_gpt2(folder))
    save_file(whole | {"lm_head.weight": embedding + 1}, path)
    with pytest.raises(CourseError, match=r"although .* ties them") as error:
        load_hf_gpt2(folder)
    can_be_pasted(folder, error.value)
    edit(folder, tie_word_embeddings=False)
    assert torch.equal(load_hf_gpt2(folder).head.weight, embedding + 1)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    folder = tmp_path / "my shards"
    shards = build_hf().save_pretrained(folder, max_shard_size="20KB")
    shards = sorted(folder.glob("model-*.safetensors"))
    index = folder / "model.safetensors.index.json"
    whole, listed = {p: p.read_bytes() for p in [*shards, index, folder / "config.json"]}, json.loads(index.read_text())
    name, file = next(iter(listed["weight_map"].items()))
    elsewhere = {"weight_map": listed["weight_map"] | {name: next(p.name for p in shards if p.name != file)}}
    damages: list[tuple[Path, bytes | None, str]] = [
        (shards[0], None, "is missing; .*index.json lists it"),
        (shards[1], whole[shards[1]][:-4], "is not a whole safetensors file"),
        (index, None, "should hold model.safetensors, or model.safetensors.index.json and its shards"),
        (index, b"{}", "should have a weight_map"),
        (index, b"\xff{", "Cannot read .*index.json"),
        (index, json.dumps(elsewhere).encode(), f"do not agree on {name}"),
        (folder / "config.json", None, "There is no .*config.json'. A GPT-2 folder"),
        (folder / "config.json", b"[1]", "should hold a JSON object"),
        (folder / "config.json", b"{", "Cannot read .*config.json"),
    ]
    for path, content, words in damages:
        path.unlink() if content is None else path.write_bytes(content)
        with pytest.raises(CourseError, match=words) as error:
            load_hf_gpt2(folder)
        can_be_pasted(folder, error.value)
        path.write_bytes(whole[path])
    load_hf_gpt2(folder)
    for shard in [*shards, index]:
        shard.unlink()
    (folder / "pytorch_model.bin").write_bytes(b"a pickle")
    with pytest.raises(CourseError, match=r"pytorch_model.bin alone is there, a pickle.*save_pretrained"):
        load_hf_gpt2(folder)


def test_another_vocabulary_than_the_tokenizers(folder: Path) -> None:
    with pytest.raises(CourseError, match=r"101 tokens, and the tokenizer \(byte\) one of 256") as error:
        load_hf_gpt2(folder, tokenizer=ByteTokenizer())
    can_be_pasted(folder, error.value)


MODERN = {
    "position": "rope",
    "norm": "rmsnorm",
    "qk_norm": True,
    "mlp": "swiglu",
}


@pytest.mark.parametrize("name", MODERN)
def test_a_modern_model_has_no_class_there(tmp_path: Path, name: str) -> None:
    model = GPT(GPTConfig(12, 65, 2, 2, 16, **{name: MODERN[name]}))
    with pytest.raises(CourseError, match=f"no class for this model.*has {name} {MODERN[name]}.*--to cpp"):
        save_hf_gpt2(model, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_write_that_fails_leaves_what_was_there(tmp_path: Path, monkeypatch) -> None:
    model = GPT(GPTConfig(12, 65, 2, 2, 16))
    folder = save_hf_gpt2(model, tmp_path / "my out")
    before = {p.name: p.read_bytes() for p in folder.iterdir()}

    def full(tensors: object, target: Path, **words: object) -> None:
        Path(target).write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("course_lib.interop.hf.save_file", full)
    with pytest.raises(CourseError, match=r"Cannot write .*my out': .*No space left"):
        save_hf_gpt2(model, folder)
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == before
    (tmp_path / "file").write_text("")
    with pytest.raises(CourseError, match=r"Cannot write .*file"):
        save_hf_gpt2(model, tmp_path / "file")
