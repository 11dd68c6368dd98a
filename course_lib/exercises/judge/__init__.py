"""How an attempt is judged: the words for what is wrong, and what the judges of several chapters need."""
