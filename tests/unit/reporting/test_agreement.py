"""Tables of results that were made with other settings than the configuration has are refused."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from fabricated import World, document

from glow import cli
from glow.errors import UserError
from glow.reporting.agreement import refuse_other_settings
from glow.reporting.results import Results

RUN = "arithmetic/glow/seed-1/manifest.json"


def alter(manifest: Path, key: str, value: Any) -> None:
    """Another value for a dotted key of the settings in a manifest."""
    written = json.loads(manifest.read_text())
    *above, last = key.split(".")
    settings = written["settings"]
    for part in above:
        settings = settings[part]
    settings[last] = value
    manifest.write_text(json.dumps(written))


def refusal(results: Results) -> str:
    with pytest.raises(UserError) as refused:
        refuse_other_settings(results)
    return str(refused.value)


@pytest.mark.parametrize(
    ("manifest", "key", "value", "said"),
    [
        (f"evaluation/sft/{RUN}", "evaluation.max_tokens", 20, "was 20, is 64"),
        ("evaluation/base/seed-0/manifest.json", "seed", 1, "was 1, is 0"),
        (f"sft/{RUN}", "sft.epochs", 2, "was 2, is 3"),
        (f"sft/{RUN}", "objective.alpha", 2.0, "was 2.0, is 1.0"),
        (f"grpo/{RUN}", "grpo.steps", 19, "was 19, is 20"),
        (f"grpo/{RUN}", "extraction.extraction", "lenient", "was 'lenient', is 'strict'"),
        ("arms/arithmetic/seed-1/manifest.json", "selection.size", 4, "was 4, is 'auto'"),
        ("verdicts/arithmetic.jsonl.gz.manifest.json", "verification.leniency", "refuse",
         "was 'refuse', is 'allow'"),
        ("contamination/arithmetic/manifest.json", "threshold", 1.0, "was 1.0, is 0.01"),
        ("trajectories/arithmetic.jsonl.gz.manifest.json", "sampling.max_tokens", 8, "was 8, is 64"),
        ("problems/arithmetic/train.jsonl.manifest.json", "train", 11, "was 11, is 10"),
        ("suites/lists.jsonl.manifest.json", "seed", 2, "was 2, is 1"),
        ("models/teacher/manifest.json", "layers", 2, "was 2, is 3"),
    ],
)  # fmt: skip
def test_one_setting_of_one_result_is_named_with_its_manifest(
    world: World, manifest: str, key: str, value: Any, said: str
) -> None:
    refuse_other_settings(world.results)
    alter(world.root / manifest, key, value)
    assert f"\n  {key} {said}: {world.root / manifest}\n" in refusal(world.results)


@pytest.mark.parametrize(
    ("manifest", "key"),
    [
        (f"evaluation/sft/{RUN}", "evaluation.batch_size"),
        (f"sft/{RUN}", "sft.checkpoints"),
        (f"sft/{RUN}", "sft.gradient_checkpointing"),
        (f"grpo/{RUN}", "grpo.checkpoints"),
        ("trajectories/arithmetic.jsonl.gz.manifest.json", "sampling.batch_size"),
    ],
)
def test_a_setting_that_changes_no_number_may_be_another(world: World, manifest: str, key: str) -> None:
    alter(world.root / manifest, key, 77)
    refuse_other_settings(world.results)


def test_a_later_setting_is_compared_unless_it_has_its_default(world: World) -> None:
    """Older manifests have none of it; those of this version have its default."""
    manifest = world.root / "sft" / RUN
    settings = json.loads(manifest.read_text())["settings"]["sft"]
    for value in (None, *([settings.pop("lora")] if "lora" in settings else [])):
        alter(manifest, "sft.lora", value)
        refuse_other_settings(world.results)
    alter(manifest, "sft.lora", {"rank": 4})
    assert "\n  sft.lora.rank was 4, is unset: " in refusal(world.results)


def test_settings_that_are_no_longer_known_are_not_compared(world: World) -> None:
    for key in ("patience", "evaluation.beams", "verification.fence"):
        alter(world.root / "evaluation" / "sft" / RUN, key, 3)
    refuse_other_settings(world.results)


def test_what_is_set_within_one_setting_is_compared_whole(world: World) -> None:
    manifest = world.root / "evaluation" / "sft" / RUN
    alter(manifest, "prompt.chat_template_kwargs", {"enable_thinking": False})
    assert f"chat_template_kwargs.enable_thinking was False, is unset: {manifest}" in refusal(world.results)


def test_a_manifest_without_settings_is_named(world: World) -> None:
    manifest = world.root / "evaluation" / "sft" / RUN
    manifest.write_text('{"stage": "evaluate", "settings": null}')
    assert str(manifest) in refusal(world.results)


def test_a_changed_configuration_is_told_by_its_settings_and_how_many_results(world: World) -> None:
    sft = document()["sft"] | {"epochs": 4}
    root, changed = world.root, document(evaluation={"max_tokens": 32}, sft=sft)
    said = refusal(World(root, changed).results)
    assert said.splitlines()[:3] == [
        # Two seeds of: the base, five arms, GRPO from six; and five arms.
        f"{2 * 12 + 2 * 5} manifest(s) with other settings than the configuration has:",
        f"  evaluation.max_tokens was 64, is 32: {root}/evaluation/base/seed-0/manifest.json and 23 more",
        f"  sft.epochs was 3, is 4: {root}/sft/arithmetic/positive/seed-0/manifest.json and 9 more",
    ]


def test_an_objective_of_ones_own_is_compared_with_its_code(tmp_path: Path) -> None:
    code = tmp_path / "mine.py"
    code.write_text("from glow.training.objectives import Objective\n\nhalf = Objective('half')\n")
    own = document(
        objectives={"half": {"objective": f"{code}:half"}},
        arms={"all": {"trajectories": "all", "objective": "half"}},
    )
    world = World(tmp_path / "results", own).write()
    manifest = world.results.training(world.results.runs("sft")[0]) / "manifest.json"
    assert f"objective.source code has changed: {manifest}" in refusal(world.results)


def test_rows_of_ones_own_are_compared_with_how_they_were_read(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").touch()
    read = {"files": [str(tmp_path / "rows.jsonl")], "domain": "arithmetic", "grpo": 5, "limit": 9}
    own = document(domains=None, teacher=None, sampling=None, trajectories=read)
    world = World(tmp_path / "results", own).write()
    refuse_other_settings(world.results)
    manifest = tmp_path / "results" / "trajectories" / "arithmetic.jsonl.gz.manifest.json"
    alter(manifest, "limit", 10)
    assert f"limit was 10, is 9: {manifest}" in refusal(world.results)


def test_large_results_that_no_table_reads_may_have_been_removed(world: World) -> None:
    for name in ("models", "suites", "problems", "trajectories"):
        shutil.rmtree(world.root / name)
    refuse_other_settings(world.results)
    (world.root / "verdicts" / "arithmetic.jsonl.gz.manifest.json").unlink()
    with pytest.raises(
        UserError, match=r"arithmetic\.jsonl\.gz\.manifest\.json: no such file; run the stage"
    ):
        refuse_other_settings(world.results)


def test_no_table_is_written(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    alter(world.root / "evaluation" / "sft" / RUN, "evaluation.max_tokens", 20)
    command = ["tables", str(world.root / "experiment.json"), "--results", str(world.root)]
    assert cli.main(command) == 2
    assert "evaluation.max_tokens was 20, is 64" in capsys.readouterr().err
    assert not world.results.tables.exists()
