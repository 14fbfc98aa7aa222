"""The evaluation stage: what is asked, how it is judged and counted, and what is refused."""

import json
import math
import socket
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from glow.config import Evaluation, EvaluationSettings, Prompt
from glow.errors import UserError
from glow.evaluation import model_under_test
from glow.evaluation.evaluate import evaluate
from glow.evaluation.metrics import rescore
from glow.files.jsonl import Record, read_jsonl, write_jsonl
from glow.models.load import prompt_ids
from glow.models.sampling import Completion, OnDone, Request

PROMPT = Prompt(system="Be right.", instruction="Box it.")
SETTINGS = Evaluation(max_tokens=12, temperature=0.9, samples=2, entropy_samples=5)


def boxed(number: int, answer: str, **more: str) -> Record:
    return {
        "problem_id": f"p-{number}",
        "question": f"Q{number}",
        "answer": answer,
        "format": "boxed",
        **more,
    }


SUMS = [boxed(1, "4", family="sums"), boxed(2, "5", subject="algebra"), boxed(3, "6")]
DATES = [boxed(4, "2024-01-02"), boxed(5, "2024-01-03")]
PICK = [
    {
        "problem_id": "c-1",
        "question": "Which is a digit?",
        "answer": "B",
        "choices": ["pens", "3", "turn left"],
        "format": "choice",
        "family": "pick",
    },
    {
        "problem_id": "c-2",
        "question": "Same?",
        "answer": "A",
        "choices": ["cups", "cups"],
        "format": "choice",
    },
    {
        "problem_id": "c-3",
        "question": "Same again?",
        "answer": "B",
        "choices": ["1", "1"],
        "format": "choice",
    },
]


def suite_files(directory: Path, **suites: list[Record]) -> list[Path]:
    for name, rows in suites.items():
        write_jsonl(directory / f"{name}.jsonl", rows)
    return [directory / f"{name}.jsonl" for name in suites]


def run(
    model: Path, suites: list[Path], output: Path, settings: Evaluation = SETTINGS, seed: int = 3
) -> Path:
    evaluate(model, suites, output, EvaluationSettings(prompt=PROMPT, evaluation=settings, seed=seed))
    return output


def scores(output: Path) -> Record:
    return json.loads((output / "scores.json").read_text())


def samples(output: Path) -> list[Record]:
    return list(read_jsonl(output / "samples.jsonl.gz"))


# --- with scripted responses --------------------------------------------------------------------

SCRIPT = {
    # (problem, sample): text, finish reason, response tokens
    ("p-1", 0): ("2 + 2 = \\boxed{4}", "stop", 4),
    ("p-1", 1): ("It is \\boxed{7}.", "stop", 3),
    ("p-2", 0): ("Five.", "stop", 1),
    ("p-2", 1): ("\\boxed{5} or so, but", "length", 12),
    ("p-3", 0): ("\\boxed{6}", "stop", 2),
    ("p-3", 1): ("", "stop", 0),
    ("p-4", 0): ("\\boxed{2024-01-02}", "stop", 2),
    ("p-4", 1): ("\\boxed{2024-01-02}", "stop", 2),
    ("p-5", 0): ("\\boxed{2024-01-02}", "stop", 2),
    ("p-5", 1): ("\\boxed{2024-01-03}", "stop", 2),
}


class ScriptedEngine:
    """Answers by `SCRIPT`, and remembers what it was asked."""

    device = "cpu"

    def __init__(self) -> None:
        self.calls: list[list[Request]] = []

    def generate(self, requests: list[Request], on_done: OnDone) -> list[Completion]:
        self.calls.append(list(requests))
        completions = []
        for index, request in enumerate(requests):
            text, reason, tokens = SCRIPT[request.key[1:]]
            completions.append(Completion(text, list(range(3, 3 + tokens)), 9, reason))
            on_done(index, completions[-1])
        return completions

    def close(self) -> None:
        self.calls.append([])


@pytest.fixture(scope="module")
def engine() -> ScriptedEngine:
    return ScriptedEngine()


@pytest.fixture(scope="module")
def scripted(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory, engine: ScriptedEngine) -> Path:
    """One evaluation by `SCRIPT`, which the tests below look at."""
    directory = tmp_path_factory.mktemp("scripted")
    files = suite_files(directory, sums=SUMS, pick=PICK, dates=DATES)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(model_under_test, "load_engine", lambda *_, **__: engine)
        return run(tiny_model, files, directory / "out")


def test_a_thought_that_the_prompt_opened_is_in_the_rows(tiny_model: Path, tmp_path: Path) -> None:
    """The engine gets the whole prompt; a box in a thought that never ends is no answer."""
    texts = {"p-1": "Try \\boxed{4}. Hmm", "p-2": "Try \\boxed{7}.</think> \\boxed{5}", "p-3": "\\boxed{6}"}
    given: list[Any] = []

    class Thinks(ScriptedEngine):
        def generate(self, requests: list[Request], on_done: OnDone) -> list[Completion]:
            return [Completion(texts[r.key[1]], [3], 9, "stop", r.key[1] != "p-3") for r in requests]

    def start(*words: Any, trust_remote_code: bool) -> Thinks:
        given.append((words[2], trust_remote_code))
        return Thinks()

    prompt = Prompt(system="Be right.", chat_template="qwen3", chat_template_kwargs={"enable_thinking": True})
    settings = EvaluationSettings(
        prompt=prompt, evaluation=Evaluation(max_tokens=9, entropy_samples=0), seed=0
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(model_under_test, "load_engine", start)
        evaluate(tiny_model, suite_files(tmp_path, sums=SUMS), tmp_path / "out", settings)
    assert given == [(prompt, False)]
    rows = samples(tmp_path / "out")
    assert [row["verdict"] for row in rows] == ["unparsed", "correct", "correct"]
    assert [row.get("thought_open") for row in rows] == [True, True, None]


def test_the_marks_of_a_thought_are_those_of_the_prompt(tiny_model: Path, tmp_path: Path) -> None:
    class Thinks(ScriptedEngine):
        def generate(self, requests: list[Request], on_done: OnDone) -> list[Completion]:
            return [Completion("[[ \\boxed{4}", [3], 9, "stop") for _ in requests]

    prompt = Prompt(thought=("[[", "]]"))
    settings = EvaluationSettings(
        prompt=prompt, evaluation=Evaluation(max_tokens=9, entropy_samples=0), seed=0
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(model_under_test, "load_engine", lambda *_, **__: Thinks())
        evaluate(tiny_model, suite_files(tmp_path, sums=SUMS[:1]), tmp_path / "out", settings)
    assert [row["verdict"] for row in samples(tmp_path / "out")] == ["unparsed"]


def test_every_suite_is_asked_at_once_in_our_words(scripted: Path, engine: ScriptedEngine) -> None:
    """One call for all suites; then the engine is closed, before scoring loads the model."""
    asked, closed = engine.calls
    assert closed == []
    keys = [(3, f"p-{number}", sample) for number in (1, 2, 3, 4, 5) for sample in (0, 1)]
    assert [request.key for request in asked] == keys
    assert asked[3].messages == [
        {"role": "system", "content": "Be right."},
        {"role": "user", "content": "Q2\nBox it."},
    ]


def test_verdicts_are_counted(scripted: Path) -> None:
    found = scores(scripted)["suites"]
    assert list(found) == ["sums", "pick", "dates"]
    # correct, wrong | unparsed, truncated | correct, unparsed
    assert found["sums"] == {
        "format": "boxed",
        "n": 3,
        "samples": 6,
        "accuracy": pytest.approx(2 / 6),
        # one right of two, none, one right of two; 4 ties with 7, the silent one has no vote
        "pass_at": {"1": pytest.approx(2 / 6), "2": pytest.approx(2 / 3)},
        "maj_at": {"1": pytest.approx(2 / 6), "2": pytest.approx((1 / 2 + 1) / 3)},
        "truncated": pytest.approx(1 / 6),
        "unparsed": pytest.approx(2 / 6),
        "unjudged": 0.0,
        "lenient": 0.0,
        "from_phrases": 0.0,
        "mean_tokens": pytest.approx(22 / 6),
        "median_tokens": 2.5,
    }
    assert found["dates"]["accuracy"] == pytest.approx(3 / 4)


def test_rows_keep_the_verdict_of_each_sample(scripted: Path) -> None:
    rows = samples(scripted)
    assert [(row["suite"], row["problem_id"], row["sample_index"]) for row in rows[:6]] == [
        ("sums", f"p-{number}", sample) for number in (1, 2, 3) for sample in (0, 1)
    ]
    assert [row["verdict"] for row in rows[:6]] == [
        "correct", "wrong", "unparsed", "truncated", "correct", "unparsed",
    ]  # fmt: skip
    assert [row["family"] for row in rows[:6:2]] == ["sums", "algebra", None]
    assert rows[1] == {
        "suite": "sums",
        "problem_id": "p-1",
        "family": "sums",
        "sample_index": 1,
        "question": "Q1",
        "answer": "4",
        "format": "boxed",
        "response": "It is \\boxed{7}.",
        "finish_reason": "stop",
        "response_tokens": 3,
        "verdict": "wrong",
        "extracted": "7",
        "extracted_from": "box",
        "reason": rows[1]["reason"],
        "correct": False,
        "entropy": rows[1]["entropy"],
        "answer_class": 1,
    }
    assert rows[1]["reason"]


def test_accuracy_of_the_scores_is_that_of_the_rows(scripted: Path) -> None:
    for suite, found in scores(scripted)["suites"].items():
        rows = [row for row in samples(scripted) if row["suite"] == suite]
        assert len(rows) == found["samples"]
        assert found["accuracy"] == pytest.approx(sum(row["correct"] for row in rows) / len(rows))


def test_equal_answers_share_a_class_and_truncated_ones_have_none(scripted: Path) -> None:
    assert [row["answer_class"] for row in samples(scripted) if row["suite"] == "sums"] == [
        0, 1, -1, -1, 0, -1,
    ]  # fmt: skip


def test_rescoring_the_archive_gives_the_same_file(scripted: Path, tmp_path: Path) -> None:
    rescore(scripted / "samples.jsonl.gz", tmp_path / "scores.json")
    assert (tmp_path / "scores.json").read_bytes() == (scripted / "scores.json").read_bytes()


def test_entropy_of_some_responses(scripted: Path, tiny_model: Path) -> None:
    """5 of 10 responses: 3 of the first suite's 6, 2 of the second's 4; the end of a turn counts too."""
    rows = samples(scripted)
    scored = [row for row in rows if row.get("entropy") is not None]
    assert [(row["problem_id"], row["sample_index"]) for row in scored] == [
        ("p-1", 0), ("p-2", 0), ("p-3", 0), ("p-4", 0), ("p-5", 0),
    ]  # fmt: skip
    tokens = [row["response_tokens"] + 1 for row in scored]
    mean = scores(scripted)["entropy"]
    assert (mean["responses"], mean["tokens"]) == (5, sum(tokens))
    weighted = sum(row["entropy"] * count for row, count in zip(scored, tokens, strict=True))
    assert mean["mean"] == pytest.approx(weighted / sum(tokens))
    # The first, by hand: tokens 3 to 6 and the end after the prompt, in float64.
    network, tokenizer = (
        AutoModelForCausalLM.from_pretrained(tiny_model),
        AutoTokenizer.from_pretrained(tiny_model),
    )
    prompt = prompt_ids(
        tokenizer, [{"role": "system", "content": "Be right."}, {"role": "user", "content": "Q1\nBox it."}]
    )
    with torch.inference_mode():
        logits = network(torch.tensor([[*prompt, 3, 4, 5, 6]])).logits[0, len(prompt) - 1 :].double()
    log_p = logits.log_softmax(-1)
    entropies = -(log_p.exp() * log_p).sum(-1)
    assert scored[0]["entropy"] == pytest.approx(float(entropies.mean()), rel=1e-5)
    # Without the end four tokens: a tenth has 0.4 of one, and the third and the eighth have parts of two.
    a, b, c, d = (0.4 * float(entropy) for entropy in entropies[:4])
    halves = [a, a, (a + b) / 2, b, b, c, c, (c + d) / 2, d, d]
    assert scored[0]["entropy_tenths"] == pytest.approx(halves, rel=1e-5)
    assert scored[0]["entropy_end"] == pytest.approx(float(entropies[4]), rel=1e-5)
    assert all("entropy_tenths" not in row for row in rows if row.get("entropy") is None)


def test_a_response_that_was_cut_off_has_no_end(
    tiny_model: Path, tmp_path: Path, engine: ScriptedEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model_under_test, "load_engine", lambda *_, **__: engine)
    settings = SETTINGS.model_copy(update={"entropy_samples": 6})
    output = run(tiny_model, suite_files(tmp_path, sums=SUMS), tmp_path / "out", settings)
    cut, said_nothing = (
        next(row for row in samples(output) if (row["problem_id"], row["sample_index"]) == key)
        for key in (("p-2", 1), ("p-3", 1))
    )
    assert cut["entropy_end"] is None
    assert sum(cut["entropy_tenths"]) == pytest.approx(12 * cut["entropy"])
    assert said_nothing["entropy_tenths"] == [0] * 10
    assert said_nothing["entropy_end"] == said_nothing["entropy"] > 0


def test_choices_are_scored_as_whole_turns(scripted: Path, tiny_model: Path) -> None:
    """The question alone, then the choice's tokens and the end of the turn: recomputed here, unbatched."""
    network, tokenizer = (
        AutoModelForCausalLM.from_pretrained(tiny_model),
        AutoTokenizer.from_pretrained(tiny_model),
    )
    rows = [row for row in samples(scripted) if row["suite"] == "pick"]
    prompt = prompt_ids(
        tokenizer,
        [{"role": "system", "content": "Be right."}, {"role": "user", "content": "Which is a digit?"}],
    )
    expected = []
    for choice in PICK[0]["choices"]:
        response = [*tokenizer(choice, add_special_tokens=False)["input_ids"], tokenizer.eos_token_id]
        with torch.inference_mode():
            log_p = network(torch.tensor([prompt + response])).logits[0].double().log_softmax(-1)
        expected.append(sum(float(log_p[len(prompt) - 1 + n, token]) for n, token in enumerate(response)))
    assert rows[0]["loglikelihoods"] == pytest.approx(expected, rel=1e-5)
    best = "ABC"[expected.index(max(expected))]
    assert rows[0] == {
        "suite": "pick",
        "problem_id": "c-1",
        "family": "pick",
        "sample_index": 0,
        "question": "Which is a digit?",
        "answer": "B",
        "format": "choice",
        "loglikelihoods": rows[0]["loglikelihoods"],
        "extracted": best,
        "verdict": "correct" if best == "B" else "wrong",
        "reason": "the most likely choice",
        "correct": best == "B",
    }


def test_the_first_of_equal_choices_is_taken(scripted: Path) -> None:
    rows = [row for row in samples(scripted) if row["suite"] == "pick"]
    assert [row["extracted"] for row in rows[1:]] == ["A", "A"]
    assert [row["correct"] for row in rows[1:]] == [True, False]
    pick = scores(scripted)["suites"]["pick"]
    assert (pick["format"], pick["n"], pick["samples"], pick["mean_tokens"]) == ("choice", 3, 3, None)


def test_manifest_names_the_inputs(scripted: Path, tiny_model: Path) -> None:
    manifest = json.loads((scripted / "manifest.json").read_text())
    assert list(manifest["inputs"]) == [
        str(tiny_model),
        *(str(scripted.parent / f"{s}.jsonl") for s in ("sums", "pick", "dates")),
    ]
    assert manifest["settings"]["seed"] == 3
    assert manifest["facts"]["samples"] == 13
    assert manifest["device"] == "cpu"


# --- with a real model --------------------------------------------------------------------------


def test_the_same_bytes_whatever_the_batch_and_without_a_network(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: object) -> None:
        raise AssertionError(f"a connection was attempted: {arguments}")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    files = suite_files(tmp_path, sums=SUMS, pick=PICK)
    one = run(tiny_model, files, tmp_path / "one")
    other = run(tiny_model, files, tmp_path / "other", SETTINGS.model_copy(update={"batch_size": 1}))
    for name in ("scores.json", "samples.jsonl.gz"):
        assert (one / name).read_bytes() == (other / name).read_bytes()
    reseeded = run(tiny_model, files, tmp_path / "reseeded", seed=4)
    responses = [[row.get("response") for row in samples(output)] for output in (one, reseeded)]
    assert responses[0] != responses[1]


def test_stale_rows_are_not_scored(tiny_model: Path, tmp_path: Path) -> None:
    """A suite file that changes under the same name is read anew."""
    first = run(tiny_model, suite_files(tmp_path, sums=SUMS), tmp_path / "first")
    changed = [row | {"question": row["question"] + "?"} for row in SUMS]
    second = run(tiny_model, suite_files(tmp_path, sums=changed), tmp_path / "second")
    assert [row["question"] for row in samples(first)][::2] == ["Q1", "Q2", "Q3"]
    assert [row["question"] for row in samples(second)][::2] == ["Q1?", "Q2?", "Q3?"]


def test_multiple_choice_alone(tiny_model: Path, tmp_path: Path) -> None:
    output = run(tiny_model, suite_files(tmp_path, pick=PICK), tmp_path / "out")
    assert scores(output)["entropy"] is None
    assert math.isfinite(sum(samples(output)[0]["loglikelihoods"]))


# --- what is refused ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "no problems"),
        ([SUMS[0], PICK[0]], "'format' must be the same in every row, boxed or choice; found boxed, choice"),
        ([SUMS[0] | {"format": "essay"}], "found essay"),
        ([SUMS[0], SUMS[0]], "share problem_id 'p-1'"),
        ([PICK[0] | {"answer": "D"}], "problem 'c-1': 'answer' must be a letter from A to C"),
        ([PICK[0] | {"choices": ["one"]}], "'choices' must be a list of 2 to 26 texts"),
        ([{"problem_id": "p", "answer": "1"}], "bad.jsonl:1: no key 'question'"),
    ],
)
def test_malformed_suites_are_refused(
    rows: list[Record], message: str, tiny_model: Path, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=message):
        run(tiny_model, suite_files(tmp_path, bad=rows), tmp_path / "out")


def test_two_suites_of_one_name_are_refused(tiny_model: Path, tmp_path: Path) -> None:
    files = [*suite_files(tmp_path / "a", sums=SUMS), *suite_files(tmp_path / "b", sums=SUMS)]
    with pytest.raises(UserError, match="a second suite named 'sums'"):
        run(tiny_model, files, tmp_path / "out")


def test_a_path_without_a_model_is_refused(tmp_path: Path) -> None:
    for rows in (SUMS, PICK):
        with pytest.raises(UserError, match="no model here"):
            run(tmp_path / "nowhere", suite_files(tmp_path, suite=rows), tmp_path / "out")
