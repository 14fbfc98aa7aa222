"""Put the shards of a teacher's trajectories together: one file a domain, however the work was divided."""

from collections.abc import Iterator
from pathlib import Path

from pydantic import ValidationError

from glow.config import GenerateSettings
from glow.data.problem_rows import read_problems
from glow.errors import UserError
from glow.files.jsonl import Record, read_json, write_jsonl
from glow.files.manifest import Manifest, manifest_path
from glow.files.records import Problem, Trajectory, read_records
from glow.files.same_run import difference, run_identity

_COUNTS = ("trajectories", "tokens", "truncated")


def merge_shards(problems: Path, shards: list[Path], output: Path) -> None:
    """Write the rows of all shards to `output`, in the order of the problems and of their sample indices.

    Its manifest has the settings that all shards share.

    Args:
        shards: in their order, as `glow generate` wrote them: problem number i is in shard i modulo their
            number.

    Raises:
        UserError: a shard is missing, was sampled with other settings than the first or of other problems.
    """
    manifest = Manifest("merge")
    notes = [read_json(manifest_path(shard), "`glow generate`") for shard in shards]
    settings = [_settings(note, shard) for note, shard in zip(notes, shards, strict=True)]
    for shard, own in zip(shards, settings, strict=True):
        if differs := difference(run_identity(settings[0].decisive()), run_identity(own.decisive())):
            raise UserError(f"{shard}: {differs}, where the first is {shards[0]}'s; sample it again")
    rows = [read_records(shard, Trajectory, ("problem_id", "sample_index")) for shard in shards]
    asked = read_problems(problems)
    write_jsonl(output, _in_order(asked, rows, settings[0].sampling.samples))
    counts = {key: sum(note["facts"][key] for note in notes) for key in _COUNTS}
    manifest.write(output, settings[0].model_dump(mode="json"), [problems, *shards], counts)
    rows_of = f"{counts['trajectories']} trajectories of {len(asked)} problems"
    print(f"{output}: {rows_of}, {counts['tokens']} tokens, {counts['truncated']} truncated")


def _settings(note: Record, shard: Path) -> GenerateSettings:
    """The settings that a shard was sampled with, which shard it is left out."""
    try:
        return GenerateSettings.model_validate(
            {key: value for key, value in note["settings"].items() if key not in ("shard", "shards")}
        )
    except ValidationError:
        raise UserError(f"{shard}: sampled by another version of glow; sample it again") from None


def _in_order(
    problems: list[Problem], shards: list[Iterator[tuple[str, Trajectory]]], samples: int
) -> Iterator[Trajectory]:
    for number, problem in enumerate(problems):
        for index in range(samples):
            place, row = next(shards[number % len(shards)], ("the end of a shard", None))
            if row is None or (row["problem_id"], row["sample_index"]) != (problem["problem_id"], index):
                raise _not_of_these(place, f"sample {index} of problem {problem['problem_id']}")
            yield row
    for shard in shards:
        for place, _ in shard:
            raise _not_of_these(place, "no further row")


def _not_of_these(place: str, expected: str) -> UserError:
    return UserError(
        f"{place}: expected {expected}; give all shards in their order, sampled of these very problems"
    )
