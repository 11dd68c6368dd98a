"""microGPT's parts, on scalars and on vectors: results and gradients against torch, in 64 bits."""

import math
import random
from collections.abc import Callable
from types import ModuleType

import pytest
import torch
import torch.nn.functional as F

from course_lib.errors import CourseError
from course_lib.models.micro import Adam, MicroConfig, Vector, cosine, scalar, vector
from course_lib.models.micro.gpt import document_loss, draw_weights, rows_of

ENGINES = pytest.mark.parametrize("parts", [scalar, vector], ids=["scalar", "vector"])


def drawn(rows: int, columns: int, seed: int = 0) -> list[list[float]]:
    generator = random.Random(seed)
    return [[generator.gauss(0, 1) for _ in range(columns)] for _ in range(rows)]


def backward(result: object) -> None:
    (result[0] if isinstance(result, list) else result).backward()


def agree(parts: ModuleType, rows: list[list[float]], mine: Callable, theirs: Callable) -> None:
    """Both functions take the rows and give a vector: its numbers agree, and the gradients of a weighted sum."""
    inputs = parts.matrix(rows)
    tensors = [torch.tensor(row, dtype=torch.float64, requires_grad=True) for row in rows]
    result, reference = mine(inputs), theirs(tensors)
    assert parts.numbers(result) == pytest.approx(reference.tolist(), rel=1e-12, abs=1e-14)
    weights = drawn(1, len(reference), seed=9)[0]
    backward(parts.linear(result, parts.matrix([weights])))
    (reference * torch.tensor(weights, dtype=torch.float64)).sum().backward()
    for row, tensor in zip(inputs, tensors):
        expected = [0.0] * len(tensor) if tensor.grad is None else tensor.grad.tolist()
        assert parts.gradients(row) == pytest.approx(expected, rel=1e-10, abs=1e-12)


@ENGINES
def test_add(parts: ModuleType) -> None:
    agree(parts, drawn(2, 5), lambda rows: parts.add(*rows), lambda t: t[0] + t[1])
    agree(parts, drawn(1, 5), lambda rows: parts.add(rows[0], rows[0]), lambda t: t[0] + t[0])


@ENGINES
def test_linear(parts: ModuleType) -> None:
    agree(parts, drawn(8, 6), lambda rows: parts.linear(rows[0], rows[1:]), lambda t: torch.stack(t[1:]) @ t[0])


@ENGINES
@pytest.mark.parametrize("columns", [2, 4])
def test_linear_wants_rows_as_long_as_the_vector(parts: ModuleType, columns: int) -> None:
    with pytest.raises(CourseError, match=r"numbers|a vector of 3"):
        parts.linear(parts.matrix(drawn(1, 3))[0], parts.matrix(drawn(2, columns)))


@ENGINES
def test_rmsnorm(parts: ModuleType) -> None:
    for rows in (drawn(1, 16), [[1e-3 * number for number in drawn(1, 16)[0]]], [[0.0] * 4]):
        agree(parts, rows, lambda rows: parts.rmsnorm(rows[0]), lambda t: F.rms_norm(t[0], t[0].shape, eps=1e-5))


@ENGINES
def test_relu_squared(parts: ModuleType) -> None:
    rows = [[*drawn(1, 9)[0], 0.0]]
    agree(parts, rows, lambda rows: parts.relu_squared(rows[0]), lambda t: F.relu(t[0]) ** 2)


def test_softmax() -> None:
    rows = drawn(1, 7)
    agree(scalar, rows, lambda rows: scalar.softmax(rows[0]), lambda t: F.softmax(t[0], dim=0))
    for rows in ([[1000.0, 999.0, -1000.0]], drawn(1, 7)):  # large numbers do not overflow
        expected = F.softmax(torch.tensor(rows[0], dtype=torch.float64), dim=0).tolist()
        assert vector.softmax(rows[0]) == pytest.approx(expected, rel=1e-12)
        assert scalar.numbers(scalar.softmax(scalar.matrix(rows)[0])) == pytest.approx(expected, rel=1e-12)


@ENGINES
@pytest.mark.parametrize(("length", "n_head"), [(1, 2), (3, 1), (5, 2), (8, 4)])
def test_attention(parts: ModuleType, length: int, n_head: int) -> None:
    def mine(rows: list) -> object:
        return parts.attention(rows[0], rows[1 : 1 + length], rows[1 + length :], n_head)

    def theirs(tensors: list[torch.Tensor]) -> torch.Tensor:
        q = tensors[0].view(n_head, 1, -1)
        k = torch.stack(tensors[1 : 1 + length]).view(length, n_head, -1).transpose(0, 1)
        v = torch.stack(tensors[1 + length :]).view(length, n_head, -1).transpose(0, 1)
        return F.scaled_dot_product_attention(q, k, v).flatten()

    agree(parts, drawn(1 + 2 * length, 8), mine, theirs)


@ENGINES
def test_cross_entropy_and_mean(parts: ModuleType) -> None:
    targets = [2, 0, 5]

    def mine(rows: list) -> object:
        loss = parts.mean([parts.cross_entropy(row, target) for row, target in zip(rows, targets)])
        return loss if isinstance(loss, Vector) else [loss]

    agree(parts, drawn(3, 6), mine, lambda t: F.cross_entropy(torch.stack(t), torch.tensor(targets)).view(1))


def test_a_hopeless_guess_has_a_loss_all_the_same() -> None:
    """On vectors the loss comes from the logits; a probability of e**-1000 would be 0, and have no logarithm."""
    assert vector.number(vector.cross_entropy(Vector([0.0, -1000.0]), 1)) == 1000.0


def test_a_vectors_backward_starts_from_one_number() -> None:
    with pytest.raises(CourseError, match="starts from one number, the loss; this Vector has 2"):
        Vector([1.0, 2.0]).backward()


def torch_loss(weights: dict[str, torch.Tensor], config: MicroConfig, tokens: list[int]) -> torch.Tensor:
    """The whole model over all positions at once, as torch would have it."""
    inputs, targets = tokens[:-1][: config.block_size], tokens[1:][: config.block_size]
    size, width = len(inputs), config.n_embd

    def norm(x: torch.Tensor) -> torch.Tensor:
        return F.rms_norm(x, (width,), eps=1e-5)

    def heads(x: torch.Tensor) -> torch.Tensor:
        return x.view(size, config.n_head, -1).transpose(0, 1)

    x = norm(weights["wte"][inputs] + weights["wpe"][:size])
    for layer in range(config.n_layer):
        w = {name.split(".")[1]: tensor for name, tensor in weights.items() if name.startswith(f"layer{layer}.")}
        q, k, v = (heads(norm(x) @ w[name].T) for name in ("attn_wq", "attn_wk", "attn_wv"))
        seen = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + seen.transpose(0, 1).reshape(size, width) @ w["attn_wo"].T
        x = x + F.relu(norm(x) @ w["mlp_fc1"].T) ** 2 @ w["mlp_fc2"].T
    return F.cross_entropy(x @ weights["lm_head"].T, torch.tensor(targets))


@ENGINES
@pytest.mark.parametrize(("n_layer", "n_head", "n_embd"), [(1, 4, 16), (3, 2, 6), (2, 1, 5)])
@pytest.mark.parametrize("tokens", [[4, 0, 1, 2, 1, 4], [4, 3, 4], [4, 0, 1, 2, 3, 0, 1, 2, 3, 0, 4]])
def test_the_whole_model(parts: ModuleType, n_layer: int, n_head: int, n_embd: int, tokens: list[int]) -> None:
    config = MicroConfig(vocab_size=5, block_size=8, n_layer=n_layer, n_head=n_head, n_embd=n_embd)
    generator = random.Random(3)
    # nothing at 0, so that no gradient is
    numbers = {
        name: [[number + generator.gauss(0, 0.3) for number in row] for row in rows]
        for name, rows in draw_weights(config, generator).items()
    }
    mine = {name: parts.matrix(rows) for name, rows in numbers.items()}
    theirs = {name: torch.tensor(rows, dtype=torch.float64, requires_grad=True) for name, rows in numbers.items()}
    loss = document_loss(parts, mine, config, tokens)
    reference = torch_loss(theirs, config, tokens)
    assert parts.number(loss) == pytest.approx(reference.item(), rel=1e-12)
    loss.backward()
    reference.backward()
    for name in numbers:
        gradients = [parts.gradients(row) for row in mine[name]]
        torch.testing.assert_close(
            torch.tensor(gradients, dtype=torch.float64), theirs[name].grad, rtol=1e-9, atol=1e-12
        )


def test_the_weights_have_the_sizes_and_spreads_of_the_recipe() -> None:
    weights = draw_weights(MicroConfig(), random.Random(0))
    assert sum(len(row) for row in rows_of(weights)) == 4064
    spreads = {name: torch.tensor(rows).std().item() for name, rows in weights.items()}
    zeros = {"layer0.attn_wo", "layer0.mlp_fc2"}
    assert {name for name, spread in spreads.items() if spread == 0} == zeros
    assert all(spread == pytest.approx(0.02, rel=0.2) for name, spread in spreads.items() if name not in zeros)


@pytest.mark.parametrize("sizes", [{"n_embd": 10}, {"n_layer": 0}, {"block_size": 2.0}, {"vocab_size": True}])
def test_sizes_that_do_not_fit_are_refused(sizes: dict) -> None:
    with pytest.raises(CourseError, match=next(iter(sizes))):
        MicroConfig(**sizes)


# Adam ------------------------------------------------------------------------------------------------------


def test_adam_is_torchs() -> None:
    generator = random.Random(5)
    numbers = [generator.gauss(0, 1) for _ in range(6)]
    tensor = torch.tensor(numbers, dtype=torch.float64, requires_grad=True)
    theirs = torch.optim.Adam([tensor], lr=1.0, betas=(0.8, 0.97), eps=1e-6)
    mine = Adam(6, beta1=0.8, beta2=0.97, eps=1e-6)
    for step in range(50):
        gradients = [generator.gauss(0, 10.0 ** generator.randrange(-6, 3)) for _ in range(5)] + [0.0]
        lr = cosine(step, 50)
        numbers = mine.step(numbers, gradients, lr)
        theirs.param_groups[0]["lr"] = lr
        tensor.grad = torch.tensor(gradients, dtype=torch.float64)
        theirs.step()
        assert numbers == pytest.approx(tensor.tolist(), rel=1e-12)


def test_adam_wants_as_many_numbers_as_it_was_made_for() -> None:
    with pytest.raises(CourseError, match="made for 3 parameters; it got 3 parameters and 2 gradients"):
        Adam(3).step([1.0, 2.0, 3.0], [1.0, 2.0], lr=0.1)


def test_the_cosine_is_torchs() -> None:
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=0.3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=20)
    for step in range(20):
        assert cosine(step, 20, max_lr=0.3) == pytest.approx(schedule.get_last_lr()[0], rel=1e-9)
        optimizer.step()
        schedule.step()
    assert math.isclose(cosine(20, 20), 0.0, abs_tol=1e-12)
