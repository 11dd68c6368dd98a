"""Environment settings that make one machine round like several others: vector width, kernels, threads.

A sum of floating-point numbers depends on the order in which they are added, and that depends on how many
numbers one instruction takes, on the library's kernels, and on the number of threads. A result that holds under
all of these settings holds on a reader's machine too, or nearly so; any other is no property of the lesson.

Each is a set of environment variables, to be set before torch is loaded: torch's own vector width
(ATEN_CPU_CAPABILITY, by which C++ that the course compiles goes as well), that of MKL's matrix products (MKL_CBWR),
that of oneDNN's (ONEDNN_MAX_CPU_ISA), and the number of threads (COURSE_THREADS, which `course_lib.notebook.setup` and
the tests go by).
"""

import sys

from course_lib.programs import run_program

AS_IT_IS = "as the machine is"
LOWEST = "lowest"
AVX2 = "avx2"

NUMERICS: dict[str, dict[str, str]] = {
    AS_IT_IS: {},
    LOWEST: {"ATEN_CPU_CAPABILITY": "default", "MKL_CBWR": "COMPATIBLE", "ONEDNN_MAX_CPU_ISA": "SSE41"},
    AVX2: {"ATEN_CPU_CAPABILITY": "avx2", "MKL_CBWR": "AVX2", "ONEDNN_MAX_CPU_ISA": "AVX2"},
    "1 thread": {"COURSE_THREADS": "1"},
    "4 threads": {"COURSE_THREADS": "4"},
}
"""By name: what to add to the environment. A name is what a report says and what a command asks for."""


def numerics_here() -> dict[str, dict[str, str]]:
    """Those of `NUMERICS` that mean something on this machine: avx2 only where it could do more."""
    ask = "import torch; print(torch.backends.cpu.get_cpu_capability())"
    widest = run_program([sys.executable, "-c", ask]).out
    return {name: env for name, env in NUMERICS.items() if name != AVX2 or widest.startswith("AVX512")}
