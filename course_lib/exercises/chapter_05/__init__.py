"""Chapter 05, the loop: first losses, five steps, validation, accumulation, a loop to repair, loss by place."""

from course_lib.exercises.chapter_05.counting import FIRST_LOSSES, TIMES_READ
from course_lib.exercises.chapter_05.repair import REPAIR
from course_lib.exercises.chapter_05.scoring import BY_POSITION, VALIDATION
from course_lib.exercises.chapter_05.stepping import ACCUMULATED, CLIPPED

EXERCISES = (FIRST_LOSSES, TIMES_READ, CLIPPED, VALIDATION, ACCUMULATED, REPAIR, BY_POSITION)
