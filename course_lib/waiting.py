"""How long torch's threads on a processor look out for one another before they go to sleep."""

import os

SPIN = 10_000
"""Rounds of looking. Those who look hold their core: the more rounds, the slower beside another program that wants it.
Those who sleep must be woken, which takes long in a virtual machine: the fewer rounds, the slower on a quiet one.
Steps of `tinytales_cpu` with 16 windows, on two cores of a virtual Intel Xeon, in milliseconds:

    rounds                      1,000   3,000   10,000   30,000   300,000 (GNU's own choice)
    quiet                          67      51       42       41        40
    beside one busy program        90     107      154      247       764
    beside two                    117     113      111      171       224
"""


def spin_briefly() -> None:
    """Set it for GNU's OpenMP, unless somebody has. It is read when torch loads, so this comes before."""
    os.environ.setdefault("GOMP_SPINCOUNT", str(SPIN))
