"""Drawings that code makes, as SVG and with the standard library alone: `learning` (chapter 00), `transformer` (03)."""
