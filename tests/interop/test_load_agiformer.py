"""Weights of the original AGIFORMER: read strictly, and never run. Its logits: tests/models/agiformer."""

import os
import sys

import pytest
import torch

from course_lib.config import AGIFormerConfig
from course_lib.errors import CourseError
from course_lib.interop import load_agiformer
from course_lib.models import AGIFormer

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def weights():
    """Under the names and in the shapes of the original's file, as its description lists them."""
    torch.manual_seed(0)
    C, V, H = 32, 256, 256
    shapes = {
        "encoder.inv_freq": (C // 2,), "encoder.byte_embedding.weight": (V, C), "encoder.patch_conv.weight": (C, C, 3),
        "head.byte_emb.weight": (V, H), "head.rnn.weight_ih_l0": (3 * H, 2 * H), "head.rnn.weight_hh_l0": (3 * H, H),
        "head.rnn.bias_ih_l0": (3 * H,), "head.rnn.bias_hh_l0": (3 * H,), "encoder.patch_conv.bias": (C,),
    }  # fmt: skip
    linears = {"head.proj_latent": (H, C), "head.head": (V, H), "reasoning.gate": (C, C)}
    linears |= {"reasoning.think_mlp.0": (4 * C, C), "reasoning.think_mlp.2": (C, 4 * C)}
    norms = ["encoder.norm", "norm_f", "reasoning.norm"]
    for i in range(2):
        at = f"layers.{i}."
        linears |= {at + "attn.qkv": (3 * C, C), at + "attn.proj": (C, C), at + "ssm.qkv": (3 * C, C)}
        linears |= {at + "ssm.out_proj": (C, C), at + "out_proj": (C, C)}
        linears |= {at + "mlp.0": (4 * C, C), at + "mlp.2": (C, 4 * C)}
        norms += [at + "norm1", at + "norm_mlp", at + "ssm.norm"]
    for name, shape in linears.items():
        shapes |= {name + ".weight": shape, name + ".bias": shape[:1]}
    for name in norms:
        shapes |= {name + ".weight": (C,), name + ".bias": (C,)}
    return {name: torch.randn(shape) * 0.1 for name, shape in shapes.items()}


def test_sizes_come_from_the_weights(weights, tmp_path):
    torch.save(weights, tmp_path / "best_model.pth")
    state = torch.get_rng_state()
    model = load_agiformer(tmp_path / "best_model.pth", num_heads=4, window_size=7, thinking_steps=2)
    assert torch.equal(torch.get_rng_state(), state)
    shape = {"n_embd": 32, "n_layer": 2, "patch_size": 3, "n_head": 4, "window_size": 7, "thinking_steps": 2}
    assert model.config == AGIFormerConfig.faithful(**shape)
    assert not model.training
    assert model.state_dict().keys() == weights.keys()
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, weights[name]), name
    usual = load_agiformer(str(tmp_path / "best_model.pth"))
    assert (usual.config.n_head, usual.config.window_size, usual.config.thinking_steps) == (8, 128, 3)


def test_a_file_of_other_weights_is_refused(weights, tmp_path):
    path = tmp_path / "best_model.pth"
    more, less = dict(weights, extra=torch.zeros(1)), dict(weights)
    less.pop("norm_f.bias")
    for content, words in (
        (more, "extra"), (less, "norm_f.bias"), ({"weight": torch.zeros(2)}, "encoder.patch_conv.weight"),
        ([1, 2], "no dict"), ({"step": 3}, "no dict"), (AGIFormer(AGIFormerConfig(n_embd=32)).state_dict(), "start"),
    ):  # fmt: skip
        torch.save(content, path)
        with pytest.raises(CourseError, match="should hold the weights of an AGIFORMER") as error:
            load_agiformer(path)
        assert words in str(error.value)
    torch.save(weights, path)
    with pytest.raises(CourseError, match="32 is no multiple of 5"):
        load_agiformer(path, num_heads=5)


class Planted:
    def __reduce__(self):
        return os.mkdir, (os.path.join(sys.path[0], "planted"),)


def test_a_pickle_that_runs_something_is_not_run(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    torch.save({"encoder.patch_conv.weight": Planted()}, tmp_path / "best_model.pth")
    (tmp_path / "text.pth").write_text("not weights")
    for name in ("best_model.pth", "text.pth", "missing.pth"):
        with pytest.raises(CourseError, match="cannot be read"):
            load_agiformer(tmp_path / name)
    assert not (tmp_path / "planted").exists()
