"""Shards of a teacher's trajectories, put together: in the order of the problems, whatever their number."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from glow.config import GenerateSettings, Sampling
from glow.data.shards import merge_shards
from glow.errors import UserError
from glow.files.jsonl import read_jsonl, write_json, write_jsonl
from glow.files.manifest import Manifest, manifest_path

Sampled = Callable[..., list[Path]]


@pytest.fixture
def problems(tmp_path: Path) -> Path:
    file = tmp_path / "problems.jsonl"
    write_jsonl(file, [{"problem_id": f"p-{n}", "question": f"Q{n}", "answer": str(n)} for n in range(5)])
    return file


@pytest.fixture
def sampled(tmp_path: Path) -> Sampled:
    """Writes shards as `glow generate` does, by hand: two responses to each problem, `number` tokens each."""

    def write(count: int, temperature: float = 0.7) -> list[Path]:
        settings = GenerateSettings(sampling=Sampling(samples=2, max_tokens=8, temperature=temperature))
        files = []
        for shard in range(count):
            rows = [
                {"problem_id": f"p-{n}", "sample_index": index, "response": f"{n}/{index}", "more": [n]}
                for n in range(shard, 5, count)
                for index in (0, 1)
            ]
            files.append(tmp_path / f"shard-{shard}-of-{count}.jsonl.gz")
            write_jsonl(files[-1], rows)
            facts = {"trajectories": len(rows), "tokens": 10 * len(rows), "truncated": shard}
            noted = settings.model_dump(mode="json") | {"shard": shard, "shards": count}
            Manifest("generate").write(files[-1], noted, [], facts)
        return files

    return write


def manifest(output: Path) -> Any:
    return json.loads(manifest_path(output).read_text())


def test_the_number_of_shards_changes_nothing(problems: Path, sampled: Sampled, tmp_path: Path) -> None:
    made = []
    for count in (1, 2, 3, 7):
        output = tmp_path / f"of-{count}.jsonl.gz"
        merge_shards(problems, sampled(count), output)
        made.append(output.read_bytes())
        assert manifest(output)["settings"]["sampling"]["temperature"] == 0.7
        assert "shards" not in manifest(output)["settings"]
        truncated = sum(range(count))
        assert manifest(output)["facts"] == {"trajectories": 10, "tokens": 100, "truncated": truncated}
    assert made == made[:1] * 4
    rows = list(read_jsonl(tmp_path / "of-3.jsonl.gz"))
    assert [row["response"] for row in rows] == [f"{n}/{index}" for n in range(5) for index in (0, 1)]
    assert rows[9]["more"] == [4]


def test_shards_in_another_order_or_of_other_problems_are_refused(
    problems: Path, sampled: Sampled, tmp_path: Path
) -> None:
    output = tmp_path / "out.jsonl.gz"
    first, second = sampled(2)
    with pytest.raises(UserError, match=r"shard-1-of-2.jsonl.gz:1: expected sample 0 of problem p-0"):
        merge_shards(problems, [second, first], output)
    with pytest.raises(UserError, match="the end of a shard: expected sample 0 of problem p-1"):
        merge_shards(problems, [first, sampled(7)[6]], output)
    (whole,) = sampled(1)
    write_jsonl(problems, list(read_jsonl(problems))[:4])
    with pytest.raises(UserError, match=r"shard-0-of-1.jsonl.gz:9: expected no further row"):
        merge_shards(problems, [whole], output)
    assert not output.exists()


def test_shards_of_other_settings_are_refused(problems: Path, sampled: Sampled, tmp_path: Path) -> None:
    first = sampled(2)[0]
    kept = (first.read_bytes(), manifest_path(first).read_bytes())
    _, second = sampled(2, temperature=1.0)
    first.write_bytes(kept[0])
    manifest_path(first).write_bytes(kept[1])
    with pytest.raises(
        UserError, match=r"shard-1-of-2.jsonl.gz: sampling.temperature was 0.7, is 1.0, where .*-0-of"
    ):
        merge_shards(problems, [first, second], tmp_path / "out.jsonl.gz")
    noted = manifest(second)
    noted["settings"]["sampling"] |= {"temperature": 0.7, "batch_size": 3}
    write_json(manifest_path(second), noted)
    merge_shards(problems, [first, second], tmp_path / "out.jsonl.gz")  # the batch changes no number
    noted["settings"]["sampling"]["gone"] = 1
    write_json(manifest_path(second), noted)
    with pytest.raises(UserError, match=r"shard-1-of-2.jsonl.gz: sampled by another version of glow"):
        merge_shards(problems, [first, second], tmp_path / "out.jsonl.gz")
    manifest_path(second).unlink()
    with pytest.raises(UserError, match=r"shard-1-of-2.jsonl.gz.manifest.json: no such file"):
        merge_shards(problems, [first, second], tmp_path / "out.jsonl.gz")
