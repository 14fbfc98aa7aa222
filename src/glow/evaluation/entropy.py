"""Policy entropy: how uncertain a model is, token by token, while it writes its own responses.

The entropy of p(. | prefix) at temperature 1, in nats, averaged over the tokens of sampled responses,
the end of sequence included where it was reached. It is computed by a teacher-forced pass over what
the model sampled, whichever engine sampled it. Which temperature they were sampled at is a setting of
the evaluation: the prefixes are the policy's own, the distribution is not sharpened.
"""

from collections.abc import Mapping


def spread(sizes: Mapping[str, int], wanted: int) -> dict[str, list[int]]:
    """Which responses to score: `wanted` of them, shared evenly by the suites, evenly spaced in each.

    A suite that has too few gives all it has; the others do not make up for it.

    Args:
        sizes: number of responses of each suite.
        wanted: number of responses in all.

    Returns:
        Places of the chosen responses in each suite, ascending.
    """
    chosen = {}
    for rank, (suite, size) in enumerate(sizes.items()):
        share = min(size, wanted // len(sizes) + (rank < wanted % len(sizes)))
        chosen[suite] = [place * size // share for place in range(share)]
    return chosen
