"""Compiled code for a processor: the blocks of a GPT in C++, built once on the machine that runs them."""

from course_lib.kernels.compiling import find_compiler
from course_lib.kernels.decoding import DecodingKernel, find_kernel

__all__ = ["DecodingKernel", "find_compiler", "find_kernel"]
