"""Each arithmetic, optimizer and compilation trains as fp32 on the CPU does.

A hundred steps take the loss of a small model on `numbers` from ln 24 = 3.18 nats to about 0.5 (AdamW) or 0.4 (Muon):
the mean of the last twenty. How near is near? Over five seeds bf16 and fp16 ended within 0.0025 nats of fp32's own run
of that seed, measured on a CPU, where seeds alone lie 0.025 apart (AdamW: 0.465 to 0.490). `BAND` is a seed's worth of
difference, ten times that of the rounding. What these tests are for is far outside: gradients that vanish in fp16
without their scaler, one micro-step lost, an update that is not made.
"""

import functools

import pytest
from cards import MODERN, SLOWLY, exact, small_trainer, why_not
from torch.utils._triton import has_triton

from course_lib.errors import CourseError
from course_lib.kernels import find_compiler

BAND = 0.025
RATES = {"adamw": 3e-3, "muon": 0.02}
FORMS = {
    "fp32": dict(precision="fp32"),
    "bf16": dict(precision="bf16"),
    "fp16 and its scaler": dict(precision="fp16"),
    "compiled": dict(precision="auto", compile=True),
    "muon": dict(precision="fp32", optimizer="muon"),
    "muon, bf16": dict(precision="bf16", optimizer="muon"),
    "muon, fp16 and its scaler": dict(precision="fp16", optimizer="muon"),
}


def end(device: str, optimizer: str = "adamw", **form) -> float:
    """The mean loss of the last twenty of a hundred steps."""
    trainer = small_trainer(device, MODERN, optimizer=optimizer, max_lr=RATES[optimizer], **form)
    losses = [record.train_loss for record in trainer]
    assert abs(losses[0] - 3.18) < 0.05
    return sum(losses[-20:]) / 20


@functools.cache
def reference(optimizer: str) -> float:
    found = end("cpu", optimizer)
    assert found < 0.52  # it has learned what there is to learn in this time
    return found


def need(device: str, form: dict) -> None:
    """Skips where the device cannot do it."""
    if reason := why_not(device, form.get("precision", "fp32")):
        pytest.skip(reason)
    if form.get("compile") and device == "mps":
        pytest.skip("for Apple's GPU torch.compile is a prototype")
    if form.get("compile") and find_compiler() is None:
        pytest.skip("torch.compile needs a C++ compiler, and none was found (c++, g++, clang++ or CXX)")
    if form.get("compile") and device == "cuda" and not has_triton():
        pytest.skip("torch.compile needs Triton and a card of compute capability 7.0 here")


pytestmark = pytest.mark.filterwarnings(
    "ignore:TensorFloat32 tensor cores",  # Inductor advises what `exact` has just switched off
    "ignore:.*:DeprecationWarning:torch",
    "ignore:Online softmax is disabled on the fly",
    "ignore:The .grad attribute of a Tensor",  # torch's compiler reads it, and its own filter can lose a race
)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("device", SLOWLY, indirect=True)
def test_a_hundred_steps_end_where_fp32_on_the_cpu_ends(device: str, form: str) -> None:
    need(device, FORMS[form])
    found = end(device, **FORMS[form])
    assert abs(found - reference(FORMS[form].get("optimizer", "adamw"))) < BAND


@pytest.mark.parametrize("device", SLOWLY, indirect=True)
def test_a_compiled_run_has_the_dropout_that_it_began_with(device: str) -> None:
    """Compiled code holds the rate fast: moved before the first step it is in it, and moved later it is refused."""
    form = dict(compile=True, max_lr=1e-30, log_every=1)  # the weights stay where they are: each step is a look
    need(device, form)
    plain = small_trainer(device, MODERN | dict(n_layer=1), max_lr=1e-30)
    trainer = small_trainer(device, MODERN | dict(n_layer=1), **form)
    exact()
    trainer.change(dropout=0.9)
    record = next(trainer)
    assert record.dropout == 0.9
    assert abs(record.train_loss - next(plain).train_loss) > 1e-3
    with pytest.raises(CourseError, match="A compiled model keeps its dropout"):
        trainer.change(dropout=0.0)
    assert next(trainer).dropout == 0.9
