"""Verdicts: the answer that a response states, and whether it equals the gold answer. No file is read
here."""
