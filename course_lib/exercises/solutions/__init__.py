"""One solution for each exercise, ``05-3.py`` and so on: read by `solution`, run and checked by the tests."""
