"""From questions to training data: problems, trajectories, verdicts, arms, and what of a suite stands in
them."""
