"""Counting in words: a small text that code can write, so that nothing needs a download.

Each line is a short run of consecutive numbers, such as ``ninety-nine, one hundred, one hundred and
one.`` Spelling and counting are both there to learn.
"""

import random

_SMALL = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
    "seventeen eighteen nineteen"
).split()
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety".split()


def spell(number: int) -> str:
    """``number``, from 0 to 999,999, in English words.

    >>> spell(42), spell(700), spell(1_205)
    ('forty-two', 'seven hundred', 'one thousand two hundred and five')
    """
    if not 0 <= number < 1_000_000:
        raise ValueError(f"spell knows the numbers from 0 to 999,999; it got {number}.")
    if number < 20:
        return _SMALL[number]
    if number < 100:
        tens, ones = divmod(number, 10)
        return _TENS[tens - 2] + (f"-{_SMALL[ones]}" if ones else "")
    if number < 1000:
        hundreds, rest = divmod(number, 100)
        return f"{_SMALL[hundreds]} hundred" + (f" and {spell(rest)}" if rest else "")
    thousands, rest = divmod(number, 1000)
    joint = " and " if 0 < rest < 100 else " "
    return f"{spell(thousands)} thousand" + (joint + spell(rest) if rest else "")


def numbers_text(n_lines: int = 8000, seed: int = 0) -> str:
    """``n_lines`` lines of three to seven consecutive numbers below 10,000, the same for a seed.

    The default is 1,039,473 characters. Small numbers come more often than large ones.
    """
    generator = random.Random(seed)
    lines = []
    for _ in range(n_lines):
        largest = generator.choice((100, 1000, 9990))
        start, length = generator.randrange(largest), generator.randint(3, 7)
        lines.append(", ".join(spell(start + i) for i in range(length)) + ".\n")
    return "".join(lines)
