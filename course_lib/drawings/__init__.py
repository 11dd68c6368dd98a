"""Drawings that code makes, with the standard library alone: `learning` (chapter 00), `transformer` (03), `thoughts` (09).

They are SVG. `signs` says what is drawn for letters that leave no ink.
"""
