"""What is shown for a character that leaves no ink."""

SIGNS = {"\n": "↵", "\t": "⇥", " ": "␣"}
