"""The conventions of the study's statistics, which captions name; `statistics` and `measures` apply them.

Nothing heavy is imported here, as the workflow asks for captions.
"""

LEVEL = 0.95
"""The level of every interval."""
ERROR_RATE = 0.05
"""A difference counts as one where its corrected p-value is below this."""
FEW_SEEDS = 8
"""With fewer seeds, an interval is at least as long as that over seed means (`statistics.crossed`), and ± in
cells is half the width of the interval, as a standard error would look too certain (`few`)."""
POWER = 0.8
"""The chance to detect a difference that smallest detectable differences and needed seeds stand for."""
MOST_SEEDS = 1000
"""The search for the seeds that a difference needs ends here."""


def few(seeds: int) -> bool:
    """Whether ± in cells stands for half a 95 % interval, as seeds are few, and not for a standard error."""
    return seeds < FEW_SEEDS
