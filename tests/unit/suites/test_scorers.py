"""Suites with scorers of their own: what the scorer is given, and what becomes of its word."""

import json
import sys
from types import SimpleNamespace

import pytest

from glow.config import Verification
from glow.errors import UserError
from glow.files.jsonl import Record
from glow.models.sampling import Completion
from glow.suites.scorers import judge_samples, require_scorers
from glow.suites.task_hooks import SampledText, judge_boxed
from glow.verifier.answers import UNFINISHED
from glow.verifier.verify import Judgement, Verifier


def judged(
    problem: Record, response: str, finish_reason: str | None = "stop", thought_open: bool = False
) -> Judgement:
    with Verifier(Verification()) as verifier:
        return judge_samples(problem, [(response, finish_reason, thought_open)], verifier)[0]


# --- the verifier --------------------------------------------------------------------------------


def test_without_a_scorer_the_verifier_judges() -> None:
    problem = {"problem_id": "p", "question": "Q", "answer": "4", "format": "boxed"}
    assert judged(problem, "\\boxed{4}").verdict == "correct"
    assert judged(problem, "\\boxed{5}").verdict == "wrong"
    assert judged(problem, "\\boxed{4}", thought_open=True).verdict == "unparsed"
    assert judged(problem, "\\boxed{5}</think>\\boxed{4}", thought_open=True).verdict == "correct"


@pytest.mark.parametrize(
    ("response", "verdict"),
    [
        ("\\boxed{B}", "correct"),
        ("\\boxed{(B)}", "correct"),
        ("\\boxed{\\text{the heart}}", "correct"),
        ("\\boxed{B. the heart}", "correct"),
        ("\\boxed{A}", "wrong"),
        ("\\boxed{the lung}", "wrong"),
    ],
)
@pytest.mark.parametrize("answer", ["B", "(B)"])
def test_a_choice_may_be_stated_by_letter_or_text(response: str, verdict: str, answer: str) -> None:
    problem = {
        "problem_id": "p", "question": "Q\nA. the lung\nB. the heart", "answer": answer, "format": "boxed",
        "choices": ["the lung", "the heart"], "answer_type": "choice",
    }  # fmt: skip
    assert judged(problem, response).verdict == verdict


# --- what a scorer is shown -----------------------------------------------------------------------

GYM = {"problem_id": "p", "question": "Q", "answer": "4", "format": "boxed", "scorer": "gym"}
THINKS = r"<think>\boxed{5}, no commas</think>" + "\n\n"


def test_a_gym_scorer_gets_what_is_boxed_behind_the_thought(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("glow.suites.scorers.gym_score", lambda answer, row: float(answer == row["answer"]))
    assert judged(GYM, THINKS + r"\boxed{4}").verdict == "correct"
    assert judged(GYM, r"<think>\boxed{4}</think>\boxed{5}").verdict == "wrong"
    assert judged(GYM, r"\boxed{4}", "interrupted").reason == "interrupted before its end"
    for response, is_open, reason in (
        (r"<think>\boxed{4}", False, UNFINISHED),
        (r"\boxed{4}", True, UNFINISHED),
        (r"<think>\boxed{4}</think>", False, "nothing follows the thought"),
    ):
        assert judged(GYM, response, thought_open=is_open) == Judgement("unparsed", None, reason)


def test_ifevals_checker_gets_the_answer_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[str] = []

    def check(example: object, response: str) -> SimpleNamespace:
        shown.append(response)
        return SimpleNamespace(follow_instruction_list=["," not in response, True])

    fake = SimpleNamespace(InputExample=lambda *_: None, test_instruction_following_strict=check)
    monkeypatch.setattr("glow.suites.scorers._ifeval_checker", lambda: fake)
    assert judged(NO_COMMA, THINKS + "Cats sleep.").verdict == "correct"
    assert judged(NO_COMMA, "Cats, they sleep.").verdict == "wrong"
    for response, is_open in ((r"<think>Cats sleep.", False), ("Cats sleep.", True)):
        found = judged(NO_COMMA, response, thought_open=is_open)
        assert found == Judgement("unparsed", None, UNFINISHED)
    assert judged(NO_COMMA, "<think>Cats", "length").verdict == "truncated"
    assert shown == ["Cats sleep.", "Cats, they sleep."]


def test_lm_evals_results_say_whether_the_prompt_opened_a_thought() -> None:
    row = {"problem_id": "p", "question": "Q", "answer": "4", "format": "boxed"}
    open_one = SampledText("\\boxed{4}", Completion("\\boxed{4}", [3], 5, "stop", thought_open=True))
    found = judge_boxed({"row": json.dumps(row)}, [["\\boxed{4}", open_one]])
    assert [judgement["verdict"] for judgement in found["judgements"]] == ["correct", "unparsed"]


def test_marks_are_the_verifiers() -> None:
    problem = {"problem_id": "p", "question": "Q", "answer": "4", "format": "boxed"}
    with Verifier(Verification(), thought=("<t>", "</t>")) as verifier:
        samples = [(r"<t>\boxed{5}</t>\boxed{4}", "stop", False), (r"<t>\boxed{4}", "stop", False)]
        assert [found.verdict for found in judge_samples(problem, samples, verifier)] == [
            "correct",
            "unparsed",
        ]


# --- reasoning-gym -------------------------------------------------------------------------------


@pytest.fixture
def cipher() -> Record:
    from glow.suites.gym import draw

    return next(row for row in draw(36, 1) if row["family"] == "caesar_cipher/easy")


@pytest.mark.extra("gym")
@pytest.mark.parametrize(
    ("written", "verdict"),
    [
        ("\\boxed{%s}", "correct"),
        ("\\boxed{\\text{%s}}", "correct"),
        ("\\boxed{ %s }", "correct"),
        ("\\boxed{%s, and more}", "wrong"),
        ("%s", "unparsed"),
        ("\\boxed{" + "x" * 20_000 + "}", "wrong"),
    ],
)
def test_a_gym_answer_is_what_the_box_holds(cipher: Record, written: str, verdict: str) -> None:
    response = written % cipher["answer"] if "%s" in written else written
    assert judged(cipher, response).verdict == verdict


@pytest.mark.extra("gym")
def test_a_cut_off_response_is_truncated(cipher: Record) -> None:
    assert judged(cipher, f"\\boxed{{{cipher['answer']}}}", "length").verdict == "truncated"


@pytest.mark.extra("gym")
def test_a_scorer_that_fails_gives_an_error(cipher: Record, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(answer: str, row: Record) -> float:
        raise ZeroDivisionError

    monkeypatch.setattr("glow.suites.scorers.gym_score", fail)
    found = judged(cipher, "\\boxed{a}")
    assert (found.verdict, found.reason) == ("error", "reasoning-gym's scorer: ZeroDivisionError")


# --- IFEval --------------------------------------------------------------------------------------

NO_COMMA = {
    "problem_id": "p",
    "question": "Write about cats without commas, in capitals.",
    "answer": "",
    "format": "boxed",
    "scorer": "ifeval",
    "scorer_data": {
        "key": 1,
        "instruction_id_list": ["punctuation:no_comma", "length_constraints:number_words"],
        "kwargs": [{}, {"num_words": 4, "relation": "at least"}],
    },
}


@pytest.fixture
def checker(monkeypatch: pytest.MonkeyPatch) -> None:
    """lm-eval's checker; these instructions need none of nltk's data, which may be absent here."""
    monkeypatch.setattr("nltk.data.find", lambda *_: "here")


@pytest.mark.extra("ifeval")
@pytest.mark.usefixtures("checker")
def test_ifeval_wants_every_instruction_followed() -> None:
    assert judged(NO_COMMA, "Cats sleep all day.").verdict == "correct"
    found = judged(NO_COMMA, "Cats sleep, day.")
    assert found == Judgement(
        "wrong", None, "not followed: punctuation:no_comma, length_constraints:number_words"
    )
    assert judged(NO_COMMA, "Cats sleep all day.", "length").verdict == "truncated"


@pytest.mark.extra("ifeval")
@pytest.mark.usefixtures("checker")
def test_ifeval_finds_the_same_language_every_time() -> None:
    """langdetect draws at random; unseeded, it calls these words Spanish in about half of all calls."""
    row = NO_COMMA | {
        "scorer_data": {
            "key": 2, "instruction_id_list": ["language:response_language"], "kwargs": [{"language": "es"}],
        }
    }  # fmt: skip
    assert len({judged(row, "hola hello ciao").verdict for _ in range(30)}) == 1


@pytest.mark.extra("ifeval")
@pytest.mark.usefixtures("checker")
def test_ifeval_an_instruction_that_it_does_not_know_gives_an_error() -> None:
    data = NO_COMMA["scorer_data"] | {"instruction_id_list": ["nope:x", "punctuation:no_comma"]}
    found = judged(NO_COMMA | {"scorer_data": data}, "Cats.")
    assert (found.verdict, found.reason) == ("error", "lm-eval's checker: KeyError")


@pytest.mark.parametrize(
    ("scorer", "package", "message"),
    [
        ("ifeval", "nltk", "suite ifeval: lm-eval's IFEval checker is not installed"),
        ("gym", "reasoning_gym", "suite gym: "),
    ],
)
def test_missing_packages_are_found_before_anything_is_sampled(
    scorer: str, package: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    require_scorers([{"question": "judged by the verifier"}])
    with pytest.raises(UserError, match=message):
        require_scorers([{}, {"scorer": scorer}])


def test_ifeval_without_its_packages_says_how_to_get_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "nltk", None)
    with pytest.raises(UserError, match=r"make setup EXTRAS=ifeval, .*nltk.downloader punkt_tab"):
        judged(NO_COMMA, "Cats.")
