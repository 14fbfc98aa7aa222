"""Policy entropy of some of an evaluation's responses.

It is how uncertain the model is, token by token, while it writes: the entropy of p(. | prefix) at temperature
1, averaged over the tokens of a sampled response, the end of the turn included where it was reached. A
teacher-forced pass over the response computes it, whichever engine sampled it and at whichever temperature.
"""

import json
from collections.abc import Sequence
from pathlib import Path

from glow.evaluation.lm_eval_model import GlowModel
from glow.files.hashing import digest
from glow.files.jsonl import write_json
from glow.files.progress import progress_bar
from glow.files.same_run import Identity
from glow.models.sampling import Completion


def mean_entropies(
    lm: GlowModel, responses: Sequence[tuple[str, Completion]], kept: Path, identity: Identity
) -> list[float | None]:
    """The mean entropy of each (user's turn, completion), in nats; None where there is no token to score.

    All are scored together, since the last digits depend on what is in a batch. So they are kept together:
    the same responses are not scored again.

    Args:
        kept: file of what was scored last.
        identity: of the run that the responses come from.
    """
    if not responses:
        return []
    said = [[asked, completion.token_ids, completion.finish_reason] for asked, completion in responses]
    scored = {"identity": identity, "responses": digest(said)}
    if kept.is_file():
        before = json.loads(kept.read_text(encoding="utf-8"))
        if before["of"] == scored:
            return list(before["entropies"])
    entropies = _scored(lm, responses)
    write_json(kept, {"of": scored, "entropies": entropies})
    return entropies


def _scored(lm: GlowModel, responses: Sequence[tuple[str, Completion]]) -> list[float | None]:
    turns = {
        place: turn
        for place, (_, completion) in enumerate(responses)
        if (turn := lm.tested.sampled_turn(completion))
    }
    entropies: list[float | None] = [None] * len(responses)
    if not turns:
        return entropies
    conversations = [lm.conversation(responses[place][0]) for place in turns]
    with progress_bar("entropies", "response", total=len(turns)) as bar:
        scores = lm.tested.score(conversations, list(turns.values()), bar.update)
    for place, score in zip(turns, scores, strict=True):
        entropies[place] = score.entropy / score.tokens
    return entropies


def spread(sizes: dict[str, int], wanted: int) -> dict[str, list[int]]:
    """Which responses to score: `wanted` of them, shared evenly by the suites, evenly spaced in each.

    From a suite with too few, all are chosen; the other suites do not make up for it.

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
