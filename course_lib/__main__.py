"""``python -m course_lib``, and the console script ``course``."""

import sys


def main() -> int:
    """Run the command line; returns the exit status."""
    from course_lib.cli import main

    return main(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
