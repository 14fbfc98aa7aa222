"""lm-eval's own library and command line on our task files: they load, and its verdicts are our stage's."""

import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset
from harness import manager, quiz
from lm_eval import evaluator
from lm_eval.api.instance import Instance
from lm_eval.api.task import ConfigurableTask
from lm_eval.evaluator import simple_evaluate

from glow import cli
from glow.config import Evaluation, EvaluationSettings, Prompt, Suite
from glow.errors import UserError
from glow.evaluation import lm_eval_model
from glow.evaluation.evaluate import evaluate
from glow.evaluation.lm_eval_model import GlowModel
from glow.files.jsonl import read_jsonl, write_jsonl
from glow.models.prompts import PAPER
from glow.models.sampling import Completion
from glow.suites.files import write_suite
from glow.suites.task_hooks import SampledText, count_verdicts, judge_boxed, judge_choice, rows
from glow.suites.task_problems import task_problems
from glow.suites.tasks import FOLDER, read_task, task_names
from glow.verifier import verify
from glow.verifier.equality import Decision

# --- the task files ------------------------------------------------------------------------------


def test_lm_eval_finds_every_task_file() -> None:
    found = manager().all_tasks
    assert {f"glow_{name}" for name in task_names()} <= set(found)


def test_a_group_is_the_plain_mean_of_its_suites(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scores = {"math500": [1, 1, 1, 0], "aime24": [0]}

    def few(suite: str, **_: Any) -> dict[str, Dataset]:
        found = [
            {
                "asked": str(score),
                "answer": "x",
                "row": json.dumps({"question": "Q", "answer": str(score)}),
            }
            for score in scores.get(suite, [1])
        ]
        return {"test": Dataset.from_list(found)}

    monkeypatch.setattr("glow.suites.task_hooks.rows", few)
    monkeypatch.setattr(GlowModel, "generate_until", lambda self, requests: ["\\boxed{1}"] * len(requests))
    found = simple_evaluate(
        "glow", model_args={"path": str(tiny_model)}, tasks=["glow_maths"], task_manager=manager(),
        bootstrap_iters=0,
    )  # fmt: skip
    assert len(found["n-samples"]) == 5
    assert found["results"]["glow_maths"]["accuracy,none"] == pytest.approx((0.75 + 0 + 1 + 1 + 1) / 5)


@pytest.mark.parametrize("group", ["maths", "general", "other"])
def test_lm_eval_knows_the_groups_and_all_their_tasks(group: str) -> None:
    index = manager().task_index
    members = index[f"glow_{group}"].cfg["task"]
    assert members
    assert set(members) <= set(index)


@pytest.mark.parametrize(
    ("name", "count"),
    [("math500", 500), ("bbh_dyck", 250), ("headqa", 2742), ("acpbench", 1800), ("mmlu_pro", 12032)],
)
def test_real_rows_reach_lm_eval(shared_data: Path, name: str, count: int) -> None:
    task = manager(data_dir=str(shared_data)).load(f"glow_{name}")["tasks"][f"glow_{name}"]
    assert len(task.test_docs()) == count
    ours, _ = task_problems(name, Suite(data_dir=shared_data))
    assert [document["problem_id"] for document in task.test_docs()] == [row["problem_id"] for row in ours]


def test_a_task_loads_with_the_papers_prompt_and_decoding(tmp_path: Path) -> None:
    task = manager(data_dir=str(quiz(tmp_path))).load("glow_mmlu")["tasks"]["glow_mmlu"]
    documents = list(task.test_docs())
    assert task.doc_to_text(documents[0]) == (
        " Q1? \nA. a\nB. b\nC. c\nD. d\n"
        "Please reason step by step, and put your final answer within \\boxed{}."
    )
    assert [task.doc_to_target(document) for document in documents] == ["B", "D", "A"]
    decoding = task.config.generation_kwargs
    assert (decoding["temperature"], decoding["top_p"], decoding["max_gen_toks"]) == (0.6, 0.95, 32768)
    assert task.config.metadata["version"] == read_task("mmlu").version


def test_a_verdict_through_lm_eval_is_the_verifiers() -> None:
    problem = {"problem_id": "p", "question": "Q", "answer": "\\frac{1}{2}", "format": "boxed"}
    document = {"row": json.dumps(problem)}
    cut = SampledText("\\boxed{0.5}", Completion("\\boxed{0.5}", [3], 5, "length"))
    found = judge_boxed(document, [["So \\boxed{0.5}.", "So \\boxed{0.4}.", "A half.", cut]])
    judgements = found.pop("judgements")
    assert found == {"accuracy": 0.25, "truncated": 0.25, "unparsed": 0.25}
    assert [judgement["verdict"] for judgement in judgements] == ["correct", "wrong", "unparsed", "truncated"]
    assert [judgement["extracted"] for judgement in judgements] == ["0.5", "0.4", None, "0.5"]
    assert count_verdicts([judgements, judgements[:1]]) == {
        "correct": 2, "wrong": 1, "unparsed": 1, "truncated": 1,
    }  # fmt: skip


def test_what_a_verdict_overlooks_is_noted_where_there_is_anything(monkeypatch: pytest.MonkeyPatch) -> None:
    decisions = iter([Decision(True, "the same", "percent sign"), Decision(True, "the same")])
    monkeypatch.setattr(verify, "decide", lambda *_: next(decisions))
    document = {"row": json.dumps({"question": "Q", "answer": "42", "format": "boxed"})}
    judgements = judge_boxed(document, [["\\boxed{42\\%}", "\\boxed{42}"]])["judgements"]
    assert [judgement.get("leniency", "none") for judgement in judgements] == ["percent sign", "none"]
    assert "leniency" not in judgements[1]


def test_the_likeliest_choice_is_judged() -> None:
    found = judge_choice({"answer": "B"}, [(-2.0, False), (-1.5, False), (-1.5, True)])
    assert found["accuracy"] == 1
    assert found["judgements"][0]["extracted"] == "B"
    assert judge_choice({"answer": "B"}, [(-1.5, False), (-1.5, False)])["accuracy"] == 0


# --- the model `glow` ----------------------------------------------------------------------------


def questions(folder: Path) -> Path:
    rows_ = [{"question": f"What is {n} + 1?", "answer": str(n + 1)} for n in range(4)]
    write_jsonl(folder / "questions.jsonl", rows_)
    return folder / "questions.jsonl"


class Scripted:
    """An engine that answers two questions right, one wrong, and one not at all."""

    device = "cpu"
    asked: list[Any] = []  # noqa: RUF012 (what all of its kind were asked)

    def generate(self, requests: list[Any], on_done: Any = None) -> list[Completion]:
        Scripted.asked += requests
        answers = {"0": "\\boxed{1}", "1": "\\boxed{2.0}", "2": "\\boxed{7}", "3": "no box"}
        said = [answers[request.messages[-1]["content"].split()[2]] for request in requests]
        return [Completion(text, [3, 4], 5, "stop") for text in said]

    def close(self) -> None:
        pass


def test_verdicts_are_those_of_the_stage(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("glow.evaluation.model_under_test.load_engine", lambda *_, **__: Scripted())
    Scripted.asked = []
    file = questions(tmp_path)
    write_suite("questions", Suite(file=file), tmp_path / "suites" / "questions.jsonl")
    evaluate(
        tiny_model, [tmp_path / "suites" / "questions.jsonl"], tmp_path / "out",
        EvaluationSettings(prompt=PAPER, evaluation=Evaluation(max_tokens=8, entropy_samples=0), seed=0),
    )  # fmt: skip
    stage = [row["verdict"] for row in read_jsonl(tmp_path / "out" / "samples.jsonl.gz")]
    found = simple_evaluate(
        "glow",
        model_args=f"path={tiny_model}",
        tasks=["glow_questions"],
        task_manager=manager(file=str(file)),
        bootstrap_iters=0,
    )
    samples = found["samples"]["glow_questions"]
    assert stage == ["correct", "correct", "wrong", "unparsed"]
    assert [sample["accuracy"] for sample in samples] == [1, 1, 0, 0]
    assert [sample["unparsed"] for sample in samples] == [0, 0, 0, 1]
    asked = Scripted.asked
    assert [request.messages for request in asked[:4]] == [request.messages for request in asked[4:]]
    assert [request.key for request in asked[:4]] == [request.key for request in asked[4:]]


def test_a_tiny_model_samples_the_same_through_both(tiny_model: Path, tmp_path: Path) -> None:
    file = questions(tmp_path)
    write_suite("questions", Suite(file=file), tmp_path / "questions-suite.jsonl")
    settings = Evaluation(max_tokens=6, temperature=0.6, top_p=0.95, entropy_samples=0)
    whole = EvaluationSettings(prompt=PAPER, evaluation=settings, seed=0)
    evaluate(tiny_model, [tmp_path / "questions-suite.jsonl"], tmp_path / "out", whole)
    stage = [row["response"] for row in read_jsonl(tmp_path / "out" / "samples.jsonl.gz")]
    found = simple_evaluate(
        "glow", model_args={"path": str(tiny_model)}, tasks=["glow_questions"], bootstrap_iters=0,
        task_manager=manager(file=str(file)), gen_kwargs="max_gen_toks=6",
    )  # fmt: skip
    assert [sample["resps"][0][0] for sample in found["samples"]["glow_questions"]] == stage


def test_every_repeat_is_sampled_and_judged(tiny_model: Path, tmp_path: Path) -> None:
    """lm-eval hands the same request over once a repeat."""
    write_suite("questions", Suite(file=questions(tmp_path)), tmp_path / "suite.jsonl")
    task_manager = manager(suite_file=str(tmp_path / "suite.jsonl"))
    task = task_manager.load("glow_suite_boxed")["tasks"]["glow_suite_boxed"]
    task.set_config("repeats", 3)
    task.set_config("generation_kwargs", {"max_gen_toks": 6}, update=True)
    found = evaluator.evaluate(GlowModel(str(tiny_model)), {"tasks": {"it": task}}, bootstrap_iters=0)
    for sample in found["samples"]["it"]:
        assert len(sample["judgements"]) == 3
        assert len(set(sample["resps"][0])) == 3
    assert sum(found["results"]["it"]["judgements,none"].values()) == 12


def test_the_command_line(tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["pytest"])
    lm_eval_model.run_lm_eval(
        ["run", "--model", "glow", "--model_args", f"path={tiny_model}", "--tasks", "glow_questions",
         "--gen_kwargs", "max_gen_toks=4", "--metadata", json.dumps({"file": str(questions(tmp_path))}),
         "--output_path", str(tmp_path / "out")]
    )  # fmt: skip
    (results,) = (tmp_path / "out").rglob("results_*.json")
    assert "accuracy,none" in json.loads(results.read_text())["results"]["glow_questions"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--tasks", "glow_nope"], r"Tasks not found: glow_nope; ours, each after glow_: acpbench, aime24"),
        ([], "No tasks specified"),
        (["--tasks", "glow_math500", "--metadata", '{"problems": -1}'], "--metadata problems: Input should"),
        (["--tasks", "glow_gym", "--model_args", "path={},pth=x"], "model glow takes no 'pth'; path=DIR"),
        (["--tasks", "glow_gym", "--model_args", "engine=vllm"], "model glow takes a path; path=DIR"),
        (["--tasks", "glow_gym", "--model_args", "path={},seed=x"], "takes a whole number as seed; path=DIR"),
        (["--tasks", "glow_gym", "--model_args", "path={},engine=foo"], "--model_args engine: Input should"),
        (
            ["--tasks", "glow_gym", "--model_args", '{"path": "{}", "chat_template_kwargs": {"tools": 1}}'],
            "--model_args chat_template_kwargs: 'tools' cannot be set",
        ),
        (
            ["--tasks", "glow_gym", "--model_args", "path={},trust_remote_code=no"],
            "--model_args: trust_remote_code is 'no'; it must be true or false",
        ),
    ],
)  # fmt: skip
def test_mistakes_on_the_command_line(
    words: list[str],
    message: str,
    tiny_model: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "argv", ["pytest"])
    model = [] if "--model_args" in words else ["--model_args", "path={}"]
    given = [word.replace("{}", str(tiny_model)) for word in words + model]
    assert cli.main(["lm-eval", "run", "--model", "glow", *given]) == 2
    shown = [line for line in capsys.readouterr().err.splitlines() if line.startswith("glow lm-eval: ")]
    assert len(shown) == 1
    assert re.search(message, shown[0])


@pytest.mark.parametrize("word", ["no", "off", "false", "", 1, None])
def test_trust_is_true_or_false(tiny_model: Path, word: object) -> None:
    with pytest.raises(UserError, match=r"trust_remote_code is .*; it must be true or false"):
        GlowModel(str(tiny_model), trust_remote_code=word)
    GlowModel(str(tiny_model), trust_remote_code=False)


def test_the_template_is_chosen_on_the_command_line(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[Any] = []

    def start(*words: Any, trust_remote_code: bool) -> Scripted:
        given.append((words[2], trust_remote_code))
        return Scripted()

    monkeypatch.setattr(sys, "argv", ["pytest"])
    monkeypatch.setattr("glow.evaluation.model_under_test.load_engine", start)
    variables = {"enable_thinking": False}
    of_json = {"path": str(tiny_model), "chat_template": "qwen3", "chat_template_kwargs": variables}
    words = [f"path={tiny_model},chat_template=chatml,system=,trust_remote_code=True", json.dumps(of_json)]
    for arguments in words:
        lm_eval_model.run_lm_eval(
            ["run", "--model", "glow", "--model_args", arguments, "--tasks", "glow_questions",
             "--metadata", json.dumps({"file": str(questions(tmp_path))})]
        )  # fmt: skip
    assert given == [
        (Prompt(chat_template="chatml"), True),
        (Prompt(system=PAPER.system, chat_template="qwen3", chat_template_kwargs=variables), False),
    ]


def test_the_command_run_may_be_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[list[str]] = []

    def note(arguments: list[str]) -> None:
        found.append(arguments)

    monkeypatch.setattr("glow.evaluation.lm_eval_model.run_lm_eval", note)
    for words in (["run", "--model", "glow"], ["--model", "glow"], ["ls", "tasks"], []):
        assert cli.main(["lm-eval", *words]) == 0
    assert found == [["run", "--model", "glow"], ["run", "--model", "glow"], ["ls", "tasks"], []]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"data_dir": "/nope"}, "--metadata data_dir: '/nope': no such folder"),
        ({"shots": 2}, "'math500' takes no worked examples"),
    ],
)
def test_metadata_that_is_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        rows("math500", **settings)


def test_another_folder_of_tasks_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lm_eval._cli.HarnessCLI.execute", lambda self, args: found.append(args.include_path))
    monkeypatch.setattr(sys, "argv", ["pytest"])
    found: list[str] = []
    for words in ([f"--include_path={tmp_path}"], ["--include_path", str(tmp_path)], ["--tasks", "mmlu"]):
        lm_eval_model.run_lm_eval(["run", *words])
    assert found == [str(tmp_path), str(tmp_path), str(FOLDER)]


@pytest.mark.extra("gym")
def test_a_value_error_that_is_no_arguments_fault_keeps_its_traceback(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(self: object, requests: object) -> None:
        raise ValueError("of ours")

    monkeypatch.setattr(GlowModel, "generate_until", broken)
    monkeypatch.setattr(sys, "argv", ["pytest"])
    with pytest.raises(ValueError, match="of ours"):
        lm_eval_model.run_lm_eval(
            ["run", "--model", "glow", "--model_args", f"path={tiny_model}", "--tasks", "glow_gym",
             "--metadata", '{"problems": 1}']
        )  # fmt: skip


def test_what_the_model_refuses(tiny_model: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no model here"):
        GlowModel(str(tmp_path))
    with pytest.raises(UserError, match="--gen_kwargs temperature: Input should be"):
        GlowModel(str(tiny_model))._decoding({"do_sample": True, "temperature": -1})
    with pytest.raises(UserError, match="leave --apply_chat_template out"):
        GlowModel(str(tiny_model)).apply_chat_template([])


def ask(model: GlowModel, *stops: str) -> list[str]:
    """Three samples: the first question twice, as lm-eval repeats it, and another task's."""
    documents = [{"problem_id": "p"}, {"problem_id": "p"}, {}]
    return model.generate_until(
        [
            Instance(
                "generate_until", document, (f"What is {place // 2} + 1?", {"until": list(stops)}), place,
                metadata=("ours" if document else "theirs", place // 2, 1),
            )
            for place, document in enumerate(documents)
        ]
    )  # fmt: skip


@pytest.fixture
def scripted(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> GlowModel:
    monkeypatch.setattr("glow.evaluation.model_under_test.load_engine", lambda *_, **__: Scripted())
    Scripted.asked = []
    return GlowModel(str(tiny_model), seed=3)


def test_each_repeat_has_a_seed_of_its_own(scripted: GlowModel) -> None:
    ask(scripted)
    assert [request.key for request in Scripted.asked] == [(3, "p", 0), (3, "p", 1), (3, "theirs/1", 0)]


def test_responses_end_at_a_stop_string(scripted: GlowModel) -> None:
    assert ask(scripted, "}") == ["\\boxed{1", "\\boxed{1", "\\boxed{2.0"]
    assert ask(scripted) == ["\\boxed{1}", "\\boxed{1}", "\\boxed{2.0}"]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"until": "Q:"}, {"stop": ["Q:"], "temperature": 0.0, "max_tokens": 256}),
        ({"until": ["Q:", "", "\n\n"], "max_gen_toks": 9}, {"stop": ["Q:", "\n\n"], "max_tokens": 9}),
        ({"until": None, "stop": "}", "max_new_tokens": 7}, {"stop": ["}"], "max_tokens": 7}),
        ({"temperature": 0.7}, {"temperature": 0.7}),
        ({"temperature": 0.7, "do_sample": False}, {"temperature": 0.0}),
        ({"do_sample": True}, {"temperature": 1.0}),
        ({"temperature": None}, {"temperature": 0.0}),
    ],
    ids=str,
)
def test_a_tasks_settings_are_read_as_lm_eval_means_them(
    given: dict[str, Any], expected: dict[str, Any], scripted: GlowModel
) -> None:
    found = scripted._decoding(given).model_dump()
    assert {name: found[name] for name in expected} == expected


def test_settings_that_are_not_read_are_named_once(
    scripted: GlowModel, capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in range(2):
        scripted._decoding({"until": [], "num_beams": 4, "do_sample": False})
    assert capsys.readouterr().err.count("generation_kwargs are not read: num_beams\n") == 1


def theirs(**settings: Any) -> ConfigurableTask:
    """A task as lm-eval's own are, on two questions: no filter, no verdict of ours."""
    questions = Dataset.from_list([{"question": f"What is {n} + 1?", "answer": n + 1} for n in range(2)])
    whole = {
        "task": "theirs",
        "custom_dataset": lambda **_: {"test": questions},
        "test_split": "test",
        "doc_to_text": "{{question}}",
        "doc_to_target": "{{answer}}",
        **settings,
    }
    return ConfigurableTask(config=whole)


@pytest.mark.parametrize("until", ["}", ["}", "\n\n"], []], ids=str)
def test_a_task_of_others_without_a_filter(until: Any, scripted: GlowModel) -> None:
    task = theirs(
        output_type="generate_until",
        metric_list=[{"metric": "exact_match", "aggregation": "mean", "higher_is_better": True}],
        generation_kwargs={"until": until, "max_gen_toks": 6},
    )
    found = evaluator.evaluate(scripted, {"tasks": {"theirs": task}}, bootstrap_iters=0)
    said = [sample["resps"][0][0] for sample in found["samples"]["theirs"]]
    assert said == (["\\boxed{1", "\\boxed{2.0"] if until else ["\\boxed{1}", "\\boxed{2.0}"])
    assert found["results"]["theirs"]["exact_match,none"] == 0


def test_choices_of_a_task_of_others_are_scored_and_that_is_said(
    tiny_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    task = theirs(output_type="multiple_choice", doc_to_choice=["1", "2"], doc_to_target=0)
    found = evaluator.evaluate(GlowModel(str(tiny_model)), {"tasks": {"theirs": task}}, bootstrap_iters=0)
    assert len(found["samples"]["theirs"]) == 2
    assert capsys.readouterr().err.count("scored as the model's whole turn in its chat template") == 1


def test_texts_end_at_a_stop_string() -> None:
    assert lm_eval_model.postprocess_generated_text("one\n\ntwo Q: three", ["Q:", "\n\n"], None) == "one"
    assert lm_eval_model.postprocess_generated_text("one", [], None) == "one"
