"""The trajectories stage: the teacher answers every problem several times.

One process samples one shard. Responses are archived with finish reason and token counts, right or
wrong: judging them is the verdicts stage. A killed shard goes on where it was: each response is kept
in `<output>.partial.jsonl` as soon as it is there, and the output itself is written at the end.
"""

import sys
from contextlib import closing
from pathlib import Path
from typing import Any

from glow.config import GenerateSettings
from glow.data.problem_rows import gold_facts, read_problems
from glow.errors import UserError
from glow.files.jsonl import write_jsonl
from glow.files.kept_rows import KeptRows
from glow.files.manifest import Manifest
from glow.files.records import Problem, Trajectory, trajectory_id
from glow.files.resume_points import partial_rows
from glow.files.same_run import Identity, run_identity
from glow.files.stopping import at_once
from glow.models.adapters import with_base
from glow.models.engines import load_engine
from glow.models.load import require_model
from glow.models.prompts import prompt_messages
from glow.models.sampling import Completion, Request, TokenMeter
from glow.models.templates import template_files


def generate(  # noqa: PLR0913 (a stage's paths and options)
    problems: Path,
    model: Path,
    output: Path,
    settings: GenerateSettings,
    *,
    shard: int,
    shards: int,
    trust_remote_code: bool = False,
) -> None:
    """Sample `settings.sampling.samples` trajectories for each problem of shard `shard` of `shards`.

    Problem number i (from 0) belongs to shard i modulo `shards`. The output's rows are in the order
    of the problems and of their sample indices, whatever the batch size and however often the stage
    was interrupted.

    Args:
        trust_remote_code: whether code in the model's directory may run.

    Raises:
        UserError: a problem file with a malformed row or a repeated id, a directory that holds no
            model or one with code that may not run, a chat template that is not there, or a shard that
            does not exist.
    """
    manifest = Manifest("generate")
    if not 0 <= shard < shards:
        raise UserError(f"--shard: {shard} is not among the {shards} shards 0 to {shards - 1}")
    require_model(model)
    mine = read_problems(problems)[shard::shards]
    wanted = [(problem, index) for problem in mine for index in range(settings.sampling.samples)]
    noted = settings.model_dump() | {"shard": shard, "shards": shards}
    # A response does not depend on how many others are asked for.
    inputs = [problems, *with_base(model), *template_files(settings.prompt)]
    identity = run_identity(settings.decisive(), inputs, leave_out=["sampling.samples"])
    with closing(_partial(output, identity)) as partial:
        run = _sample_missing(wanted, partial, model, settings, trust_remote_code)
        rows = [partial.rows[problem["problem_id"], index] for problem, index in wanted]
        write_jsonl(output, rows)
    tokens = sum(row["response_tokens"] or 0 for row in rows)
    truncated = sum(row["finish_reason"] == "length" for row in rows)
    facts = {"trajectories": len(rows), "tokens": tokens, "truncated": truncated}
    manifest.write(output, noted, inputs, {**run, **facts})
    partial.path.unlink()  # last: a kill before it loses nothing
    print(
        f"{output}: {len(rows)} trajectories of {len(mine)} problems, {tokens} tokens, "
        f"{run['tokens_per_second']:.0f} tok/s, {truncated / max(1, len(rows)):.1%} truncated"
    )


# --- sampling -----------------------------------------------------------------------------------


def _sample_missing(
    wanted: list[tuple[Problem, int]],
    partial: KeptRows,
    model: Path,
    settings: GenerateSettings,
    trust_remote_code: bool,
) -> dict[str, Any]:
    """Sample what `partial` has not got; return what the manifest notes of this run."""
    missing = [
        (problem, index) for problem, index in wanted if (problem["problem_id"], index) not in partial.rows
    ]
    if not missing:
        return {"device": "none", "resumed": len(wanted), "tokens_per_second": 0.0}
    sampling, prompt = settings.sampling, settings.prompt
    engine = load_engine(model, sampling, prompt, settings.hardware, trust_remote_code=trust_remote_code)
    requests = [
        Request(prompt_messages(problem["question"], prompt), (sampling.seed, problem["problem_id"], index))
        for problem, index in missing
    ]
    with TokenMeter("trajectories", len(wanted), done=len(wanted) - len(missing)) as meter:

        def keep(place: int, completion: Completion) -> None:
            problem, index = missing[place]
            partial.append(_trajectory(problem, index, completion, model.resolve().name, sampling.seed))
            meter.add(completion)

        with at_once(f"finished responses are kept in {partial.path}"):
            engine.generate(requests, keep)
    engine.close()
    return {
        "device": engine.device,
        "resumed": len(wanted) - len(missing),
        "tokens_per_second": round(meter.tokens_per_second, 1),
    }


def _trajectory(
    problem: Problem, index: int, completion: Completion, generator: str, seed: int
) -> Trajectory:
    identity = trajectory_id(problem["problem_id"], generator, seed, index, completion.text)
    row: Trajectory = {
        "trajectory_id": identity,
        "problem_id": problem["problem_id"],
        "family": problem.get("family"),
        "question": problem["question"],
        "answer": problem["answer"],
        "response": completion.text,
        "generator": generator,
        "seed": seed,
        "sample_index": index,
        "finish_reason": completion.finish_reason,
        "prompt_tokens": completion.prompt_tokens,
        "response_tokens": len(completion.token_ids),
        **gold_facts(problem),
    }
    if completion.thought_open:
        row["thought_open"] = True
    return row


# --- what an interrupted run left -----------------------------------------------------------------


def _partial(output: Path, identity: Identity) -> KeptRows:
    """The responses sampled so far, beside the output."""
    partial = KeptRows(partial_rows(output), identity)
    if partial.differs:
        print(f"{partial.path}: of another run ({partial.differs}); starting afresh", file=sys.stderr)
    elif partial.rows:
        kept = f"{len(partial.rows)} responses of an interrupted run"
        print(f"{partial.path}: going on after {kept}", file=sys.stderr)
    return partial
