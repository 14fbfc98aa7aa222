"""What a study costs, and whether it fits: hours, memory and disk by stage, before anything runs."""

EXAMPLES = """\
Four nodes of eight H100s, and the paper's jobs as the profile has them:
  glow plan config/paper.yaml --gpu h100 --nodes 4 --profile profiles/paper

Another setting, without a file:
  glow plan config/paper.yaml --gpu h100 --set-resources sft:gpu=8 sft:sharding=fsdp2

This machine's own study, on its two cores:
  glow plan config/miniature.yaml --gpu cpu

A range is what follows from a range that is assumed. Where a job does not fit, the nearest setting that does
is named, and the exit code is 2. docs/cluster.md, "What it costs", says how to read the table."""
"""The end of what `glow plan --help` says."""
