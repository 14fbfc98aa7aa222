"""The conventions of the study's statistics, which captions name; `statistics` and `measures` apply them.

Nothing heavy is imported here, as the workflow asks for captions.
"""

LEVEL = 0.95
"""The level of every interval."""
ERROR_RATE = 0.05
"""A difference counts as one where its corrected p-value is below this."""
FEW_SEEDS = 8
"""With fewer seeds, an interval is at least as long as that over seed means (`statistics.crossed`)."""
