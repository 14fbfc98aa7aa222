"""The evaluation sets as lm-eval task files (*.yaml), and what those need: rows, scorers, hooks."""
