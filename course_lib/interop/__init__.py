"""Models to other programs: a plain ``state_dict`` file, and a C++ program that generates without Python."""

from course_lib.interop.cpp import compile_cpp, export_cpp, find_compiler
from course_lib.interop.pth import export_pth

__all__ = ["compile_cpp", "export_cpp", "export_pth", "find_compiler"]
