"""Scores: lm-evaluation-harness with our engines, and metrics from the archive of samples alone."""
