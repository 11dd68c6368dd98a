"""AGIFORMER as its description has it, slowly: every pair of patches, every running sum, every byte by itself."""

import math

import torch

from course_lib.models import AGIFormer, AGIFormerConfig

ORIGINAL = {"position": "patch", "own_start": False, "init": "torch"}
FORMS = {
    "faithful": ORIGINAL,
    "default": {},
    "adaptive": {"thinking": "adaptive"},
    "recompute": {"recompute": True},
    "patches of 3, a window of 5": {"patch_size": 3, "window_size": 5},
    "bytes as patches": {"patch_size": 1, "window_size": 2},
    "a window of itself": {"window_size": 1, "thinking_steps": 0},
    "faithful, a wide window": {"window_size": 64, "thinking_steps": 1} | ORIGINAL,
}
SMALL = {"n_embd": 24, "n_head": 3, "n_layer": 2, "n_hidden": 10, "dropout": 0.0, "window_size": 6}


def build(form="default", dtype=torch.float64, **changes):
    """A small model in evaluation mode, its weights large and random, so that no part of it is without effect."""
    torch.manual_seed(1)
    model = AGIFormer(AGIFormerConfig(**SMALL | FORMS[form] | changes)).to(dtype).eval()
    with torch.no_grad():
        for p in model.parameters():
            if p.ndim > 1:
                p.normal_(std=1.5 / math.sqrt(p[0].numel()))
            else:
                p.add_(torch.randn_like(p) * 0.3)
    return model


def text(*shape, seed=0):
    return torch.randint(256, shape, generator=torch.Generator().manual_seed(seed))


def naive_linear_attention(q, k, v):
    """(B, H, N, E) features and values; the running sums are all there at once."""
    sums = torch.einsum("bhne,bhnf->bhnef", k, v).cumsum(2)
    q = q / math.sqrt(q.shape[-1])
    numerator = torch.einsum("bhne,bhnef->bhnf", q, sums)
    return numerator / ((q * k.cumsum(2)).sum(-1, keepdim=True) + 1e-4)


def masked_window_attention(q, k, v, window):
    """(B, H, N, E) x (B, H, M + N, E): all scores, those outside the window ruled out."""
    scores = q @ k.mT / math.sqrt(q.shape[-1])
    here = torch.arange(k.shape[2] - q.shape[2], k.shape[2])[:, None]
    there = torch.arange(k.shape[2])
    allowed = (there <= here) & (there > here - window)
    return scores.masked_fill(~allowed, -math.inf).softmax(-1) @ v


def slow_logits(model, idx):
    """The logits (B, T, 256) from the weights alone."""
    c, w = model.config, {name: tensor.detach().double() for name, tensor in model.state_dict().items()}
    P, T = c.patch_size, idx.shape[1]
    latents = [w.get("start", torch.zeros(c.n_embd).double()).expand(len(idx), -1)]
    if N := T // P:
        latents += slow_latents(c, w, idx[:, : N * P]).unbind(1)
    out = []
    for t in range(T):  # the byte after byte t, from the beginning of its own patch
        begin = (t + 1) // P * P
        known = [torch.full((len(idx),), 256 if c.own_start else 0), *idx[:, begin : t + 1].unbind(1)]
        out.append(slow_bytes(w, latents[begin // P], known))
    return torch.stack(out, dim=1)


def slow_latents(c, w, idx):
    z = slow_intuition(c, w, idx)
    return slow_adaptive(c, w, z) if c.thinking == "adaptive" else slow_thinking(c, w, z)[-1]


def slow_intuition(c, w, idx):
    x = w["encoder.byte_embedding.weight"][idx.unflatten(1, (-1, c.patch_size))]  # (B, N, P, C)
    x = torch.einsum("bnpi,oip->bno", x, w["encoder.patch_conv.weight"]) + w["encoder.patch_conv.bias"]
    if c.position == "patch":
        x = turned(x, torch.arange(x.shape[1]))
    x = norm(w, "encoder.norm", x)
    for i in range(c.n_layer):
        x = slow_block(c, w, f"layers.{i}.", x)
    return norm(w, "norm_f", x)


def slow_block(c, w, at, x):
    h = norm(w, at + "norm1", x)
    B, N, C = x.shape
    q, k, v = linear(w, at + "attn.qkv", h).view(B, N, 3, c.n_head, -1).permute(2, 0, 3, 1, 4)
    if c.position == "rope":
        q, k = (turned(y, torch.arange(N)) for y in (q, k))
    near = masked_window_attention(q, k, v, c.window_size).transpose(1, 2).reshape(B, N, C)
    q, k, v = (y.view(B, N, c.n_head, -1).transpose(1, 2) for y in linear(w, at + "ssm.qkv", h).chunk(3, dim=-1))
    q, k = (torch.where(y > 0, y + 1, y.exp()) + 1e-4 for y in (q, k))
    far = naive_linear_attention(q, k, v).transpose(1, 2).reshape(B, N, C)
    far = norm(w, at + "ssm.norm", linear(w, at + "ssm.out_proj", far))
    x = x + linear(w, at + "out_proj", linear(w, at + "attn.proj", near) + far)
    return x + mlp(w, at + "mlp", norm(w, at + "norm_mlp", x))


def slow_thinking(c, w, z):
    """The states of z, from none to all of its steps."""
    states = [z]
    for _ in range(c.thinking_steps):
        h = norm(w, "reasoning.norm", states[-1])
        states.append(states[-1] + linear(w, "reasoning.gate", h).sigmoid() * mlp(w, "reasoning.think_mlp", h))
    return states


def slow_adaptive(c, w, z, enough=0.99):
    """Patch by patch, in Python: Graves 2016, equations 6 to 8 and 13."""
    out = torch.zeros_like(z)
    states = slow_thinking(c, w, z)[1:]
    for place in [(b, n) for b in range(z.shape[0]) for n in range(z.shape[1])]:
        left = 1.0
        for i, state in enumerate(states):
            chance = linear(w, "reasoning.halt", norm(w, "reasoning.norm", state[place])).sigmoid().item()
            if 1 - left + chance >= enough or i + 1 == len(states):
                out[place] += left * state[place]
                break
            out[place] += chance * state[place]
            left -= chance
    return out


def slow_bytes(w, latent, known):
    """A GRU, equation by equation, over the bytes known of the patch; the scores of the next one."""
    context = linear(w, "head.proj_latent", latent)
    h = torch.zeros(context.shape).double()
    for byte in known:
        x = torch.cat((w["head.byte_emb.weight"][byte], context), dim=-1)
        xr, xz, xn = (x @ w["head.rnn.weight_ih_l0"].T + w["head.rnn.bias_ih_l0"]).chunk(3, dim=-1)
        hr, hz, hn = (h @ w["head.rnn.weight_hh_l0"].T + w["head.rnn.bias_hh_l0"]).chunk(3, dim=-1)
        r, z = (xr + hr).sigmoid(), (xz + hz).sigmoid()
        h = (1 - z) * (xn + r * hn).tanh() + z * h
    return linear(w, "head.head", h)


def turned(x, places):
    """Pairs (x[i], x[i + half]) as complex numbers, turned by place / 10,000^(i / half)."""
    half = x.shape[-1] // 2
    z = torch.complex(x[..., :half].double(), x[..., half:].double())
    angles = places[:, None].double() * 10_000.0 ** (-torch.arange(half).double() / half)
    z = z * torch.polar(torch.ones_like(angles), angles)
    return torch.cat((z.real, z.imag), dim=-1)


def linear(w, name, x):
    return x @ w[name + ".weight"].T + w[name + ".bias"]


def norm(w, name, x):
    centred = x - x.mean(-1, keepdim=True)
    return centred / (centred.square().mean(-1, keepdim=True) + 1e-5).sqrt() * w[name + ".weight"] + w[name + ".bias"]


def mlp(w, name, x):
    x = linear(w, name + ".0", x)
    return linear(w, name + ".2", x * 0.5 * (1 + torch.erf(x / math.sqrt(2))))
