"""Choices by log-likelihood: contexts, scores and letters are those of lm-eval itself."""

from pathlib import Path

import lm_eval.tasks
import pytest
import yaml
from datasets import Dataset
from harness import manager, quiz
from lm_eval.api.instance import Instance
from lm_eval.api.task import ConfigurableTask
from lm_eval.evaluator import simple_evaluate
from lm_eval.models.huggingface import HFLM

from glow.config import Evaluation, EvaluationSettings, Prompt, Suite
from glow.evaluation.evaluate import evaluate
from glow.evaluation.lm_eval_model import GlowModel
from glow.evaluation.model_under_test import ModelUnderTest
from glow.files.jsonl import Record, read_jsonl, write_jsonl
from glow.models.prompts import PAPER
from glow.suites.files import write_suite
from glow.suites.task_problems import task_problems

MMLU = Path(lm_eval.tasks.__file__).parent / "mmlu" / "default"


def lm_eval_mmlu(subject: str, test: list[Record], dev: list[Record]) -> ConfigurableTask:
    """lm-eval's own task of a subject, from its template files, on the given rows."""
    template = yaml.safe_load((MMLU / "_default_template_yaml").read_text())
    own = yaml.safe_load((MMLU / f"mmlu_{subject}.yaml").read_text())
    del own["include"], template["dataset_path"]
    own.pop("dataset_name")
    splits = {"test": Dataset.from_list(test), "dev": Dataset.from_list(dev)}
    return ConfigurableTask(config={**template, **own, "custom_dataset": lambda **_: splits})


def hub_form(row: Record) -> Record:
    """A local row in the form of the hub's: the answer as an index."""
    return {key: row[key] for key in ("question", "subject", "choices")} | {
        "answer": "ABCD".index(row["answer"])
    }


@pytest.mark.parametrize("shots", [0, 5])
@pytest.mark.parametrize("subject", ["anatomy", "moral_scenarios", "high_school_us_history"])
def test_contexts_equal_those_of_lm_evals_own_mmlu(shared_data: Path, subject: str, shots: int) -> None:
    ours, _ = task_problems("mmlu_loglikelihood", Suite(data_dir=shared_data, shots=shots))
    ours = [row for row in ours if row["family"] == subject]
    test, dev = (
        [
            hub_form(row)
            for row in read_jsonl(shared_data / "mmlu" / f"{split}.jsonl.gz")
            if row["subject"] == subject
        ]
        for split in ("test", "dev")
    )
    theirs = lm_eval_mmlu(subject, test, dev)
    documents = list(theirs.test_docs())
    assert len(documents) == len(ours) > 90
    for document, row in zip(documents, ours, strict=True):
        assert theirs.fewshot_context(document, num_fewshot=shots) == row["prompt"]
        assert theirs.doc_to_choice(document) == ["A", "B", "C", "D"]
        assert "ABCD"[theirs.doc_to_target(document)] == row["answer"]


def test_raw_log_likelihoods_equal_lm_evals_own_model(tiny_model: Path) -> None:
    pairs = [("The answer is", " A"), ("The answer is ", "B"), ("1 + 1 = 2\nAnswer:", " C")]
    requests = [Instance("loglikelihood", {}, pair, 0) for pair in pairs]
    theirs = HFLM(pretrained=str(tiny_model), device="cpu", dtype="float32", batch_size=1).loglikelihood(
        requests
    )
    ours = ModelUnderTest(tiny_model, PAPER).score_raw(pairs)
    for (likelihood, greedy), score in zip(theirs, ours, strict=True):
        assert score.log_likelihood == pytest.approx(likelihood, abs=1e-4)
        assert score.greedy == greedy


def test_the_stage_and_lm_eval_agree_on_the_likeliest_letters(tiny_model: Path, tmp_path: Path) -> None:
    folder = quiz(tmp_path / "data")
    write_suite("mmlu_loglikelihood", Suite(data_dir=folder, shots=1), tmp_path / "mmlu_loglikelihood.jsonl")
    evaluate(
        tiny_model, [tmp_path / "mmlu_loglikelihood.jsonl"], tmp_path / "out",
        EvaluationSettings(evaluation=Evaluation(max_tokens=4), seed=0),
    )  # fmt: skip
    stage = list(read_jsonl(tmp_path / "out" / "samples.jsonl.gz"))
    theirs = simple_evaluate(
        HFLM(pretrained=str(tiny_model), device="cpu", dtype="float32", batch_size=1),
        tasks=["glow_mmlu_loglikelihood"],
        task_manager=manager(data_dir=str(folder), shots=1),
        bootstrap_iters=0,
    )
    samples = theirs["samples"]["glow_mmlu_loglikelihood"]
    for row, sample in zip(stage, samples, strict=True):
        assert row["loglikelihoods"] == pytest.approx(
            [float(r[0]) for r in sample["filtered_resps"]], abs=1e-4
        )
        assert row["correct"] == bool(sample["accuracy"])
    accuracy = sum(row["correct"] for row in stage) / 3
    assert theirs["results"]["glow_mmlu_loglikelihood"]["accuracy,none"] == pytest.approx(accuracy)


def test_the_stage_and_lm_eval_score_choices_alike(tiny_model: Path, tmp_path: Path) -> None:
    """A chat turn with its end, by the same task file: not lm-eval's raw text."""
    file = tmp_path / "pick.jsonl"
    write_jsonl(
        file,
        [
            {"problem_id": f"c-{n}", "question": f"Which is {n}?", "answer": "B", "format": "choice",
             "choices": ["pens", str(n), "turn left"]}
            for n in range(3)
        ],
    )  # fmt: skip
    evaluate(
        tiny_model, [file], tmp_path / "out",
        EvaluationSettings(prompt=PAPER, evaluation=Evaluation(max_tokens=4), seed=0),
    )  # fmt: skip
    stage = [row["loglikelihoods"] for row in read_jsonl(tmp_path / "out" / "samples.jsonl.gz")]
    found = simple_evaluate(
        "glow", model_args={"path": str(tiny_model)}, tasks=["glow_suite_choice"], bootstrap_iters=0,
        task_manager=manager(suite_file=str(file)),
    )  # fmt: skip
    samples = found["samples"]["glow_suite_choice"]
    assert [[likelihood for likelihood, _ in sample["filtered_resps"]] for sample in samples] == stage


def test_a_foreign_choice_is_a_turn_without_the_space_before_it(tiny_model: Path) -> None:
    spaced, bare = (
        GlowModel(str(tiny_model)).loglikelihood([Instance("loglikelihood", {}, ("Q?", said), 0)])
        for said in (" yes", "yes")
    )
    assert spaced == bare
    tested = ModelUnderTest(tiny_model, PAPER)
    turn = tested.score(
        [[{"role": "system", "content": PAPER.system}, {"role": "user", "content": "Q?"}]],
        [tested.whole_turn("yes")],
    )
    assert bare[0][0] == turn[0].log_likelihood


def test_a_choice_is_scored_behind_the_thought_that_the_prompt_opens(
    tiny_model: Path, tmp_path: Path
) -> None:
    """As behind a template that closes it; what was sampled is scored where it was sampled."""
    asked = [{"role": "user", "content": "5 plus 1"}]
    tested = []
    for name, begun in (("opens", "<think>\\n"), ("closes", "<think>\\n\\n</think>\\n\\n")):
        file = tmp_path / f"{name}.jinja"
        file.write_text(
            "{%- for m in messages -%}{{- m.role + ': ' + m.content + '<|im_end|>' -}}{%- endfor -%}"
            f"{{%- if add_generation_prompt -%}}{{{{- 'assistant: {begun}' }}}}{{%- endif -%}}"
        )
        tested.append(ModelUnderTest(tiny_model, Prompt(chat_template=str(file))))
    opens, closes = tested
    turn = opens.whole_turn("6")
    assert opens.score([asked], [turn], are_answers=True) == closes.score([asked], [turn], are_answers=True)
    assert opens.score([asked], [turn]) != closes.score([asked], [turn])
