"""What is shown for a character that leaves no ink, and for bytes that are no character."""

import unicodedata

SIGNS = {"\n": "↵", "\t": "⇥", " ": "␣"}
VARIANTS = {chr(number) for number in range(0xFE00, 0xFE10)}
"""Say how the character before them is drawn, and are nothing themselves."""


def sign(content: bytes) -> str:
    """What to show for the bytes of a token: letters, a sign where they leave no ink, or hexadecimal digits."""
    try:
        letters = content.decode("utf-8")
    except UnicodeDecodeError:
        try:
            return f"U+{ord(content.decode('utf-8', 'surrogatepass')):04X}"
        except (UnicodeDecodeError, TypeError):
            return content.hex(" ").upper()
    return _with_signs(letters, SIGNS)


def spelled(content: bytes, spaces: bool = True) -> str:
    """Any bytes on one line: letters, signs where they leave no ink, and ``\\xC3`` for each byte of no whole character.

    Args:
        spaces: whether a space has a sign, too.
    """
    letters = "".join(_spelled(letter) for letter in content.decode("utf-8", "surrogateescape"))
    return _with_signs(letters, SIGNS if spaces else SIGNS | {" ": " "})


def _spelled(letter: str) -> str:
    """A letter; or an escape for one that stands for a byte, as Python's surrogateescape has them."""
    return f"\\x{ord(letter) - 0xDC00:02X}" if 0xDC80 <= ord(letter) <= 0xDCFF else letter


def _with_signs(letters: str, signs: dict[str, str]) -> str:
    shown = "".join(signs.get(letter) or _inked(letter) for letter in letters)
    # An accent needs something to stand on.
    return f"◌{shown}" if shown and unicodedata.category(shown[0]).startswith("M") else shown


def _inked(letter: str) -> str:
    has_ink = unicodedata.category(letter) not in ("Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp", "Zs")
    return letter if has_ink and letter not in VARIANTS else f"U+{ord(letter):04X}"
