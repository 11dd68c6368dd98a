"""Chapter 01, the tokenizer: ids and bytes by hand, a helpful error, a clean cut, fair scores, a new vocabulary."""

from course_lib.exercises.chapter_01.by_hand import BREAD, EURO
from course_lib.exercises.chapter_01.costs import FAIR_SCORE, SHARE
from course_lib.exercises.chapter_01.moving import MOVED
from course_lib.exercises.chapter_01.text import SAFE_CUT, STRICT

EXERCISES = (BREAD, EURO, SHARE, STRICT, SAFE_CUT, FAIR_SCORE, MOVED)
