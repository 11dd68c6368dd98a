"""Models to other programs and from them: transformers' GPT-2, nanoGPT's, AGIFORMER's, a ``state_dict``, C++."""

from course_lib.interop.agiformer import load_agiformer
from course_lib.interop.cpp import compile_cpp, export_cpp
from course_lib.interop.hf import load_hf_gpt2, save_hf_gpt2
from course_lib.interop.hf_export import export_hf
from course_lib.interop.hf_find import find_hf_gpt2
from course_lib.interop.hf_tokenizer import load_hf_tokenizer
from course_lib.interop.nanogpt import NanoGPT, load_nanogpt
from course_lib.interop.pth import export_pth
from course_lib.interop.upload import upload

__all__ = [
    "NanoGPT",
    "compile_cpp",
    "export_cpp",
    "export_hf",
    "export_pth",
    "find_hf_gpt2",
    "load_agiformer",
    "load_hf_gpt2",
    "load_hf_tokenizer",
    "load_nanogpt",
    "save_hf_gpt2",
    "upload",
]
