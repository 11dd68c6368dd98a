"""Peak rates by a card's name, the share of them that training takes, and the memory that it needs."""

from pathlib import Path

import pytest
import torch

from course_lib.config import GPTConfig
from course_lib.errors import CourseError
from course_lib.models import GPT
from course_lib.peaks import Peak, known_peak, measured_peak, mfu, peak_memory_gib, reset_peak_memory, speed_line

# What CUDA calls each card, and its dense rate with 16-bit inputs in TFLOPS, as its maker's data sheet has it.
CARDS = {
    "NVIDIA H100 80GB HBM3": (989, "bf16"),
    "NVIDIA H100 PCIe": (756, "bf16"),
    "NVIDIA H100 NVL": (835, "bf16"),
    "NVIDIA H200": (989, "bf16"),
    "NVIDIA GH200 480GB": (989, "bf16"),
    "NVIDIA B200": (2250, "bf16"),
    "NVIDIA A100-SXM4-40GB": (312, "bf16"),
    "NVIDIA A100-SXM4-80GB": (312, "bf16"),
    "NVIDIA A100-PCIE-40GB": (312, "bf16"),
    "NVIDIA A100 80GB PCIe": (312, "bf16"),
    "NVIDIA L4": (121, "bf16"),
    "NVIDIA L40": (181, "bf16"),
    "NVIDIA L40S": (362, "bf16"),
    "Tesla T4": (65, "fp16"),
    "Tesla V100-SXM2-16GB": (125, "fp16"),
    "NVIDIA GeForce RTX 4090": (165.2, "bf16"),
    "NVIDIA GeForce RTX 3090": (71, "bf16"),
}
OTHERS = [
    "NVIDIA H100 80GB HBM3 MIG 1g.10gb",  # a part of one
    "NVIDIA A100-SXM4-40GB MIG 3g.20gb",
    "NVIDIA GeForce RTX 4090 Laptop GPU",  # another chip
    "NVIDIA GeForce RTX 4090 D",
    "NVIDIA GeForce RTX 3090 Ti",
    "NVIDIA H1000",
    "NVIDIA T400",
    "NVIDIA A10G",
    "AMD Instinct MI300X",
    "",
]


@pytest.mark.parametrize("name", CARDS)
def test_a_known_card_has_the_rate_of_dense_products(name: str):
    peak = known_peak(name)
    assert peak is not None
    assert (peak.flops / 1e12, peak.dtype) == CARDS[name]
    assert "dense" in peak.source


@pytest.mark.parametrize("name", OTHERS)
def test_a_name_that_is_nearly_one_of_a_card_is_none(name: str):
    assert known_peak(name) is None


def test_what_is_not_in_the_table_is_measured_and_says_so():
    peak = measured_peak("cpu", size=64, products=2)
    assert peak.flops > 0
    assert peak.dtype == "fp32"
    assert "measured" in peak.source
    assert "64 x 64" in peak.source


def test_mfu_is_what_palm_reports():
    """Chowdhery et al. 2022, table 3 and appendix B: PaLM 540B, 118 layers, 48 heads of 256, context 2,048, at 238,300
    tokens per second on 6,144 TPU v4 of 275 TFLOPS: 46.2% with attention counted, 45.7% without."""
    peak = Peak(6144 * 275e12, "bf16", "the paper")
    weights, attention = 6 * 540.35e9, 12 * 118 * 48 * 256 * 2048
    assert round(mfu(238_300, weights + attention, peak), 3) == 0.462
    assert round(mfu(238_300, weights, peak), 3) == 0.457


def test_mfu_of_gpt2_small_on_an_a100():
    """nanoGPT's estimate_mfu, by hand: 6 N + 12 L C T per token, N without the table of positions; against 312e12."""
    with torch.device("meta"):
        model = GPT(GPTConfig(block_size=1024, vocab_size=50304, n_layer=12, n_head=12, n_embd=768))
    n = 12 * 12 * 768**2 + 50304 * 768  # norms left out: they multiply nothing
    expected = 100_000 * (6 * n + 12 * 12 * 768 * 1024) / 312e12
    peak = known_peak("NVIDIA A100-SXM4-40GB")
    assert peak is not None
    assert mfu(100_000, model.flops_per_token(), peak) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("values", [(0.0, 1.0), (-1.0, 1.0), (1.0, 0.0), (float("nan"), 1.0)])
def test_a_rate_that_cannot_be_is_refused(values: tuple[float, float]):
    with pytest.raises(CourseError, match="should be above 0"):
        mfu(*values, Peak(1e12, "bf16", "x"))


def test_peak_memory_of_a_process_is_never_below_what_it_has_now():
    status = Path("/proc/self/status")
    if not status.exists():
        pytest.skip("/proc/self/status tells what a process holds on Linux only")
    block = torch.ones(64 * 2**20, dtype=torch.float32)  # 256 MiB, touched
    now = next(int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith("VmRSS"))
    reset_peak_memory("cpu")  # does nothing
    peak = peak_memory_gib("cpu")
    assert peak is not None
    assert now / 2**20 <= peak + 0.01
    assert peak >= 0.25
    assert block[-1] == 1
    assert peak_memory_gib("mps") is None


def test_the_line_says_what_is_known_and_no_more():
    peak = Peak(1e12, "bf16", "x")
    line = speed_line(50_000, 2.0, "cpu", flops_per_token=1e7, peak=peak)
    assert line.startswith("25,000 tokens/s  MFU 25.0%  ")
    assert "MFU" not in speed_line(50_000, 2.0, "cpu", flops_per_token=1e7)
    assert "MFU" not in speed_line(50_000, 2.0, "cpu", peak=peak)
    assert speed_line(0, 0.0, "mps", 1e7, peak) == "0 tokens/s"
