"""A whole training run on one page: from a text to a model that writes. On a laptop's CPU it takes about 20 seconds.

    python -m course_lib.pages.train_gpt          1,000 steps
    python -m course_lib.pages.train_gpt 100      another number of steps

Only the text comes from the library. `Trainer` computes the same numbers, bit for bit, and a test compares them.
"""

import math
import sys

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from course_lib.data import load_text

SEED, STEPS = 1337, 1000
BATCH_SIZE, BLOCK_SIZE = 16, 64  # B windows of T characters in a step
N_LAYER, N_HEAD, N_EMBD = 2, 4, 64  # C = 64 numbers for each character
MAX_LR, WARMUP_STEPS, WEIGHT_DECAY, GRAD_CLIP = 0.01, 50, 0.1, 1.0
EVAL_EVERY, EVAL_BATCHES = 100, 20


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm1 = nn.LayerNorm(N_EMBD, bias=False)
        self.qkv = nn.Linear(N_EMBD, 3 * N_EMBD, bias=False)
        self.proj = nn.Linear(N_EMBD, N_EMBD, bias=False)
        self.norm2 = nn.LayerNorm(N_EMBD, bias=False)
        self.up = nn.Linear(N_EMBD, 4 * N_EMBD, bias=False)
        self.down = nn.Linear(4 * N_EMBD, N_EMBD, bias=False)

    def forward(self, x):  # (B, T, C) -> (B, T, C)
        B, T, C = x.shape
        q, k, v = self.qkv(self.norm1(x)).view(B, T, 3, N_HEAD, C // N_HEAD).permute(2, 0, 3, 1, 4)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)  # (B, H, T, C / H), as q, k and v
        x = x + self.proj(y.transpose(1, 2).reshape(B, T, C))
        return x + self.down(F.gelu(self.up(self.norm2(x))))


class GPT(nn.Module):
    def __init__(self, vocab_size):
        super().__init__()
        self.tokens = nn.Embedding(vocab_size, N_EMBD)
        self.positions = nn.Embedding(BLOCK_SIZE, N_EMBD)
        self.blocks = nn.ModuleList(Block() for _ in range(N_LAYER))
        self.norm = nn.LayerNorm(N_EMBD, bias=False)
        self.head = nn.Linear(N_EMBD, vocab_size, bias=False)
        for module in self.modules():
            if isinstance(module, (nn.Linear, nn.Embedding)):
                nn.init.normal_(module.weight, std=0.02)
        for block in self.blocks:  # each block adds twice to the residual stream
            nn.init.normal_(block.proj.weight, std=0.02 / math.sqrt(2 * N_LAYER))
            nn.init.normal_(block.down.weight, std=0.02 / math.sqrt(2 * N_LAYER))
        self.head.weight = self.tokens.weight  # one table reads and writes

    def forward(self, idx):  # (B, T) ids -> (B, T, V) logits
        x = self.tokens(idx) + self.positions.weight[: idx.shape[1]]
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x))


def windows(ids, starts):  # places (B,) -> inputs and targets, each (B, T): a target is the id that comes next
    rows = ids[torch.from_numpy(starts.astype(np.int64))[:, None] + torch.arange(BLOCK_SIZE + 1)]
    return rows[:, :-1], rows[:, 1:]


def next_token_loss(model, x, y):
    return F.cross_entropy(model(x).flatten(0, 1), y.flatten())


def learning_rate(step, steps):  # a linear warm-up, then half a cosine down to 0
    if step < WARMUP_STEPS:
        return MAX_LR * (step + 1) / (WARMUP_STEPS + 1)
    progress = (step - WARMUP_STEPS) / (steps - WARMUP_STEPS)
    return 0.5 * (1 + math.cos(math.pi * progress)) * MAX_LR


if __name__ == "__main__":  # what follows runs when the page is run, and not when it is imported
    steps = int(sys.argv[1]) if len(sys.argv) > 1 else STEPS
    text = load_text("tinytales")
    characters = sorted(set(text))
    id_of = {character: i for i, character in enumerate(characters)}
    ids = torch.tensor([id_of[character] for character in text])
    train_ids, val_ids = ids[: int(0.9 * len(ids))], ids[int(0.9 * len(ids)) :]
    places = np.linspace(0, (len(val_ids) - 1) // BLOCK_SIZE, EVAL_BATCHES * BATCH_SIZE, endpoint=False)
    val_starts = places.astype(np.int64) * BLOCK_SIZE  # spread evenly over the text
    val_batches = [windows(val_ids, starts) for starts in np.split(val_starts, EVAL_BATCHES)]

    torch.manual_seed(SEED)
    model = GPT(len(characters))
    matrices = [p for p in model.parameters() if p.ndim == 2]
    gains = [p for p in model.parameters() if p.ndim == 1]  # of the norms: at 0 they would silence what follows
    groups = [{"params": matrices, "weight_decay": WEIGHT_DECAY}, {"params": gains, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, betas=(0.9, 0.95), fused=True)
    print(f"Before the first step expect a loss near ln {len(characters)} = {math.log(len(characters)):.2f}")

    losses, val_losses = [], {}
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, steps)
        raw = np.random.Philox(key=[SEED, step]).random_raw(BATCH_SIZE)  # a pure function of seed and step
        x, y = windows(train_ids, raw % np.uint64(len(train_ids) - BLOCK_SIZE))
        optimizer.zero_grad()
        loss = next_token_loss(model, x, y)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), GRAD_CLIP)
        optimizer.step()
        losses.append(loss.item())
        if (step + 1) % EVAL_EVERY == 0 or step + 1 == steps:
            model.eval()  # without dropout it changes nothing, and belongs here all the same
            with torch.no_grad():
                val_losses[step] = sum(next_token_loss(model, x, y).item() for x, y in val_batches) / EVAL_BATCHES
            model.train()
            print(f"step {step:3}: training loss {losses[-1]:.3f}, validation loss {val_losses[step]:.3f}")

    generator = torch.Generator().manual_seed(SEED)
    idx = torch.tensor([[id_of["\n"], id_of["\n"]]])  # a story begins after an empty line
    model.eval()
    for _ in range(300):
        with torch.no_grad():
            logits = model(idx[:, -BLOCK_SIZE:])[:, -1]  # of the last place
        probabilities = logits.double().softmax(dim=-1).float()
        idx = torch.cat((idx, torch.multinomial(probabilities, 1, generator=generator)), dim=1)
    print("".join(characters[i] for i in idx[0, 2:]))
