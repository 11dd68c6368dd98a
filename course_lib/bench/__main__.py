"""``python -m course_lib.bench gpu``: by argparse alone, for machines that have torch and little else."""

import argparse
import signal
import sys

from course_lib.bench.gpu import run_gpu
from course_lib.errors import CourseError
from course_lib.paths import user_path


def main(argv: list[str], prog: str = "python -m course_lib.bench") -> int:
    """Returns the exit status; a CourseError is printed without a traceback."""
    try:
        run(argv, prog)
    except CourseError as error:
        print(f"course: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("course: stopped.", file=sys.stderr)
        return 130
    return 0


def run(argv: list[str], prog: str) -> None:
    """Measure the card's list as the words say."""
    parser = argparse.ArgumentParser(prog=prog, description="Measure this card: the list of course_lib.bench.gpu.")
    parser.add_argument("name", choices=["gpu"], help="the list; course bench --help names the other benchmarks")
    parser.add_argument("--peer", type=user_path, help="a folder with a copy of nanoGPT to measure beside it")
    parser.add_argument("--agiformer", type=user_path, help="a checkout of the original AGIFORMER to measure beside it")
    parser.add_argument("--minutes", type=float, default=10.0, help="the budget; a row that would not fit is left out")
    parser.add_argument("--out", type=user_path, required=True, help="the JSON file, written after every row")
    parser.add_argument("--tiny", action="store_true", help="toys on the CPU: whether the list runs, not how fast")
    parser.add_argument("--go-on", action="store_true", help="keep the rows that FILE has from an earlier run here")
    given = parser.parse_args(argv)
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)  # a time limit's signal; the table is printed
    try:
        nanogpt, original = (path and path.resolve() for path in (given.peer, given.agiformer))
        run_gpu(given.out.resolve(), nanogpt, given.minutes, given.tiny, given.go_on, original)
    finally:
        signal.signal(signal.SIGTERM, before)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
