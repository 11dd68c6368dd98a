"""Models to other programs, as a ``state_dict`` file or a C++ program without Python; and models of others.

The original AGIFORMER's and nanoGPT's files become models of the library.
"""

from course_lib.interop.agiformer import load_agiformer
from course_lib.interop.cpp import compile_cpp, export_cpp, find_compiler
from course_lib.interop.nanogpt import NanoGPT, load_nanogpt
from course_lib.interop.pth import export_pth

__all__ = [
    "NanoGPT",
    "compile_cpp",
    "export_cpp",
    "export_pth",
    "find_compiler",
    "load_agiformer",
    "load_nanogpt",
]
