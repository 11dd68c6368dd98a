"""Models to other programs, and from one: a plain ``state_dict`` file, a C++ program that generates without Python,
and weights that the original AGIFORMER saved."""

from course_lib.interop.agiformer import load_agiformer
from course_lib.interop.cpp import compile_cpp, export_cpp, find_compiler
from course_lib.interop.pth import export_pth

__all__ = ["compile_cpp", "export_cpp", "export_pth", "find_compiler", "load_agiformer"]
