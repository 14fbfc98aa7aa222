"""workflow/study.py: the names of files and the size of jobs, without Snakemake."""

import re
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from snakemake.resources import Resource

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "workflow"))

from flow import TINY, TWO_STUDENTS
from jobs import depends_on, on_hardware, one_of, options, read_from, trust
from study import Study

from glow.config import EngineHardware, Prompt, Sft, Suite
from glow.errors import UserError
from glow.experiment import load, read


def study() -> Study:
    return Study(read(TINY))


def test_the_files_of_the_tiny_study() -> None:
    assert study().models.keys() == {"models/base", "models/teacher"}
    assert study().made_models() == ["results/tiny/models/base", "results/tiny/models/teacher"]
    assert study().suite_files() == [
        "results/tiny/suites/boolean.jsonl",
        "results/tiny/suites/brackets.jsonl",
    ]
    assert study().training_data("logic") == [
        "results/tiny/trajectories/logic.jsonl.gz",
        "results/tiny/problems/logic/train.jsonl",
        "results/tiny/problems/logic/grpo.jsonl",
    ]
    assert study().shards("logic") == [
        "results/tiny/trajectories/logic/shard-0-of-2.jsonl.gz",
        "results/tiny/trajectories/logic/shard-1-of-2.jsonl.gz",
    ]
    assert study().suites_kept_apart("logic") == study().suite_files()
    assert study().where_held_out("epochs.jsonl") == ["epochs.jsonl"]
    assert study().teacher_asks.gpu == 0
    assert list(study().students) == [""]
    own = study().students[""]
    assert own.selection("logic", "glow", "0") == "results/tiny/arms/logic/seed-0/all.jsonl"
    assert own.held_out("logic", "0") == ["results/tiny/arms/logic/seed-0/held_out.jsonl"]
    assert own.initialisation("logic", "base", "0") == own.base == "results/tiny/models/base"
    assert own.initialisation("logic", "all", "0") == "results/tiny/sft/logic/all/seed-0/model"
    assert len(own.trained_models()) == 1 + 6 + 7
    assert own.asks("sft").gpu == 0
    assert (own.rule("tables"), own.option) == ("tables", "")


def test_what_is_a_students_own_and_what_all_share() -> None:
    both = Study(read(TWO_STUDENTS))
    assert list(both.students) == ["students/small/", "students/large/"]
    assert both.made_models() == [
        "results/two_students/students/small/models/base",
        "results/two_students/students/large/models/base",
        "results/two_students/models/teacher",
    ]
    small, large = both.students.values()
    assert large.selection("lists", "glow", "0") == small.selection("lists", "glow", "0")
    assert large.selection("lists", "glow", "0") == "results/two_students/arms/lists/seed-0/all.jsonl"
    assert (
        large.initialisation("lists", "glow", "0")
        == "results/two_students/students/large/sft/lists/glow/seed-0/model"
    )
    assert small.trained_models()[-2:] == ["grpo/logic/glow", "grpo/lists/glow"]
    assert large.trained_models()[-2:] == ["sft/lists/positive", "sft/lists/glow"]
    assert (small.seeds("base"), large.seeds("base")) == ([0], [0])
    assert (large.rule("tables"), large.option) == ("tables_large", "--student large")
    job = SimpleNamespace(of="students/large/", model="sft/logic/glow", seed="0")
    assert both.of(job) is large
    assert both.evaluated(job) == "results/two_students/students/large/sft/logic/glow/seed-0/model"


def test_resources_by_student_are_looked_at_one_by_one() -> None:
    both = Study(read(TWO_STUDENTS))
    by_name = Resource.from_cli_expression("gpu", "3 if 'large' in wildcards.of else 4")
    with pytest.raises(UserError, match=r"^rule sft: students/large: sft\.batch_size: 8"):
        both.refuse_resources({"sft": {"gpu": by_name}})
    of_the_job = Resource.from_cli_expression("gpu", "3 if wildcards.arm == 'glow' else 1")
    both.refuse_resources({"sft": {"gpu": of_the_job}})
    both.refuse_resources({"sft": {"gpu": Resource("gpu", 4)}})


@pytest.mark.parametrize(
    ("resources", "hardware"),
    [
        ({"gpu": 0, "mem_mb": 3000}, EngineHardware()),
        ({"gpu": 1}, EngineHardware()),
        ({"gpu": 4}, EngineHardware(tensor_parallel=4)),
        ({"gpu": 4, "tensor_parallel": 2}, EngineHardware(tensor_parallel=2)),
        ({"gpu": 1, "gpu_memory_percent": 80, "max_model_len": "9000", "enforce_eager": True},
         EngineHardware(gpu_memory_percent=80, max_model_len=9000, enforce_eager=True)),
    ],
)  # fmt: skip
def test_resources_say_what_an_engine_runs_on(resources: dict[str, Any], hardware: EngineHardware) -> None:
    settings = study().experiment.generation
    found = on_hardware(settings, resources)
    assert found.hardware == hardware
    assert found.sampling == settings.sampling
    assert depends_on(found) == depends_on(settings)


def test_a_resource_out_of_bounds_is_named() -> None:
    with pytest.raises(
        UserError, match="resource gpu_memory_percent: Input should be less than or equal to 100"
    ):
        on_hardware(study().experiment.answering_run(0), {"gpu": 1, "gpu_memory_percent": 850})


def test_grpo_has_models_of_its_own_seeds() -> None:
    document = yaml.safe_load(TINY.read_text()) | {"seeds": [0, 1]}
    document["grpo"] |= {"initialisations": ["glow", "base"], "seeds": [1]}
    some = Study(load(document, "some.yaml")).students[""]
    assert some.trained_models()[-2:] == ["grpo/logic/base", "grpo/logic/glow"]
    assert len(some.trained_models()) == 1 + 6 + 2
    seeds = {model: some.seeds(model) for model in ("base", "sft/logic/glow", "grpo/logic/glow")}
    assert seeds == {"base": [0, 1], "sft/logic/glow": [0, 1], "grpo/logic/glow": [1]}


def test_what_adapters_are_on_is_an_input_of_what_reads_them() -> None:
    document = yaml.safe_load(TINY.read_text())
    base = "results/tiny/models/base"
    trained = [f"results/tiny/{name}/seed-0/model" for name in ("sft/logic/glow", "grpo/logic/glow")]
    from_base = "results/tiny/grpo/logic/base/seed-0/model"

    def below(sft: dict[str, object] | None, grpo: dict[str, object] | None) -> list[list[str]]:
        sections = {name: document[name] | {"lora": lora} for name, lora in (("sft", sft), ("grpo", grpo))}
        found = Study(load(document | sections, "lora.yaml")).students[""]
        return [found.below(model) for model in (base, *trained, from_base)]

    assert below(None, None) == [[], [], [], []]
    assert below({}, {}) == [[], [base], [base], [base]]
    assert below({}, None) == [[], [base], [], []]
    assert below(None, {}) == [[], [], [trained[0]], [base]]
    assert below({"merge": True}, {"merge": True}) == [[], [], [], []]
    assert below({"merge": True}, {}) == [[], [], [trained[0]], [base]]


def test_a_hub_model_is_large_and_made_here(tmp_path: Path) -> None:
    document = yaml.safe_load(TINY.read_text())
    document["student"] = {"hub": "Qwen/Qwen2.5-7B", "revision": "0" * 40}
    hub = Study(load(document, "hub.yaml"))
    assert hub.students[""].asks("sft").threads == 8
    assert hub.teacher_asks.threads == 1
    assert (hub.students[""].trust, trust(hub.models["models/teacher"])) == ("", "")
    document["student"]["trust_remote_code"] = True
    assert Study(load(document, "hub.yaml")).students[""].trust == "--trust-remote-code"
    assert hub.models_from("hub") == ["models/base"]
    assert (hub.models_from("pretrain"), hub.models_from("scratch")) == (["models/teacher"], ["none"])


def test_what_comes_from_the_hub(tmp_path: Path) -> None:
    document = yaml.safe_load(TINY.read_text())
    none = Study(load(document, "none.yaml"))
    assert (none.fetched(), none.fetches_suites, none.fetches_problems) == ([], False, False)
    document["student"] = {"hub": "Qwen/Qwen2.5-7B", "revision": "0" * 40}
    source = {"hub_dataset": "org/name", "revision": "0" * 40, "train": 40, "grpo": 16}
    document["domains"]["logic"]["problems"] = source
    (tmp_path / "rows.jsonl").write_text("")
    document["suites"] |= {"gsm8k": {}, "math500": {"file": str(tmp_path / "rows.jsonl")}, "gym": {}}
    hub = Study(load(document, "hub.yaml"))
    assert (hub.fetches_suites, hub.fetches_problems) == (True, True)
    assert hub.fetched() == [
        "results/tiny/models/base",
        "results/tiny/suites/gsm8k.jsonl",
        "results/tiny/problems/logic/train.jsonl",
    ]
    own = {key: document[key] for key in document.keys() - {"domains", "teacher", "sampling", "grpo"}}
    own["trajectories"] = {"hub_dataset": "org/name", "revision": "0" * 40, "domain": "logic"}
    brought = Study(load(own, "own.yaml"))
    assert brought.fetches_trajectories
    assert brought.fetched()[-1] == "results/tiny/trajectories/logic.jsonl.gz"
    source["data_dir"] = str(tmp_path)
    copy = Study(load(document, "copy.yaml"))
    assert not copy.fetches_problems
    assert read_from(copy.experiment.domains["logic"].problems)[1:] == [tmp_path]


def test_options_and_constraints() -> None:
    marks = "--thought '<think>' '</think>'"
    assert options(Prompt(), "--own", "", Prompt(system="a b")) == (
        f"--instruction= {marks} --own '--system=a b' --instruction= {marks}"
    )
    assert re.fullmatch(one_of(["a.b", "c"]), "a.b")
    assert not re.fullmatch(one_of(["a.b", "c"]), "axb")
    assert read_from(Suite(families=["boolean"])) == [Suite(families=["boolean"])]


def test_what_a_result_depends_on(tmp_path: Path) -> None:
    file = tmp_path / "{rows}.jsonl"
    file.write_text("1\n")
    suite = Suite(task="gsm8k", file=file)
    assert read_from(suite) == [suite, file]
    before = depends_on(*read_from(suite), "name")
    assert depends_on(*read_from(suite), "name") == before
    file.write_text("12\n")
    assert depends_on(*read_from(suite), "name") != before
    assert depends_on(Sft(checkpoints=1)) == depends_on(Sft(checkpoints=2))
    assert depends_on(Sft(epochs=1)) != depends_on(Sft(epochs=2))


def test_a_folder_counts_by_what_is_in_it(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    before = depends_on(tmp_path)
    (tmp_path / "model.safetensors").write_text("weights")
    assert depends_on(tmp_path) != before
