"""microGPT: a whole GPT and its training in plain Python, with the standard library alone.

The program that it rebuilds is Andrej Karpathy's microgpt.py (February 2026). In reading order:

- `value`: a number that knows its derivative, and `graph`, the order in which derivatives are found;
- `scalar`: the model's parts, on such numbers;
- `gpt`: the weights, and how the parts make a model;
- `adam`: who moves the weights, and how far;
- `loop`: `MicroGPT`, one document at a time;
- `vector`: the same parts once more, on whole vectors, several times as fast.
"""

from course_lib.models.micro.adam import Adam, cosine
from course_lib.models.micro.gpt import MicroConfig
from course_lib.models.micro.loop import MicroGPT
from course_lib.models.micro.value import Value, dot
from course_lib.models.micro.vector import Vector

__all__ = ["MicroGPT", "MicroConfig", "Value", "Vector", "dot", "Adam", "cosine"]
