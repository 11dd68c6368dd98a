"""Chapter 02, the batcher: places, prefixes, repeatable chance, shares, a split, a loader to repair, scoring."""

from course_lib.exercises.chapter_02.counting import EXAMPLES, LAST_STARTS
from course_lib.exercises.chapter_02.drawing import SHARE, STARTS
from course_lib.exercises.chapter_02.repair import REPAIR
from course_lib.exercises.chapter_02.splitting import SIDE_BY_SIDE, SPLIT

EXERCISES = (LAST_STARTS, EXAMPLES, STARTS, SHARE, SPLIT, REPAIR, SIDE_BY_SIDE)
