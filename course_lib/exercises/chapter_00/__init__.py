"""Chapter 00, what is training: surprise and the chain rule by hand, a check by numbers, a new rule, a loop mended.

No judge here needs torch: the chapter's core runs where there is none.
"""

from course_lib.exercises.chapter_00.by_hand import GRADIENTS, SURPRISE
from course_lib.exercises.chapter_00.checking import NUMERIC, SOFTMAX
from course_lib.exercises.chapter_00.guesses import PREDICTIONS
from course_lib.exercises.chapter_00.repair import REPAIR
from course_lib.exercises.chapter_00.rules import TANH

EXERCISES = (SURPRISE, PREDICTIONS, GRADIENTS, NUMERIC, TANH, REPAIR, SOFTMAX)
