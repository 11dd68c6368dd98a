"""AGIFORMER (github.com/inkbytefo/agi-former): byte patches, hybrid blocks, thinking steps, a byte decoder."""

from course_lib.config import AGIFormerConfig
from course_lib.models.agiformer.model import AGIFormer
from course_lib.models.agiformer.state import PatchCache

__all__ = ["AGIFormer", "AGIFormerConfig", "PatchCache"]
