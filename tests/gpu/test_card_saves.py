"""What a run on a card leaves on the disk: it goes on from there, and others read it.

What is promised of a resumed run. On a CPU it is the run that was never stopped, bit for bit. On CUDA it is so too,
given the same card, versions and precision, and CUDA's own two conditions: the environment variable
``CUBLAS_WORKSPACE_CONFIG=:4096:8``, set before CUDA starts, and ``torch.use_deterministic_algorithms(True)``. Without
them some kernels add up in the order in which their parts happen to finish, and a run differs from itself in the last
bits, resumed or not. Apple's GPU promises no order: there the resumed run is the same but for rounding.
"""

import subprocess
from pathlib import Path

import pytest
import torch
from cards import BATCH, BLOCK, EVERYWHERE, GPT2, MODERN, SLOWLY, assert_same_tokens, exact, numbers, on, run_script
from cards import small_trainer as run_of
from resumed import forms

from course_lib import checkpoint
from course_lib.checkpoint.optimizers import pack_optimizer
from course_lib.checkpoint.tensors import model_tensors
from course_lib.data import Batcher
from course_lib.interop import compile_cpp, export_cpp
from course_lib.kernels import find_compiler
from course_lib.sampling import generate
from course_lib.training import Trainer


@pytest.mark.parametrize("device", SLOWLY, indirect=True)
def test_a_resumed_run_is_the_run_that_was_never_stopped_bit_for_bit(device: str) -> None:
    if device == "mps":
        pytest.skip("Apple's GPU promises no bits; the test below holds it to rounding")
    printed = run_script("resumed.py", device, CUBLAS_WORKSPACE_CONFIG=":4096:8")
    assert printed.splitlines() == list(forms(device)) != []


@pytest.mark.parametrize("device", EVERYWHERE, indirect=True)
def test_without_the_two_conditions_it_is_so_but_for_rounding(device: str, project: Path) -> None:
    """In fp32, over six steps: other orders of adding up stay within 1e-4; a lost optimizer state is 1e-2 and more."""
    form = MODERN | dict(dropout=0.1)
    whole = [record.train_loss for record in run_of(device, form, max_steps=12)]
    list(run_of(device, form, run_dir=project / "run", max_steps=6, decay_steps=12))
    batches = Batcher(numbers()[1], BATCH, BLOCK, 0, device)
    resumed = Trainer.resume(project / "run", batches, max_steps=12)
    assert resumed.compute.device == device
    assert [record.train_loss for record in resumed] == pytest.approx(whole[6:], abs=1e-3)


@on("cuda")
def test_what_is_saved_is_what_a_busy_card_will_have_computed(device: str) -> None:
    """All copies are given out before the first is waited for; none may be read too early."""
    trainer = run_of(device, MODERN, optimizer="muon", max_lr=0.02, log_every=10)
    for _ in range(3):
        next(trainer)
    torch.cuda.synchronize()
    torch.cuda._sleep(500_000_000)
    next(trainer)
    saved = model_tensors(trainer.model) | pack_optimizer(trainer.model, trainer.optimizer)[0]
    again = model_tensors(trainer.model) | pack_optimizer(trainer.model, trainer.optimizer)[0]
    one_by_one = {name: p.detach().cpu() for name, p in trainer.model.named_parameters()}
    assert all(torch.equal(saved[name], again[name]) for name in again)
    assert all(torch.equal(saved[name], weight) for name, weight in one_by_one.items())


@pytest.mark.parametrize("form", [GPT2, MODERN], ids=["gpt2", "modern"])
@pytest.mark.parametrize("device", EVERYWHERE, indirect=True)
def test_a_run_from_a_card_is_sampled_on_the_cpu(device: str, form: dict, project: Path) -> None:
    trainer = run_of(device, form, run_dir=project / "run", max_steps=60)
    list(trainer)
    exact()
    there = generate(trainer.model, [[1, 2, 3]], 2 * BLOCK, temperature=0)[0].tolist()
    loaded = checkpoint.load(project / "run")
    assert {p.device.type for p in loaded.model.parameters()} == {"cpu"}
    here = generate(loaded.model, [[1, 2, 3]], 2 * BLOCK, temperature=0)[0].tolist()
    assert_same_tokens(loaded.model, here, there, prompt=3)


@pytest.mark.parametrize("device", SLOWLY, indirect=True)
def test_and_by_the_cpp_program(device: str, project: Path) -> None:
    if find_compiler() is None:
        pytest.skip("no C++ compiler was found (c++, g++, clang++ or CXX)")
    list(run_of(device, MODERN, run_dir=project / "run", max_steps=60, precision="auto"))
    program = compile_cpp(export_cpp(project / "run", project / "program"))
    loaded = checkpoint.load(project / "run")
    prompt = loaded.tokenizer.decode([1, 2, 3])
    command = [program, project / "program", "--prompt", prompt, "--ids", "--max-new-tokens", 2 * BLOCK]
    done = subprocess.run([*map(str, command), "--temperature", "0"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    written = [1, 2, 3, *map(int, done.stdout.split())]
    expected = generate(loaded.model, [[1, 2, 3]], 2 * BLOCK, temperature=0)[0].tolist()
    assert_same_tokens(loaded.model, written, expected, prompt=3)
