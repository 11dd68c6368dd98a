"""Texts and pictures that the course makes by itself or brings along, and judges of what a model wrote after them."""

from course_lib.corpora.grade import Fault, Grade, Part
from course_lib.corpora.numbers import numbers_text

__all__ = ["Fault", "Grade", "Part", "numbers_text"]
