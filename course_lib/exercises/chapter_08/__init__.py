"""Chapter 08, byte pairs: count, merge, choose, encode, compare runs, show a stream, a chat that nobody can break."""

from course_lib.exercises.chapter_08.chat import CHAT
from course_lib.exercises.chapter_08.counting import BEST_PAIR, PAIR_COUNTS
from course_lib.exercises.chapter_08.merging import ENCODE_WORD, MERGE
from course_lib.exercises.chapter_08.scoring import BEST_RUN
from course_lib.exercises.chapter_08.streaming import STREAM

EXERCISES = (PAIR_COUNTS, MERGE, BEST_PAIR, ENCODE_WORD, BEST_RUN, STREAM, CHAT)
