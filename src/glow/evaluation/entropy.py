"""Policy entropy of some of an evaluation's responses.

It is how uncertain the model is, token by token, while it writes: the entropy of p(. | prefix) at temperature
1, averaged over the tokens of a sampled response, the end of the turn included where it was reached. A
teacher-forced pass over the response computes it, whichever engine sampled it and at whichever temperature.

Of a model that has learnt to say little, responses consist of their boxes and ends to a large part. So the
same pass also gives the end apart from the rest, and the rest by its position.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from glow.evaluation.lm_eval_model import GlowModel
from glow.evaluation.metrics import TENTHS
from glow.files.hashing import digest
from glow.files.jsonl import write_json
from glow.files.progress import progress_bar
from glow.files.same_run import Identity
from glow.models.sampling import Completion

_FORM = 2
"""Of the file of what was scored last: one in another form is scored again."""


@dataclass(frozen=True)
class ResponseEntropy:
    """The policy entropy of one response, in nats.

    Attributes:
        mean: over its tokens, and the end of the turn where it was reached.
        tenths: sums over each tenth of its tokens, without the end (`tenth_sums`).
        end: where the end of the turn was predicted; None where it was not reached.
    """

    mean: float
    tenths: list[float]
    end: float | None


def tenth_sums(entropies: NDArray[np.floating]) -> list[float]:
    """Sums over each tenth of some tokens; a token that lies in two tenths is shared in proportion.

    Each tenth so has a tenth of the tokens of every response, however short, and all add up to the whole.

    Args:
        entropies: (tokens,), in nats.
    """
    until = np.concatenate([[0.0], np.cumsum(entropies, dtype=np.float64)])
    cuts = np.linspace(0, len(entropies), TENTHS + 1)
    sums: list[float] = np.diff(np.interp(cuts, np.arange(len(until)), until)).tolist()
    return sums


def score_entropies(
    lm: GlowModel, responses: Sequence[tuple[str, Completion]], kept: Path, identity: Identity
) -> list[ResponseEntropy | None]:
    """The entropy of each (user's turn, completion); None where there is no token to score.

    All are scored together, since the last digits depend on what is in a batch. So they are kept together:
    the same responses are not scored again.

    Args:
        kept: file of what was scored last.
        identity: of the run that the responses come from.
    """
    if not responses:
        return []
    said = [[asked, completion.token_ids, completion.finish_reason] for asked, completion in responses]
    scored = {"identity": identity, "responses": digest(said), "form": _FORM}
    if kept.is_file():
        before = json.loads(kept.read_text(encoding="utf-8"))
        if before["of"] == scored:
            return [own and ResponseEntropy(**own) for own in before["entropies"]]
    entropies = _scored(lm, responses)
    write_json(kept, {"of": scored, "entropies": [own and asdict(own) for own in entropies]})
    return entropies


def _scored(lm: GlowModel, responses: Sequence[tuple[str, Completion]]) -> list[ResponseEntropy | None]:
    turns = {
        place: turn
        for place, (_, completion) in enumerate(responses)
        if (turn := lm.tested.sampled_turn(completion))
    }
    entropies: list[ResponseEntropy | None] = [None] * len(responses)
    if not turns:
        return entropies
    conversations = [lm.conversation(responses[place][0]) for place in turns]
    with progress_bar("entropies", "response", total=len(turns)) as bar:
        scores = lm.tested.score(conversations, list(turns.values()), bar.update)
    for place, score in zip(turns, scores, strict=True):
        inner = len(responses[place][1].token_ids)  # and behind these, at most the end
        end = float(score.entropies[inner]) if inner < score.tokens else None
        mean = score.entropy / score.tokens
        entropies[place] = ResponseEntropy(mean, tenth_sums(score.entropies[:inner]), end)
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
