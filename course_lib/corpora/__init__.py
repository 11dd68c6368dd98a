"""Texts and pictures that the course makes by itself, without a download."""

from course_lib.corpora.grade import Fault, Grade, Part
from course_lib.corpora.numbers import numbers_text

__all__ = ["Fault", "Grade", "Part", "numbers_text"]
