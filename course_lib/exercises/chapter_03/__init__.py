"""Chapter 03, the model: a table, weights, who may move, a norm, a count, a block to repair, a head that copies."""

from course_lib.exercises.chapter_03.copying import COPY
from course_lib.exercises.chapter_03.counting import COUNT, TABLE
from course_lib.exercises.chapter_03.looking import MOVED, WEIGHTS
from course_lib.exercises.chapter_03.norms import RMS_NORM
from course_lib.exercises.chapter_03.repair import REPAIR

EXERCISES = (TABLE, WEIGHTS, MOVED, RMS_NORM, COUNT, REPAIR, COPY)
