"""Byte-pair encoding: `splitting` a text into chunks, `counting` them, `learning` merges, `merging` a chunk."""

from course_lib.tokenizers.bpe.splitting import GPT2_PATTERN, GPT4_PATTERN
from course_lib.tokenizers.bpe.tokenizer import BPETokenizer

__all__ = ["GPT2_PATTERN", "GPT4_PATTERN", "BPETokenizer"]
