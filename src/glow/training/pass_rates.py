"""The stage before GRPO, where problems are chosen by difficulty: how often the starting model solves each.

It samples a few rollouts of every problem with the engine and the decoding of GRPO, and has them judged as
GRPO's are. Which problems are left out is GRPO's business (`glow.training.grpo_problems`): other bounds need
no new rollouts. Their randomness is of their own, so that no rollout of training is one of these.
"""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from glow.config import PassRateSettings
from glow.data.problem_rows import gold_of
from glow.errors import UserError
from glow.files.hashing import digest
from glow.files.jsonl import write_jsonl
from glow.files.kept_rows import KeptRows
from glow.files.manifest import Manifest
from glow.files.records import Asked, PassRate, read_records
from glow.files.resume_points import partial_rows
from glow.files.same_run import run_identity
from glow.files.stopping import at_once
from glow.models.adapters import with_base
from glow.models.engines import load_engine
from glow.models.load import require_model
from glow.models.prompts import prompt_messages
from glow.models.sampling import Completion, Request, TokenMeter
from glow.models.templates import template_files
from glow.verifier.verify import Item, Verifier, own_cores


def measure(
    problems: Path, model: Path, output: Path, settings: PassRateSettings, *, trust_remote_code: bool = False
) -> None:
    """Write to `output` how often `model` solves each problem (`PassRate`), one row a question.

    Every rollout is kept as soon as it is there: a killed run goes on after those that it has.

    Args:
        problems: JSON Lines of problems; of two with the same question, the first counts.
        trust_remote_code: whether code in the model's directory may run.

    Raises:
        UserError: no problem or a malformed one, or no model.
    """
    manifest = Manifest("pass-rates")
    require_model(model)
    asked: dict[str, Asked] = {}
    for _, row in read_records(problems, Asked, ("question", "answer", "answer_type", "choices")):
        asked.setdefault(row["question"], row)
    if not asked:
        raise UserError(f"{problems}: no problems")
    inputs = [problems, *with_base(model), *template_files(settings.prompt)]
    identity = run_identity(settings.decisive(), inputs, leave_out=["rollouts"])
    wanted = [(row, index) for row in asked.values() for index in range(settings.rollouts)]
    with closing(KeptRows(partial_rows(output), identity)) as partial:
        run = _sample_missing(wanted, partial, model, settings, trust_remote_code)
        kept = [partial.rows[_name(row), index] for row, index in wanted]
        rates = list(_judged(wanted, kept, settings))
        write_jsonl(output, rates)
    never, always = (sum(rate["pass_rate"] == bound for rate in rates) for bound in (0, 1))
    facts = {"problems": len(rates), "never_solved": never, "always_solved": always}
    manifest.write(output, settings.model_dump(mode="json"), inputs, {**run, **facts})
    partial.path.unlink()  # last: a kill before it loses nothing
    mean = sum(rate["pass_rate"] for rate in rates) / len(rates)
    print(
        f"{output}: {len(rates)} problems x {settings.rollouts} rollouts, mean pass rate {mean:.3f}, "
        f"{never} never solved, {always} always"
    )


def _name(row: Asked) -> str:
    """What names a problem: a hash of its question, as users' own rows need no id."""
    return digest(["pass rate", row["question"]])


def _sample_missing(
    wanted: list[tuple[Asked, int]],
    partial: KeptRows,
    model: Path,
    settings: PassRateSettings,
    trust_remote_code: bool,
) -> dict[str, Any]:
    """Sample what `partial` has not got; return what the manifest notes of this run."""
    missing = [(row, index) for row, index in wanted if (_name(row), index) not in partial.rows]
    if not missing:
        return {"device": "none", "resumed": len(wanted)}
    engine = load_engine(
        model, settings.decoding, settings.prompt, settings.hardware, trust_remote_code=trust_remote_code
    )
    requests = [
        Request(prompt_messages(row["question"], settings.prompt), (settings.seed, _name(row), index))
        for row, index in missing
    ]
    with TokenMeter("pass rates", len(wanted), done=len(wanted) - len(missing)) as meter:

        def keep(place: int, completion: Completion) -> None:
            row, index = missing[place]
            partial.append(
                {
                    "problem_id": _name(row),
                    "sample_index": index,
                    "response": completion.text,
                    "finish_reason": completion.finish_reason,
                    "thought_open": completion.thought_open,
                }
            )
            meter.add(completion)

        with at_once(f"finished rollouts are kept in {partial.path}"):
            engine.generate(requests, keep)
    engine.close()
    return {"device": engine.device, "resumed": len(wanted) - len(missing)}


def _judged(
    wanted: list[tuple[Asked, int]], kept: list[Any], settings: PassRateSettings
) -> Iterator[PassRate]:
    """One row a question, in the order of `wanted`, which has all rollouts of a question side by side."""
    items = [
        Item(own["response"], gold_of(row), own["finish_reason"], own["thought_open"])
        for (row, _), own in zip(wanted, kept, strict=True)
    ]
    with Verifier(settings.verification, own_cores(), settings.prompt.thought) as verifier:
        right = [judgement.verdict == "correct" for judgement in verifier.judge(items)]
    for start in range(0, len(wanted), settings.rollouts):
        part = slice(start, start + settings.rollouts)
        yield {
            "question": wanted[start][0]["question"],
            "rollouts": settings.rollouts,
            "correct": sum(right[part]),
            "truncated": sum(own["finish_reason"] == "length" for own in kept[part]),
            "pass_rate": sum(right[part]) / settings.rollouts,
        }
