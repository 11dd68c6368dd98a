"""Chapter 04, the optimizer: two on paper, groups, a schedule, clipping, an AdamW to repair, Lion."""

from course_lib.exercises.chapter_04.by_hand import EDGES, MOVES
from course_lib.exercises.chapter_04.clipping import CLIP
from course_lib.exercises.chapter_04.groups import GROUPS
from course_lib.exercises.chapter_04.lion import LION
from course_lib.exercises.chapter_04.repair import REPAIR
from course_lib.exercises.chapter_04.schedule import TRAPEZOID

EXERCISES = (EDGES, MOVES, GROUPS, TRAPEZOID, CLIP, REPAIR, LION)
