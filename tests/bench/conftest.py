"""Peers to measure beside: nanoGPT where there is a copy of it, and a stand-in that is only its interface."""

import os
from pathlib import Path

import pytest

MODEL = """
import dataclasses, torch
from torch.nn import functional as F

@dataclasses.dataclass
class GPTConfig:
    block_size: int; vocab_size: int; n_layer: int; n_head: int; n_embd: int; dropout: float; bias: bool

class GPT(torch.nn.Module):
    def __init__(self, config):
        super().__init__()
        print("number of parameters: few")
        self.table = torch.nn.Embedding(config.vocab_size, config.vocab_size)
        self.losses = losses

    def configure_optimizers(self, weight_decay, learning_rate, betas, device_type):
        return torch.optim.AdamW(self.parameters(), learning_rate, betas, weight_decay=weight_decay)

    def forward(self, idx, targets=None):
        logits = self.table(idx)
        loss = None
        if targets is not None:
            loss = F.cross_entropy(logits.view(-1, logits.size(-1)), targets.view(-1), ignore_index=-1)
            self.losses.append((idx.tolist(), loss.item()))
        return logits, loss

    def generate(self, idx, max_new_tokens, temperature=1.0, top_k=None):
        return torch.cat([idx] + [idx[:, :1]] * max_new_tokens, dim=1)

losses = []
"""
"""nanoGPT's interface, and what its model does with its targets."""

TRAIN = """
import os, sys, time, torch
from model import GPT, GPTConfig

settings = dict(word[2:].split("=") for word in sys.argv[2:])
block_size = int(settings.get("block_size", 16))
text = open("data/shakespeare_char/input.txt").read()
stoi = {c: i for i, c in enumerate(sorted(set(text)))}
ids = torch.tensor([stoi[c] for c in text[: int(len(text) * 0.9)]])
args = dict(block_size=block_size, vocab_size=len(stoi), n_layer=1, n_head=1, n_embd=1, dropout=0.0, bias=False)
model = GPT(GPTConfig(**args))
print("step 0: train loss 9.0000, val loss 9.0000")
for step in range(10, 60, 10):
    print(f"iter {step - 10}: loss 4.0000, time 1.00ms, mfu 1.00%")
    waited = 0
    while os.path.exists(settings["out_dir"] + "/ckpt.pt") and waited < 1000:  # real steps take their time
        time.sleep(0.02)
        waited += 1
    seen = ids[: 4 ** (step // 10)]
    counts = torch.full((len(stoi), len(stoi)), 0.5)
    counts.index_put_((seen[:-1], seen[1:]), torch.ones(len(seen) - 1), accumulate=True)
    model.table.weight.data = counts.log()
    print(f"step {step}: train loss {5 - step / 100:.4f}, val loss {5 - step / 100:.4f}")
    print(f"saving checkpoint to {settings['out_dir']}")
    weights = {"_orig_mod." + name: value for name, value in model.state_dict().items()}
    os.makedirs(settings["out_dir"], exist_ok=True)
    torch.save({"model": weights, "model_args": args, "iter_num": step}, settings["out_dir"] + "/ckpt.pt")
"""
"""nanoGPT's way to print and to save; its model counts which character follows which, in more and more text."""


@pytest.fixture
def stand_in(tmp_path: Path) -> Path:
    folder = tmp_path / "peer"
    (folder / "config").mkdir(parents=True)
    (folder / "model.py").write_text(MODEL)
    (folder / "train.py").write_text(TRAIN)
    return folder


def nanogpt_folder() -> Path | None:
    """The copy of nanoGPT that COURSE_PEER_NANOGPT names, if it does."""
    folder = os.environ.get("COURSE_PEER_NANOGPT")
    return None if folder is None or not (Path(folder) / "model.py").is_file() else Path(folder).resolve()


@pytest.fixture
def nanogpt() -> Path:
    folder = nanogpt_folder()
    if folder is None:
        pytest.skip("COURSE_PEER_NANOGPT names no folder with nanoGPT's model.py")
    return folder


@pytest.fixture
def any_peer(stand_in: Path) -> Path:
    """nanoGPT where there is one, else the stand-in."""
    return nanogpt_folder() or stand_in
