"""Chapter 10, pixels: the mean of an epoch, who is taken for whom, a dataset, a loop, a mirror, and what is new."""

from course_lib.exercises.chapter_10.averaging import MEAN
from course_lib.exercises.chapter_10.choosing import TWO_KINDS
from course_lib.exercises.chapter_10.confusing import CONFUSION
from course_lib.exercises.chapter_10.copying import NEW
from course_lib.exercises.chapter_10.mirroring import MIRROR
from course_lib.exercises.chapter_10.repair import REPAIR

EXERCISES = (MEAN, CONFUSION, TWO_KINDS, REPAIR, MIRROR, NEW)
