"""Chapter 09, AGIFORMER: bytes that are seen, patches, a running sum, a window, a comparison, a state, an end."""

from course_lib.exercises.chapter_09.bytes_seen import SEES
from course_lib.exercises.chapter_09.comparing import FAIR
from course_lib.exercises.chapter_09.cutting import PATCHES
from course_lib.exercises.chapter_09.halts import HALTING
from course_lib.exercises.chapter_09.stepping import STEP
from course_lib.exercises.chapter_09.summing import RUNNING
from course_lib.exercises.chapter_09.windows import BAND

EXERCISES = (SEES, PATCHES, RUNNING, BAND, FAIR, STEP, HALTING)
