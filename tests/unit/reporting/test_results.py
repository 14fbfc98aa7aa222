import json
import math
from pathlib import Path

import pandas as pd
import pytest
from fabricated import World, document
from pytest import approx

from glow.errors import UserError
from glow.experiment import load
from glow.files.jsonl import write_jsonl
from glow.reporting.results import Results, Run, read_manifests
from glow.reporting.tables import write_tables
from glow.reporting.timings import print_timings

BASE = Run("base", None, "base", 1)
GLOW = Run("sft", "arithmetic", "glow", 0)


def test_layout(fabricated: World) -> None:
    results = fabricated.results
    assert results.evaluation(BASE) == fabricated.root / "evaluation/base/seed-1"
    assert results.evaluation(GLOW) == fabricated.root / "evaluation/sft/arithmetic/glow/seed-0"
    assert results.training(GLOW) == fabricated.root / "sft/arithmetic/glow/seed-0"
    grpo = Run("grpo", "arithmetic", "base", 0)
    manifests = [results.manifest(folder(grpo)) for folder in (results.evaluation, results.training)]
    assert manifests == [
        "evaluation/grpo/arithmetic/base/seed-0/manifest.json", "grpo/arithmetic/base/seed-0/manifest.json",
    ]  # fmt: skip


def test_base_stands_for_every_domain(fabricated: World) -> None:
    assert fabricated.results.run("sft", "arithmetic", "base", 1) == BASE
    assert fabricated.results.run("grpo", "arithmetic", "base", 1) == Run("grpo", "arithmetic", "base", 1)


def test_every_model_is_counted(fabricated: World) -> None:
    # two seeds of: the base, five arms, and GRPO from the base and the five arms
    assert len(fabricated.results.models) == 2 * (1 + 5 + 6)
    assert fabricated.results.initialisations[0] == "base"


def test_grpo_of_some_models_and_seeds_is_all_that_is_counted(tmp_path: Path) -> None:
    grpo = {"steps": 20, "max_tokens": 64, "initialisations": ["glow", "base"], "seeds": [2]}
    results = World(tmp_path, document(seeds=[0, 1, 2], grpo=grpo)).results
    assert results.runs("grpo") == [Run("grpo", "arithmetic", name, 2) for name in ("base", "glow")]
    assert len(results.models) == 3 * (1 + 5) + 2
    logs = [path for path in results.inputs("figures") if path.parts[-5] == "grpo"]
    assert logs == [results.training(run) / "log.jsonl" for run in results.runs("grpo")]


def test_tables_of_other_models_of_grpo_are_outdated(world: World) -> None:
    write_tables(world.results.experiment, world.root)
    world.results.refuse_outdated("tables")
    for chosen in ({"initialisations": ["base", "glow"]}, {"seeds": [1]}):
        fewer = load(document(grpo=document()["grpo"] | chosen), "fewer")
        with pytest.raises(UserError, match="tables: made with another configuration"):
            Results(fewer, world.root).refuse_outdated("tables")
    names = ["glow_released", "base", "glow", "all", "negative", "positive"]
    every = load(document(grpo=document()["grpo"] | {"initialisations": names, "seeds": [1, 0]}), "every")
    Results(every, world.root).refuse_outdated("tables")


def test_files_read_are_there(fabricated: World) -> None:
    assert all(path.is_file() for path in fabricated.results.inputs("tables"))


def test_questions(fabricated: World) -> None:
    found = fabricated.results.questions(Run("sft", "arithmetic", "glow", 1))
    assert found["correct"].groupby(level="suite").mean().to_dict() == {
        "lists": approx(0.6), "arithmetic": approx(0.9), "choice": approx(0.8),
    }  # fmt: skip
    assert found.loc[("lists", "p-3")].to_dict() == {
        "samples": 1, "correct": 1, "truncated": 0, "unparsed": 0, "unjudged": 0, "lenient": 0, "tokens": 30,
        "entropy": approx(0.25 * 30), "entropy_tokens": 30, "pass@1": 1, "maj@1": 1, "bare": 0, "chain": 1,
        "entropy_without_end": approx(0.25 * 30), "tokens_without_end": 30,
        "chain_entropy": approx(0.25 * 30), "chain_tokens": 30, "chains": 1,
        **{f"chain_entropy_{tenth}": approx(0.25 * 3) for tenth in range(1, 11)},
    }  # fmt: skip
    assert len(found) == 30


def test_questions_come_back_from_the_file_of_all_runs(world: World) -> None:
    frame = world.results.collect()
    assert list(frame.columns[:6]) == ["kind", "domain", "name", "seed", "suite", "problem_id"]
    assert len(frame) == 24 * 30
    assert set(frame.loc[frame["kind"] == "base", "domain"]) == {""}
    world.results.tables.mkdir()
    frame.to_parquet(world.results.questions_file, index=False)
    again = Results(world.results.experiment, world.root)
    for run in world.results.models:
        pd.testing.assert_frame_equal(again.questions(run), world.results.questions(run))


def test_questions_without_tables_name_the_stage(world: World) -> None:
    with pytest.raises(UserError, match=r"questions\.parquet: no such file; run `glow tables`, or the whole"):
        Results(world.results.experiment, world.root).questions(GLOW)


def test_scores_that_are_not_of_the_samples_are_refused(world: World) -> None:
    path = world.results.evaluation(GLOW) / "scores.json"
    scores = json.loads(path.read_text())
    scores["suites"]["lists"]["accuracy"] = 0.4
    path.write_text(json.dumps(scores))
    with pytest.raises(
        UserError, match=r"seed-0/scores\.json: its accuracy on 'lists' differs from that of samples"
    ):
        world.results.collect()


def test_an_empty_archive_is_named(world: World) -> None:
    write_jsonl(world.results.evaluation(GLOW) / "samples.jsonl.gz", [])
    with pytest.raises(UserError, match=r"samples\.jsonl\.gz: no samples"):
        world.results.collect()


def test_frames(fabricated: World) -> None:
    results = fabricated.results
    history = results.history(GLOW)
    assert list(history["epoch"].unique()) == [1, 2, 3]
    assert (history["name"].iloc[0], history["seed"].iloc[0]) == ("glow", 0)
    assert results.log(GLOW)["step"].tolist() == list(range(1, 11))
    assert results.selection_size("arithmetic", 0, "all") == 6


def test_trajectories_keep_unknown_lengths_and_labels(fabricated: World) -> None:
    found = fabricated.results.trajectories("arithmetic")
    assert found["label"].tolist() == [True, True, True, False, False, True, True, None]
    assert found["characters"].tolist() == [20, 40, 120, 60, 60, 120, 10, 128]
    assert found["type"].tolist() == ["chain"] * 6 + ["unparsed", "truncated"]


def test_the_marks_of_thoughts_are_those_of_the_configuration(tmp_path: Path) -> None:
    class Thinks(World):
        def trajectories(self, domain: str) -> list[dict]:
            said = r"[hm] [/hm] \boxed{1}"
            return [row | {"response": said, "extracted": "1"} for row in super().trajectories(domain)]

        def response(self, run: Run, question: int) -> str:
            return r"[hm] [/hm] \boxed{1}"

    for prompt, kind in (({"thought": ["[hm]", "[/hm]"]}, "bare"), ({}, "chain")):
        results = Thinks(tmp_path / kind, document(prompt=prompt)).write().results
        assert results.trajectories("arithmetic")["type"].tolist()[:6] == [kind] * 6
        assert results.questions(GLOW)[kind].unique().tolist() == [1]


def test_trajectories_come_back_from_the_file_of_all_domains(world: World) -> None:
    frame = world.results.collect_trajectories()
    world.results.tables.mkdir()
    frame.to_parquet(world.results.trajectories_file, index=False)
    again = Results(world.results.experiment, world.root)
    found, expected = (results.trajectories("arithmetic") for results in (again, world.results))
    pd.testing.assert_frame_equal(found.astype(object).fillna("none"), expected.astype(object).fillna("none"))
    world.results.trajectories_file.unlink()
    with pytest.raises(
        UserError, match=r"trajectories\.parquet: no such file; run `glow tables`, or the whole"
    ):
        Results(world.results.experiment, world.root).trajectories("arithmetic")


def test_imported_trajectories_have_no_token_counts(tmp_path: Path) -> None:
    class Imported(World):
        def trajectories(self, domain: str) -> list[dict]:
            return [{"verdict": "wrong", "response_tokens": None, "response": "abc"}]

    found = Imported(tmp_path).write().results.trajectories("arithmetic")
    assert math.isnan(found["response_tokens"].iloc[0])
    assert found["label"].iloc[0] is None


@pytest.mark.parametrize(
    "missing",
    [
        "evaluation/sft/arithmetic/glow/seed-1/scores.json",
        "evaluation/base/seed-0/scores.json",
    ],
)
def test_a_missing_evaluation_is_named(world: World, missing: str) -> None:
    (world.root / missing).unlink()
    with pytest.raises(UserError, match=missing):
        world.results.collect()


def test_a_missing_suite_is_named(world: World) -> None:
    path = world.results.evaluation(GLOW) / "scores.json"
    scores = json.loads(path.read_text())
    del scores["suites"]["lists"]
    path.write_text(json.dumps(scores))
    with pytest.raises(UserError, match=r"seed-0/scores\.json: no suite 'lists'"):
        world.results.collect()


def test_damaged_scores_are_named(world: World) -> None:
    (world.results.evaluation(GLOW) / "scores.json").write_text("{")
    with pytest.raises(UserError, match=r"seed-0/scores\.json: not valid JSON"):
        world.results.collect()


def test_missing_training_files_are_named(world: World) -> None:
    for name in ("history.parquet", "log.jsonl", "manifest.json"):
        (world.results.training(GLOW) / name).unlink()
    results = world.results
    for read in (results.history, results.log, lambda run: results.manifest(results.training(run))):
        with pytest.raises(UserError, match=r"sft/arithmetic/glow/seed-0/.*no such file"):
            read(GLOW)


def test_an_empty_log_is_named(world: World) -> None:
    (world.results.training(GLOW) / "log.jsonl").write_text("")
    with pytest.raises(UserError, match=r"log\.jsonl: no logged step"):
        world.results.log(GLOW)


def test_a_missing_figure_is_named(world: World) -> None:
    with pytest.raises(UserError, match=r"figures/main\.svg: no such file; run `glow figures`"):
        world.results.figure("main")


def test_manifests(fabricated: World, tmp_path: Path) -> None:
    manifests = read_manifests(fabricated.root)
    # evaluations, SFT runs, GRPO runs; verdicts, contamination, arms; suites, models, problems, trajectories
    assert len(manifests) == 24 + 10 + 12 + (1 + 1 + 2) + (3 + 2 + 1 + 1)
    assert str(manifests["started"].dt.tz) == "UTC"
    none = read_manifests(tmp_path)
    assert none.empty
    assert "started" in none.columns


def test_an_experiment_without_grpo_has_no_initialisations(fabricated: World) -> None:
    experiment = fabricated.results.experiment.model_copy(update={"grpo": None})
    results = Results(experiment, fabricated.root)
    assert results.initialisations == []
    assert {run.kind for run in results.models} == {"base", "sft"}


def test_results_in_another_layout_are_not_read(world: World) -> None:
    (world.root / "layout").write_text("1\n")
    with pytest.raises(UserError, match="another version of glow, in layout '1'"):
        Results(world.results.experiment, world.root)
    with pytest.raises(UserError, match="another version of glow, in layout '1'"):
        print_timings(world.root)
