"""The trajectories stage: the teacher answers every problem several times.

One process samples one shard. Responses are archived with finish reason and token counts, right or
wrong: judging them is the verdicts stage. A killed shard goes on where it was: each response is kept
in `<output>.partial.jsonl` as soon as it is there, and the output itself is written at the end.
"""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from glow.config import GenerateSettings
from glow.data.problem_rows import gold_facts, read_problems
from glow.errors import UserError
from glow.files.jsonl import write_jsonl
from glow.files.manifest import Manifest
from glow.files.records import Problem, Trajectory, trajectory_id
from glow.files.same_run import Identity, difference, run_identity
from glow.models.engines import load_engine
from glow.models.load import require_model
from glow.models.prompts import prompt_messages
from glow.models.sampling import Completion, Request, TokenMeter
from glow.models.templates import template_files

SampleKey = tuple[str, int]
"""What names a response within a shard: problem_id and sample_index."""


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
    inputs = [problems, model, *template_files(settings.prompt)]
    identity = run_identity(settings.decisive(), inputs, leave_out=["sampling.samples"])
    with _partial(output, identity) as partial:
        run = _sample_missing(wanted, partial, model, settings, trust_remote_code)
        rows = [partial.rows[problem["problem_id"], index] for problem, index in wanted]
        write_jsonl(output, rows)
        partial.path.unlink()
    tokens = sum(row["response_tokens"] or 0 for row in rows)
    truncated = sum(row["finish_reason"] == "length" for row in rows)
    facts = {"trajectories": len(rows), "tokens": tokens, "truncated": truncated}
    manifest.write(output, noted, inputs, {**run, **facts})
    print(
        f"{output}: {len(rows)} trajectories of {len(mine)} problems, {tokens} tokens, "
        f"{run['tokens_per_second']:.0f} tok/s, {truncated / max(1, len(rows)):.1%} truncated"
    )


# --- sampling -----------------------------------------------------------------------------------


def _sample_missing(
    wanted: list[tuple[Problem, int]],
    partial: "_Partial",
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
    engine = load_engine(model, sampling, prompt, trust_remote_code=trust_remote_code)
    requests = [
        Request(prompt_messages(problem["question"], prompt), (sampling.seed, problem["problem_id"], index))
        for problem, index in missing
    ]
    with TokenMeter("trajectories", len(wanted), done=len(wanted) - len(missing)) as meter:

        def keep(place: int, completion: Completion) -> None:
            problem, index = missing[place]
            partial.append(_trajectory(problem, index, completion, model.resolve().name, sampling.seed))
            meter.add(completion)

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


@contextmanager
def _partial(output: Path, identity: Identity) -> Iterator["_Partial"]:
    """Open the partial file of `output`; it outlives a failure."""
    output.parent.mkdir(parents=True, exist_ok=True)
    path = output.with_name(output.name + ".partial.jsonl")
    with path.open("a+b") as stream:
        yield _Partial(path, stream, identity)


class _Partial:
    """The responses sampled so far: a header with the run's identity, then one row a line.

    A last line that a kill tore is dropped; the rows of another run are dropped with a note.
    """

    def __init__(self, path: Path, stream: IO[bytes], identity: Identity) -> None:
        self.path = path
        self.rows: dict[SampleKey, Trajectory] = {}
        self._stream = stream
        stream.seek(0)
        whole = [line for line in stream if line.endswith(b"\n")]
        differs = difference(json.loads(whole[0]) if whole else None, identity)
        if not differs:
            stream.truncate(sum(map(len, whole)))
            self.rows = {_sample(row): row for row in map(json.loads, whole[1:])}
            print(f"{path}: going on after {len(self.rows)} responses of an interrupted run", file=sys.stderr)
            return
        if whole:
            print(f"{path}: of another run ({differs}); starting afresh", file=sys.stderr)
        stream.truncate(0)
        self._write(json.dumps(identity).encode() + b"\n")

    def append(self, row: Trajectory) -> None:
        """Keep one more response; from here on a kill does not lose it."""
        self.rows[_sample(row)] = row
        self._write(json.dumps(row).encode() + b"\n")

    def _write(self, line: bytes) -> None:
        self._stream.write(line)
        self._stream.flush()


def _sample(row: Trajectory) -> SampleKey:
    return row["problem_id"], row["sample_index"]
