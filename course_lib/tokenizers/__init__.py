"""Text to numbers and back. A tokenizer knows no tensors.

All tokenizers share one protocol (`Tokenizer`) and one file format, a JSON file with the kind, a
version and the vocabulary. Equal vocabularies have equal fingerprints.
"""

from course_lib.tokenizers.base import Tokenizer, load_tokenizer, tokenizer_from_dict
from course_lib.tokenizers.bpe import BPETokenizer
from course_lib.tokenizers.byte import ByteTokenizer
from course_lib.tokenizers.char import CharTokenizer
from course_lib.tokenizers.decoding import Decoder

__all__ = [
    "BPETokenizer",
    "ByteTokenizer",
    "CharTokenizer",
    "Decoder",
    "Tokenizer",
    "load_tokenizer",
    "tokenizer_from_dict",
]
