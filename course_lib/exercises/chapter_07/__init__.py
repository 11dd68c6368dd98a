"""Chapter 07, sampling: temperature, softmax, top-k, top-p, runs that come twice, a writer to repair, beam search."""

from course_lib.exercises.chapter_07.beam import BEAM
from course_lib.exercises.chapter_07.cutting import EXACTLY_K, NUCLEUS
from course_lib.exercises.chapter_07.repair import REPAIR
from course_lib.exercises.chapter_07.repeating import FORBIDDEN
from course_lib.exercises.chapter_07.softening import SOFTMAX, TEMPERATURE

EXERCISES = (TEMPERATURE, SOFTMAX, EXACTLY_K, NUCLEUS, FORBIDDEN, REPAIR, BEAM)
