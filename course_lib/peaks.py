"""How much of a machine a training run uses: model FLOPs utilization (MFU) and peak memory.

MFU is the share of a card's peak rate that a model's own arithmetic takes (Chowdhery et al. 2022, PaLM, appendix B).
The peak is that of dense matrix products with 16-bit inputs and sums in fp32: makers also print one twice as high,
for matrices of which half is zero, and no model trains on those.
"""

import re
import sys
import time
from dataclasses import dataclass

import torch

from course_lib.errors import CourseError


@dataclass(frozen=True)
class Peak:
    """A rate to compare with, in floating-point operations per second, for inputs of type ``dtype``."""

    flops: float
    dtype: str
    source: str
    """Where it comes from: the maker's table, or a product that was timed on this very card."""


KNOWN: tuple[tuple[str, float, str], ...] = (
    # The whole name as CUDA gives it (without NVIDIA, Tesla, GeForce), TFLOPS dense, type. The sources are NVIDIA's
    # data sheets of each card; where those print the rate "with sparsity" alone, it is halved here.
    (r"B200", 2250, "bf16"),  # HGX B200: 4.5 PFLOPS with sparsity
    (r"GB200", 2500, "bf16"),  # GB200 NVL72: 5 PFLOPS with sparsity per GPU
    (r"H200", 989, "bf16"),  # H200 SXM: 1,979 with sparsity
    (r"H200 NVL", 835, "bf16"),  # 1,671 with sparsity
    (r"GH200.*", 989, "bf16"),  # a whole H100 SXM or H200 SXM beside a CPU
    (r"H100( SXM5?)?( 80GB)?( HBM3)?", 989, "bf16"),  # H100 SXM: 1,979 with sparsity
    (r"H100 PCIe", 756, "bf16"),  # 1,513 with sparsity
    (r"H100 NVL", 835, "bf16"),  # 1,671 with sparsity
    (r"A100(-SXM4-\d+GB|-PCIE-\d+GB| 80GB PCIe)?", 312, "bf16"),  # the same for every form
    (r"A30", 165, "bf16"),
    (r"L40S", 362, "bf16"),  # 733 with sparsity
    (r"L40", 181, "bf16"),  # 362 with sparsity
    (r"L4", 121, "bf16"),  # 242 with sparsity
    (r"RTX 6000 Ada Generation", 364, "bf16"),  # Ada whitepaper, appendix A
    (r"RTX 5090", 209.5, "bf16"),  # Blackwell RTX whitepaper: sums in fp32
    (r"RTX 4090", 165.2, "bf16"),  # Ada whitepaper, appendix A: sums in fp32
    (r"RTX 3090", 71, "bf16"),  # GA102 whitepaper, appendix A: sums in fp32
    (r"RTX A6000", 154.8, "bf16"),  # GA102 whitepaper: 309.7 with sparsity
    (r"V100-SXM2-\d+GB", 125, "fp16"),  # no bf16 before compute capability 8.0
    (r"V100-PCIE-\d+GB", 112, "fp16"),
    (r"T4", 65, "fp16"),
)


def known_peak(name: str) -> Peak | None:
    """The peak rate of the card that CUDA calls ``name``; None for one that is not in the table.

    The whole name has to fit: "RTX 4090 Laptop GPU" is another card, and a MIG slice of an H100 is a part of one.
    """
    short = re.sub(r"\b(NVIDIA|Tesla|GeForce|Quadro)\b", "", name).strip()
    for pattern, tflops, dtype in KNOWN:
        if re.fullmatch(pattern, short):
            return Peak(tflops * 1e12, dtype, f"NVIDIA's data sheet: {tflops:g} TFLOPS, dense {dtype}")
    return None


def measured_peak(device: str, size: int = 8192, products: int = 20) -> Peak:
    """What matrix products of ``size`` reach on ``device`` in its fastest 16-bit type; fp32 on a CPU.

    A product is 2 size^3 operations. A maker's figure is some 10 to 25 percent higher than what products reach, so an
    MFU against this rate is higher, too: `Peak.source` says which one it is.
    """
    on_card = device.startswith("cuda")
    bf16 = on_card and torch.cuda.get_device_capability(device) >= (8, 0)
    dtype, word = (torch.bfloat16, "bf16") if bf16 else (torch.float16, "fp16") if on_card else (torch.float32, "fp32")
    generator = torch.Generator(device).manual_seed(0)
    a, b = (torch.randn(size, size, device=device, generator=generator).to(dtype) for _ in range(2))
    seconds = float("inf")
    for _ in range(3):  # the first try is the one that warms up
        start = time.perf_counter()
        for _ in range(products):
            a @ b
        synchronize(device)
        seconds = min(seconds, (time.perf_counter() - start) / products)
    return Peak(2 * size**3 / seconds, word, f"measured: {word} products of {size} x {size}, as the table has no rate")


def synchronize(device: str) -> None:
    """Wait until a card has done all that it was given: before a clock is read. A CPU is never ahead."""
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)


def mfu(tokens_per_second: float, flops_per_token: float, peak: Peak) -> float:
    """The share of ``peak`` that training takes, from 0 to 1 (above 1, a number that it is made of is wrong).

    Args:
        tokens_per_second: targets trained on per second.
        flops_per_token: of one training step, forward and backward: `GPT.flops_per_token`.

    Raises:
        CourseError: for a rate or a count that is not above 0.
    """
    for name, value in (("tokens_per_second", tokens_per_second), ("flops_per_token", flops_per_token)):
        if not value > 0:
            raise CourseError(f"{name} should be above 0; it is {value}.")
    return tokens_per_second * flops_per_token / peak.flops


def reset_peak_memory(device: str) -> None:
    """Begin to look for the peak afresh; a process on a CPU has one peak for its whole life."""
    if device.startswith("cuda"):
        torch.cuda.reset_peak_memory_stats(device)


def peak_memory_gib(device: str) -> float | None:
    """The most memory in use at once, in GiB: tensors on a card since `reset_peak_memory`; on a CPU the whole process.

    None where the system does not tell (Windows, Apple's GPU).
    """
    if device.startswith("cuda"):
        return torch.cuda.max_memory_allocated(device) / 2**30
    if device != "cpu" or sys.platform == "win32":
        return None
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**30 if sys.platform == "darwin" else peak / 2**20  # macOS counts bytes, Linux KiB


def speed_line(
    tokens: float, seconds: float, device: str, flops_per_token: float | None = None, peak: Peak | None = None
) -> str:
    """``412,345 tokens/s  MFU 41.3%  9.8 GiB``: what is known of it; no MFU without a peak to compare with."""
    rate = tokens / seconds if seconds > 0 else 0.0
    parts = [f"{rate:,.0f} tokens/s"]
    if peak is not None and flops_per_token is not None and rate > 0:
        parts.append(f"MFU {mfu(rate, flops_per_token, peak):.1%}")
    memory = peak_memory_gib(device)
    if memory is not None:
        parts.append(f"{memory:.1f} GiB")
    return "  ".join(parts)
