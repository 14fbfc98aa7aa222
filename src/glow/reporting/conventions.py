"""The numbers that the study's statistics go by, and that captions name.

Light on purpose: captions are asked for by the workflow. What is done with them is in `statistics`
and `measures`.
"""

LEVEL = 0.95
"""The level of every interval."""
ERROR_RATE = 0.05
"""A corrected p-value below this tells a difference from none."""
FEW_SEEDS = 8
"""With fewer seeds, an interval is not shorter than the t interval over seed means (`statistics.crossed`)."""
