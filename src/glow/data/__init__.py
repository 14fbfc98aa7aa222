"""From questions to training data: problems, trajectories, verdicts, arms, and overlap with suites."""
