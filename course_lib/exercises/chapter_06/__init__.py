"""Chapter 06, saving: what to keep, a header, the best, epochs that resume, a tensor by hand, a repair, a kill."""

from course_lib.exercises.chapter_06.atomic import ATOMIC
from course_lib.exercises.chapter_06.deciding import BEST, EPOCHS, NEEDED
from course_lib.exercises.chapter_06.reading import LENGTH, TENSOR
from course_lib.exercises.chapter_06.repair import REPAIR

EXERCISES = (NEEDED, LENGTH, BEST, EPOCHS, TENSOR, REPAIR, ATOMIC)
