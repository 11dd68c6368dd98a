"""Drawings that code makes, as SVG and with the standard library alone.

`learning` is of chapter 00, `transformer` of 03, `thoughts` of 09; `signs` says what is drawn for letters without ink.
"""
