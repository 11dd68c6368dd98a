"""Chapter 08, byte pairs: merges by hand, cuts, counts that change, a vocabulary undone, runs, a stream, a chat."""

from course_lib.exercises.chapter_08.by_hand import BY_HAND
from course_lib.exercises.chapter_08.changing import CHANGES
from course_lib.exercises.chapter_08.chat import CHAT
from course_lib.exercises.chapter_08.cutting import SAFE_CUTS
from course_lib.exercises.chapter_08.recovering import RECOVER
from course_lib.exercises.chapter_08.scoring import BEST_RUN
from course_lib.exercises.chapter_08.streaming import STREAM

EXERCISES = (BY_HAND, SAFE_CUTS, CHANGES, RECOVER, BEST_RUN, STREAM, CHAT)
