"""Embeddings of n-grams against a slow version in Python's whole numbers, and what they are to a GPT."""

import pytest
import torch

from course_lib.config import GPTConfig
from course_lib.kernels import find_compiler
from course_lib.losses import cross_entropy
from course_lib.models import GPT
from course_lib.models.ngrams import NGramEmbedding, with_nothing_before
from course_lib.models.partial import LADDER, PartialGPT

V, C, BLOCK = 23, 24, 16
SHAPE = dict(block_size=BLOCK, vocab_size=V, n_layer=2, n_head=2, n_embd=C)
FORMS = {
    "pairs": dict(ngrams=(2,)),
    "many share a row": dict(ngrams=(2, 3, 5), ngram_rows=7),
    "some share a row": dict(ngrams=(2, 3, 5), ngram_rows=24**2),
    "one n-gram, far back": dict(ngrams=(4,), ngram_rows=1000, position="rope", tie_weights=False),
    "longer than the context": dict(ngrams=(2, 32), ngram_rows=1000, norm="rmsnorm", mlp="swiglu"),
}

pytestmark = pytest.mark.usefixtures("one_thread")


def build(**changes) -> GPT:
    """A model in evaluation mode whose weights are large enough for every token to matter; its tables are not zero."""
    torch.manual_seed(0)
    model = GPT(GPTConfig(**(SHAPE | changes))).eval()
    with torch.no_grad():
        for p in model.parameters():
            p.normal_(std=0.3) if p.ndim == 2 else p.add_(torch.randn_like(p) * 0.2)
    return model


def ids(B: int, T: int, V: int = V, seed: int = 0) -> torch.Tensor:
    return torch.randint(V, (B, T), generator=torch.Generator().manual_seed(seed))


@pytest.fixture(params=FORMS.values(), ids=FORMS)
def model(request) -> GPT:
    return build(**request.param)


# The rows, and what they add ------------------------------------------------------------------------------


def slow_row(tokens: list[int], t: int, n: int, vocab_size: int, most: int) -> int:
    """Which row the n tokens up to place t choose: a number of n digits, the oldest first, written out in powers."""
    base = vocab_size + 1
    digits = [tokens[place] + 1 if place >= 0 else 0 for place in range(t - n + 1, t + 1)]
    number = sum(digit * base**power for power, digit in enumerate(reversed(digits)))
    return number if base**n <= most else number % 2147483647 * 1103515245 % 2147483647 % most


def slow_sum(model: GPT, tokens: list[int]) -> list[list[float]]:
    """What the tables add to each of the tokens: their rows, number by number, in float64."""
    config = model.config
    tables = [table.weight.double().tolist() for table in model.ngram_embedding.tables]
    found = []
    for t in range(len(tokens)):
        rows = [slow_row(tokens, t, n, config.vocab_size, config.ngram_rows) for n in config.ngrams]
        chosen = [table[row] for table, row in zip(tables, rows, strict=True)]
        found.append([sum(numbers) for numbers in zip(*chosen, strict=True)])
    return found


@pytest.mark.parametrize("vocab_size", [1, 2, 23, 256, 50_257, 4_000_000])
@pytest.mark.parametrize("rows", [1, 2, 37, 24**3, 32_768])
def test_the_rows_are_those_of_exact_arithmetic(vocab_size: int, rows: int) -> None:
    """Also where a number of n digits takes far more than 64 bits."""
    orders = (2, 3, 8, 32)
    config = GPTConfig(block_size=40, vocab_size=vocab_size, n_layer=1, n_head=1, n_embd=1, ngrams=orders)
    embedding = NGramEmbedding(config.replace(ngram_rows=rows))
    idx = ids(2, 40, vocab_size)
    idx[0, :5] = vocab_size - 1
    found = embedding.rows(with_nothing_before(idx, embedding.reach))
    for row, tokens in enumerate(idx.tolist()):
        for n, places, table in zip(orders, found, embedding.tables, strict=True):
            expected = [slow_row(tokens, t, n, vocab_size, rows) for t in range(40)]
            assert places[row].tolist() == expected
            assert max(expected) < len(table.weight) == min(rows, (vocab_size + 1) ** n)


@torch.no_grad()
def test_the_sum_is_the_slow_sum(model: GPT) -> None:
    idx = ids(3, BLOCK)
    found = model.ngram_embedding(with_nothing_before(idx, model.ngram_embedding.reach))
    expected = torch.tensor([slow_sum(model, tokens) for tokens in idx.tolist()])
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)
    assert expected.std() > 0.2


@torch.no_grad()
def test_a_gpt_adds_it_to_its_tokens(model: GPT) -> None:
    """The same GPT without tables, given the sum by way of its position table, computes the same."""
    idx = ids(1, BLOCK)
    plain = GPT(model.config.replace(ngrams=())).eval()
    plain.load_state_dict({k: v for k, v in model.state_dict().items() if "ngram" not in k})
    assert (plain(idx) - model(idx)).abs().max() > 1e-2
    more = torch.tensor([slow_sum(model, idx[0].tolist())])
    plain.token_embedding.register_forward_hook(lambda module, args, output: output + more)
    torch.testing.assert_close(plain(idx), model(idx), rtol=0, atol=1e-5 * max(1.0, model(idx).abs().max().item()))


def test_rows_are_not_shared_where_all_fit() -> None:
    """Each of 8^3 threes, those with nothing before them too, has a row of its own; with one row fewer some share."""
    config = GPTConfig(block_size=8, vocab_size=7, n_layer=1, n_head=1, n_embd=1, ngrams=(3,))
    digits = torch.cartesian_prod(*[torch.arange(8)] * 3)
    for rows, distinct in ((8**3, 8**3), (8**3 - 1, None)):
        found = NGramEmbedding(config.replace(ngram_rows=rows)).rows(digits)[0].flatten().tolist()
        assert set(found) <= set(range(rows))
        assert distinct is None or sorted(found) == list(range(distinct))
    assert 200 < len(set(found)) < 8**3 - 1  # scattered: of 512 balls in 511 boxes 63% of the boxes have one


# Before and after -----------------------------------------------------------------------------------------


def test_a_token_changes_the_rows_within_reach_and_no_others() -> None:
    """With a row for each n-gram the places are exact: the token's own, and as many as the longest n-gram goes on."""
    model = build(ngrams=(2, 5), ngram_rows=8**5, vocab_size=7)
    embedding, idx = model.ngram_embedding, ids(2, BLOCK, 7)
    before = embedding(with_nothing_before(idx, embedding.reach))
    for t in (0, 6, BLOCK - 2, BLOCK - 1):
        other = idx.clone()
        other[0, t] = (other[0, t] + 1) % 7
        after = embedding(with_nothing_before(other, embedding.reach))
        differs = (after != before).any(dim=-1)
        assert differs[0].nonzero().flatten().tolist() == list(range(t, min(t + 5, BLOCK)))
        assert not differs[1].any()


def test_a_token_changes_no_earlier_score(model: GPT) -> None:
    idx = ids(2, 12)
    logits = model(idx)
    for t in (0, 5, 11):
        other = idx.clone()
        other[0, t] = (other[0, t] + 1) % V
        changed = model(other)
        torch.testing.assert_close(changed[0, :t], logits[0, :t], rtol=0, atol=1e-5)
        assert (changed[0, t:] - logits[0, t:]).abs().amax(dim=-1).gt(1e-3).all()
        torch.testing.assert_close(changed[1], logits[1], rtol=0, atol=1e-5)


def test_it_begins_as_the_model_without_them() -> None:
    """The tables are zero and draw no random numbers, so the rest of the model is the same, bit for bit."""
    for form in FORMS.values():
        both = []
        for ngrams in (form["ngrams"], ()):
            torch.manual_seed(3)
            both.append(GPT(GPTConfig(**SHAPE | form | dict(ngrams=ngrams))))
        assert torch.equal(both[0](ids(2, BLOCK)), both[1](ids(2, BLOCK)))
        assert set(both[0].state_dict()) > set(both[1].state_dict())


# Gradients ------------------------------------------------------------------------------------------------


def gradients(model: GPT, idx: torch.Tensor) -> dict[str, torch.Tensor]:
    model.zero_grad()
    cross_entropy(model(idx[:, :-1]), idx[:, 1:]).backward()
    return {name: p.grad for name, p in model.named_parameters()}


def made_sparse(model: GPT, sparse: bool = True) -> GPT:
    for table in model.ngram_embedding.tables:
        table.sparse = sparse
    return model


def test_the_gradient_reaches_the_rows_that_were_looked_up_and_no_others(model: GPT) -> None:
    idx = ids(3, BLOCK)
    for sparse in (True, False):
        found = gradients(made_sparse(model, sparse), idx)
        for number, n in enumerate(model.config.ngrams):
            gradient = found[f"ngram_embedding.tables.{number}.weight"]
            assert gradient.is_sparse is sparse
            gradient = gradient.to_dense() if sparse else gradient
            rows = {
                slow_row(tokens, t, n, V, model.config.ngram_rows) for tokens in idx.tolist() for t in range(BLOCK - 1)
            }
            assert set(gradient.abs().sum(dim=1).nonzero().flatten().tolist()) == rows


def test_sparse_and_dense_gradients_are_the_same(model: GPT) -> None:
    idx = ids(3, BLOCK)
    sparse = gradients(made_sparse(model.double()), idx)
    dense = gradients(made_sparse(model, False), idx)
    assert sum(g.is_sparse for g in sparse.values()) == len(model.config.ngrams)
    for name, expected in dense.items():
        assert not expected.is_sparse
        found = sparse[name].to_dense() if sparse[name].is_sparse else sparse[name]
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


def test_a_plain_optimizer_gets_dense_gradients() -> None:
    """torch's AdamW refuses sparse ones, so they come only where the library's own optimizer moves the tables."""
    model = build(ngrams=(2, 3)).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    before = [table.weight.clone() for table in model.ngram_embedding.tables]
    gradients(model, ids(2, BLOCK))
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    assert not any(torch.equal(b, t.weight) for b, t in zip(before, model.ngram_embedding.tables, strict=True))


# Counts, copies, types ------------------------------------------------------------------------------------


def test_counts_by_hand() -> None:
    """Pairs of 24 digits need 576 rows, threes get the 1,000 that there are."""
    model = GPT(GPTConfig(**SHAPE, ngrams=(2, 3), ngram_rows=1000))
    tables, block = (24**2 + 1000) * C, 12 * C**2 + 2 * C
    tokens, positions = V * C, BLOCK * C
    assert model.num_parameters() == tokens + tables + positions + 2 * block + C
    assert model.num_parameters(embeddings=False) == 2 * block + C
    assert model.num_active_parameters() == tokens + 2 * C + positions + 2 * block + C
    plain = GPT(GPTConfig(**SHAPE))
    assert plain.num_active_parameters() == plain.num_parameters() == model.num_parameters() - tables
    assert plain.flops_per_token() == model.flops_per_token()  # to look up is not to multiply


def test_a_cropped_copy_computes_the_same(model: GPT) -> None:
    smaller = model.cropped(7)
    assert torch.equal(smaller(ids(2, 7)), model(ids(2, 7)))
    assert smaller.config == model.config.replace(block_size=7)


def test_the_rungs_of_the_ladder_are_models_of_single_tokens() -> None:
    """Each adds one part to counting pairs, and none of them is a table of n-grams."""
    for rung in LADDER:
        part = PartialGPT(GPTConfig(**SHAPE, ngrams=(2, 3)), rung)
        assert part.config.ngrams == ()
        assert not [name for name, _ in part.named_parameters() if "ngram" in name]
        assert part(ids(2, 5)).shape == (2, 5, V)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
@torch.no_grad()
def test_it_works_in_other_types(model: GPT, dtype: torch.dtype) -> None:
    idx = ids(2, 8)
    exact = model(idx).softmax(dim=-1)
    other = model.to(dtype)(idx)
    assert other.dtype == dtype
    tolerance = 0.3 if dtype == torch.bfloat16 else 1e-4
    assert (other.float().softmax(dim=-1) - exact).abs().max() < tolerance
    cache = model.new_cache(2)
    parts = torch.cat([model(part, cache) for part in idx.split([3, 1, 4], dim=1)], dim=1)
    assert (parts.float().softmax(dim=-1) - exact).abs().max() < tolerance


@pytest.mark.slow
@pytest.mark.skipif(find_compiler() is None, reason="torch.compile makes C++, and no compiler was found")
@pytest.mark.filterwarnings("ignore")  # of the compiler's own imports
def test_compiled_it_computes_the_same() -> None:
    model, idx = made_sparse(build(ngrams=(2, 3), ngram_rows=100)), ids(2, BLOCK)
    expected = {name: g.to_dense() if g.is_sparse else g for name, g in gradients(model, idx).items()}
    compiled = torch.compile(model)
    torch.testing.assert_close(compiled(idx), model(idx), rtol=0, atol=1e-4)
    model.zero_grad()
    cross_entropy(compiled(idx[:, :-1]), idx[:, 1:]).backward()
    for name, p in model.named_parameters():
        assert not p.grad.is_sparse
        torch.testing.assert_close(p.grad, expected[name], rtol=1e-3, atol=1e-5)
