"""The choice of device and arithmetic, as a table over cards that are not here."""

from types import SimpleNamespace

import pytest
import torch

from course_lib import device
from course_lib.device import (
    DTYPES,
    Capabilities,
    Compute,
    World,
    choose,
    current_world,
    device_of,
    find,
    joined_world,
    select,
)
from course_lib.errors import CourseError

# What is found, and what follows: precision, GradScaler, TF32
CARDS = {
    "K80": (Capabilities("cuda", "Tesla K80", (3, 7), 11.2), "fp32", False, False),
    "P100": (Capabilities("cuda", "Tesla P100-PCIE-16GB", (6, 0), 15.9), "fp32", False, False),
    "GTX 1080": (Capabilities("cuda", "NVIDIA GeForce GTX 1080", (6, 1), 8.0), "fp32", False, False),
    "V100": (Capabilities("cuda", "Tesla V100-SXM2-16GB", (7, 0), 15.8), "fp16", True, False),
    "T4": (Capabilities("cuda:0", "Tesla T4", (7, 5), 14.7), "fp16", True, False),
    "A100": (Capabilities("cuda", "NVIDIA A100-SXM4-40GB", (8, 0), 39.4), "bf16", False, True),
    "RTX 3090": (Capabilities("cuda", "NVIDIA GeForce RTX 3090", (8, 6), 23.7), "bf16", False, True),
    "L4": (Capabilities("cuda:1", "NVIDIA L4", (8, 9), 22.2), "bf16", False, True),
    "H100": (Capabilities("cuda", "NVIDIA H100 80GB HBM3", (9, 0), 79.2), "bf16", False, True),
    "H200": (Capabilities("cuda", "NVIDIA H200", (9, 0), 139.8), "bf16", False, True),
    "B200": (Capabilities("cuda", "NVIDIA B200", (10, 0), 178.4), "bf16", False, True),
    "CPU": (Capabilities("cpu", "some processor"), "fp32", False, False),
    "Apple": (Capabilities("mps", "Apple M2"), "fp32", False, False),
}
FOUND = {name: row[0] for name, row in CARDS.items()}


@pytest.mark.parametrize(("found", "precision", "scaler", "tf32"), CARDS.values(), ids=CARDS)
def test_the_choice_for_each_card(found, precision, scaler, tf32):
    compute = choose(found)
    assert (compute.device, compute.precision, compute.scaler, compute.tf32) == (found.device, precision, scaler, tf32)
    assert compute.dtype == {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}[precision]
    assert compute.kind == found.device.split(":")[0]


@pytest.mark.parametrize("found", FOUND.values(), ids=FOUND)
@pytest.mark.parametrize("precision", ["auto", "fp32", "fp16"])
def test_every_choice_has_its_reasons_in_words(found, precision):
    compute = choose(found, precision)
    text = "\n".join(compute.reasons)
    assert all(len(reason.split()) >= 2 for reason in compute.reasons)
    assert found.name in compute.reasons[0]
    assert compute.reasons[1].startswith(f"{compute.precision}: ")
    assert ("GradScaler" in text) == compute.scaler
    assert ("TF32" in text) == compute.tf32
    assert ("tf32=true" in text) == (found.compute is not None and found.compute >= (8, 0) and precision == "fp32")
    if found.compute and precision == "auto":
        assert ".".join(map(str, found.compute)) in text  # the number that decided


@pytest.mark.parametrize("found", FOUND.values(), ids=FOUND)
def test_fp32_and_fp16_can_be_had_everywhere_and_fp16_with_a_scaler(found):
    assert (choose(found, "fp32").precision, choose(found, "fp32").scaler) == ("fp32", False)
    assert (choose(found, "fp16").precision, choose(found, "fp16").scaler) == ("fp16", True)


@pytest.mark.parametrize("name", FOUND)
def test_bf16_can_be_had_where_the_hardware_has_it(name):
    instead = {"K80": "fp32", "P100": "fp32", "GTX 1080": "fp32", "V100": "fp16", "T4": "fp16"}.get(name)
    if instead is None:
        compute = choose(FOUND[name], "bf16")
        assert (compute.precision, compute.scaler, compute.reasons[1][:15]) == ("bf16", False, "bf16: asked for")
        assert ("slower than fp32" in compute.reasons[1]) == (name == "CPU")
        return
    with pytest.raises(CourseError) as caught:
        choose(FOUND[name], "bf16")
    message = str(caught.value)
    assert "bf16 needs compute capability 8.0" in message
    assert f"{FOUND[name].name} has {'.'.join(map(str, FOUND[name].compute))}" in message
    assert message.endswith(f"Use {instead}.")


@pytest.mark.parametrize("precision", ["float16", "", "tf32", "FP16"])
def test_an_unknown_precision(precision):
    with pytest.raises(CourseError, match=f"one of auto, fp32, bf16, fp16; it is '{precision}'"):
        choose(FOUND["CPU"], precision)


# What is found --------------------------------------------------------------------------------------------


@pytest.fixture
def cards(monkeypatch):
    """A machine with as many CUDA cards as the test says, or an Apple GPU."""

    def plug_in(count=0, name="Tesla T4", compute=(7, 5), apple=False):
        major, minor = compute
        properties = SimpleNamespace(name=name, major=major, minor=minor, total_memory=16 * 2**30)
        monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
        monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: properties)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: apple)

    return plug_in


def test_auto_takes_cuda_then_apple_then_the_processor(cards):
    cards(count=1, apple=True)
    assert find() == Capabilities("cuda", "Tesla T4", (7, 5), 16.0)
    cards(apple=True)
    assert find("auto").device == "mps"
    cards()
    assert find("auto").device == "cpu"
    assert find("auto").compute is None
    assert find("auto").name == device.processor() != ""


def test_a_device_can_be_asked_for(cards):
    cards(count=2, name="NVIDIA L4", compute=(8, 9))
    assert find("cpu").device == "cpu"
    assert find("cuda:1") == Capabilities("cuda:1", "NVIDIA L4", (8, 9), 16.0)
    assert find("cuda:1").kind == "cuda"


@pytest.mark.parametrize(("wanted", "count"), [("cuda", 0), ("cuda:0", 0), ("cuda:1", 1), ("cuda:7", 2)])
def test_a_card_that_is_not_there(cards, wanted, count):
    cards(count=count)
    with pytest.raises(
        CourseError, match=rf"device '{wanted}' was asked for; torch .* sees {count} CUDA cards here"
    ) as c:
        find(wanted)
    assert "Use device=cpu" in str(c.value)


def test_an_apple_gpu_that_is_not_there(cards):
    cards()
    with pytest.raises(CourseError, match=r"'mps' was asked for; torch sees no Apple GPU here. Use device=cpu"):
        find("mps")


@pytest.mark.parametrize("wanted", ["gpu", "tpu", "cuda:x", "cuda:-1", "", "CUDA", "cuda1"])
def test_an_unknown_device(cards, wanted):
    cards(count=2)
    with pytest.raises(CourseError, match=f"should be auto, cpu, cuda, cuda:1 or mps; it is '{wanted}'"):
        find(wanted)


def test_emulated_bf16_does_not_count(cards, monkeypatch):
    """torch.cuda.is_bf16_supported() says yes on a T4."""
    cards(count=1)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: True)
    assert choose(find("cuda")).precision == "fp16"


HAS_TF32 = ("A100", "RTX 3090", "L4", "H100", "H200", "B200")
# What is asked for, and what follows on a card that has TF32: fp32 by name is fp32, unless TF32 is asked for too
ASKED = {
    ("auto", None): True, ("auto", True): True, ("auto", False): False,
    ("bf16", None): True, ("bf16", True): True, ("bf16", False): False,
    ("fp16", None): True, ("fp16", True): True, ("fp16", False): False,
    ("fp32", None): False, ("fp32", True): True, ("fp32", False): False,
}  # fmt: skip


@pytest.mark.parametrize(("asked", "tf32"), ASKED.items(), ids=str)
@pytest.mark.parametrize("name", HAS_TF32)
def test_whether_fp32_numbers_are_multiplied_as_tf32(name, asked, tf32):
    compute = choose(FOUND[name], *asked)
    assert compute.tf32 == tf32
    assert compute.precision == ("bf16" if asked[0] == "auto" else asked[0])
    assert any("TF32 for what stays fp32" in reason for reason in compute.reasons) == tf32


@pytest.mark.parametrize("name", [name for name in FOUND if name not in HAS_TF32])
def test_where_there_is_no_tf32_it_is_not_used_and_cannot_be_had(name):
    found = FOUND[name]
    for precision in ("auto", "fp32", "fp16"):
        assert not choose(found, precision).tf32
        assert choose(found, precision, False) == choose(found, precision)
        with pytest.raises(CourseError, match=r"tf32 needs a CUDA card of compute capability 8\.0") as caught:
            choose(found, precision, True)
        has = f"has {'.'.join(map(str, found.compute))}" if found.compute else "is none"
        assert str(caught.value).endswith(f"{found.name} {has}. Leave tf32 unset.")


def test_to_select_changes_nothing_in_the_process(cards):
    before = torch.get_float32_matmul_precision()
    cards(count=1, name="NVIDIA A100", compute=(8, 0))
    assert select("cuda").tf32
    assert not select("cuda", "fp32").tf32
    assert select("cuda", "fp32", True) == choose(find("cuda"), "fp32", True)
    assert select("cpu") == choose(find("cpu"))
    assert torch.get_float32_matmul_precision() == before


def test_where_a_model_is():
    with torch.device("meta"):
        there = torch.nn.Linear(2, 3)
    assert device_of(there) == torch.device("meta")
    assert device_of(torch.nn.Linear(2, 3)) == device_of(torch.nn.ReLU()) == torch.device("cpu")
    only_a_table = torch.nn.BatchNorm1d(3, affine=False, device="meta")
    assert device_of(only_a_table) == torch.device("meta")


# What is done with it -------------------------------------------------------------------------------------


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_the_forward_pass_runs_in_the_chosen_type(precision):
    compute = choose(FOUND["CPU"], precision)
    x = torch.ones(2, 2)
    with compute.autocast():
        assert (x @ x).dtype == DTYPES[precision]
    assert (x @ x).dtype == torch.float32
    assert torch.is_autocast_enabled("cpu") is False


def test_a_scaler_scales_only_in_fp16():
    loss = torch.tensor(2.0)
    for precision in ("fp32", "bf16"):
        scaler = choose(FOUND["CPU"], precision).build_scaler()
        assert not scaler.is_enabled()
        assert scaler.scale(loss) is loss
    scaler = choose(FOUND["CPU"], "fp16").build_scaler()
    assert scaler.is_enabled()
    assert scaler.scale(loss).item() == 2.0 * scaler.get_scale() > 2.0


def test_the_scaler_skips_a_step_whose_gradient_is_not_finite():
    """The fp16 path as a training step goes, on this processor."""
    p = torch.nn.Parameter(torch.ones(2))
    optimizer = torch.optim.SGD([p], lr=0.5)
    scaler = choose(FOUND["CPU"], "fp16").build_scaler()
    for factor, expected in ((1.0, 0.5), (float("inf"), 0.5), (1.0, 0.0)):
        optimizer.zero_grad()
        scaler.scale((p * factor).sum()).backward()
        scale = scaler.get_scale()
        scaler.step(optimizer)
        scaler.update()
        assert p.tolist() == [expected] * 2
        assert (scaler.get_scale() < scale) == (factor != 1.0)


# Processes ------------------------------------------------------------------------------------------------


def test_alone_a_process_is_the_whole_world(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    world = current_world()
    assert world == World() == World(rank=0, local_rank=0, size=1, backend=None)
    assert world.is_main
    assert world.sum([1.5, -2.0]) == [1.5, -2.0]
    assert world.barrier() is None  # and does not wait for anyone
    with joined_world() as joined:
        assert joined == World()
        assert not torch.distributed.is_initialized()


def test_only_rank_0_is_the_main_process():
    assert [World(rank=r, size=3).is_main for r in range(3)] == [True, False, False]


def test_more_processes_than_cards_is_a_clear_error(cards, monkeypatch):
    cards(count=1)
    for name, value in (("WORLD_SIZE", "2"), ("RANK", "1"), ("LOCAL_RANK", "1")):
        monkeypatch.setenv(name, value)
    with pytest.raises(CourseError, match="sees 1 CUDA cards here"), joined_world("auto"):
        pass
    assert not torch.distributed.is_initialized()


def test_what_is_chosen_cannot_be_changed_in_place():
    compute = choose(FOUND["CPU"])
    assert isinstance(compute, Compute)
    with pytest.raises(AttributeError):
        compute.precision = "bf16"
