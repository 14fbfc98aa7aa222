"""Examples for a reader: a right and a wrong trajectory, and what every arm answers to the same question.

Nobody picks them. Of all that could be shown, the first by a hash of its id is
(`files.hashing.keyed_order`), with a key that is written down here. Where steps can be judged exactly
(`glow.miniature.steps`), the first wrong one is marked. The tables stage collects them in
R/tables/examples.json, and the report shows them.
"""

import unicodedata
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from glow.errors import UserError
from glow.files.hashing import keyed_order
from glow.files.jsonl import Record, present_file, read_jsonl
from glow.files.records import Verdict
from glow.miniature.families import FAMILIES
from glow.miniature.family import STEP_MARK
from glow.miniature.steps import Chain, Slip, read_chain
from glow.reporting.results import BASE, Results
from glow.reporting.scopes import SCOPE_TITLES, SCOPES, scope_suites
from glow.verifier.response_types import response_type
from glow.verifier.thoughts import Thought

KEY = "example of the report"
"""The key of the hash; another one shows others."""
LONGEST = 1500
"""Longer texts are cut in the middle."""
SIDES: dict[Verdict, str] = {"correct": "positive", "wrong": "negative"}
SLIPS: dict[Slip, str] = {
    "label": "the label of another operation",
    "carried": "another value than the one reached before",
    "sign": "another sign than the question has",
    "operand": "another number than the question has",
    "operation": "another sign and number than the question has",
    "calculation": "a result that does not follow",
    "early": "the answer before the last step",
    "late": "a step after the last one",
    "form": "not a step of this kind",
    "step": "not the step that follows",
    "answer": "not the answer that the steps lead to",
}
"""The first slip of a chain, in words."""


@dataclass(frozen=True)
class Response:
    """A response as it is shown.

    Attributes:
        label: whose it is: `positive`, or the name of an arm.
        verdict: its verdict.
        type: what it consists of (`records.ResponseType`).
        before, marked, after: its text, of which the middle is the first wrong step, or its end where that is
            what is wrong; without one, `before` is the whole.
        slip: what is wrong with it, in words; None where nothing is marked.
    """

    label: str
    verdict: str
    type: str
    before: str
    marked: str = ""
    after: str = ""
    slip: str | None = None

    @property
    def length(self) -> int:
        """Characters that are shown."""
        return len(self.before) + len(self.marked) + len(self.after)


@dataclass(frozen=True)
class Example:
    """A question with responses to it.

    Attributes:
        title: what is shown.
        rule: how it was chosen.
        question, answer: the question and its gold answer (empty where a program judges).
        responses: in the order of the tables.
    """

    title: str
    rule: str
    question: str
    answer: str
    responses: list[Response]


STORED = TypeAdapter(list[Example])
"""The form of R/tables/examples.json."""


def collect_examples(results: Results) -> list[Example]:
    """The examples of all domains, from verdicts and archived answers; the frames of `results` must be there.

    Raises:
        UserError: a file that holds them is missing or malformed, or lacks one that it should hold.
    """
    several = len(results.experiment.domain_names) > 1
    found = []
    for domain in results.experiment.domain_names:
        where = f"{domain}: " if several else ""
        found += _trajectory_examples(results, domain, where)
        found += _answer_examples(results, domain, where)
    return found


def read_examples(results: Results) -> list[Example]:
    """The examples as the tables stage left them.

    Raises:
        UserError: R/tables/examples.json is missing, or is not what this version of glow writes.
    """
    path = present_file(results.examples_file, "`glow tables`")
    try:
        return STORED.validate_json(path.read_bytes())
    except ValidationError:
        raise UserError(f"{path}: not as this version of glow writes it; run `glow tables` again") from None


# --- which ----------------------------------------------------------------------------------------


def _first(names: Iterable[str]) -> str:
    return keyed_order(names, str, KEY)[0]


def _trajectory_examples(results: Results, domain: str, where: str) -> list[Example]:
    """A positive and a negative with a chain: of one question where any has both, of two otherwise."""
    frame = results.trajectories(domain)
    chains = frame[(frame["type"] == "chain") & frame["verdict"].isin(SIDES)]
    verdicts = chains.groupby("problem_id")["verdict"].agg(set)
    both = [str(name) for name, found in verdicts.items() if len(found) == len(SIDES)]
    if both:
        chains, title = chains[chains["problem_id"] == _first(both)], "A right and a wrong trajectory"
        rule = (
            f"Chosen by a hash: of {len(both):,} question(s) with right and wrong trajectories (chains of "
            "thought) the first, and of each verdict its first trajectory."
        )
    chosen = {
        verdict: _first(own["trajectory_id"])
        for verdict in SIDES
        if len(own := chains[chains["verdict"] == verdict])
    }
    rows = _rows_where(
        results.verdicts_file(domain), lambda row: row["trajectory_id"] in chosen.values(), len(chosen)
    )
    by_verdict = {row["verdict"]: row for row in rows}
    shown = [(by_verdict[verdict], SIDES[verdict]) for verdict in chosen]
    drawn, thought = results.experiment.domains.get(domain), results.experiment.verdicts.thought
    families = (drawn.problems.families if drawn else None) or ()
    if both:
        return [_example(where + title, rule, shown, families, thought)]
    return [
        _example(
            f"{where}A {'right' if label == 'positive' else 'wrong'} trajectory",
            f"Chosen by a hash: the first of all {label}s with a chain of thought.",
            [(row, label)],
            families,
            thought,
        )
        for row, label in shown
    ]


def _answer_examples(results: Results, domain: str, where: str) -> list[Example]:
    """One question in-domain and one out of domain, and the first answer of every model of the first seed."""
    experiment, found = results.experiment, []
    for scope in SCOPES:
        every = scope_suites(experiment, domain)[scope]
        suites = [
            suite
            for suite in every
            if experiment.suites[suite].format != "choice" and _is_sampled(results, suite)
        ]
        questions = {
            f"{suite}/{problem['problem_id']}": (suite, problem)
            for suite in suites
            for problem in results.problems(suite)
        }
        if not questions:
            continue
        suite, problem = questions[_first(questions)]
        seed = experiment.seeds[0]
        left_out = " (multiple choice is left out)" if len(suites) < len(every) else ""
        rule = (
            f"Chosen by a hash: of {len(questions):,} question(s){left_out} the first; and of each model of "
            f"seed {seed} its first response."
        )
        shown = [
            (_answer(results, domain, arm, suite, problem["problem_id"]) | _asked(problem), arm)
            for arm in (BASE, *experiment.arms)
        ]
        title = f"{where}What each arm answers, {SCOPE_TITLES[scope].lower()} ({suite})"
        families = experiment.suites[suite].families or ()
        found.append(_example(title, rule, shown, families, experiment.prompt.thought))
    return found


def _is_sampled(results: Results, suite: str) -> bool:
    """Whether there are responses, and not only the likeliest of some choices."""
    return bool(results.questions(results.runs("base")[0]).loc[suite]["tokens"].notna().all())


def _asked(problem: Any) -> Record:
    """What an archived answer need not repeat of its question."""
    return {key: problem.get(key) for key in ("question", "answer", "family")}


def _answer(results: Results, domain: str, arm: str, suite: str, problem_id: str) -> Record:
    run = results.run("sft", domain, arm, results.experiment.seeds[0])
    archive = results.evaluation(run) / "samples.jsonl.gz"

    def is_it(row: Record) -> bool:
        return (row["suite"], row["problem_id"], row["sample_index"]) == (suite, problem_id, 0)

    return _rows_where(archive, is_it, 1)[0]


def _rows_where(path: Path, is_wanted: Callable[[Record], bool], count: int) -> list[Record]:
    """The first `count` rows of a file that are wanted; it is not read further."""
    found: list[Record] = []
    for row in read_jsonl(path):
        if len(found) == count:
            break
        if is_wanted(row):
            found.append(row)
    if len(found) < count:
        raise UserError(
            f"{path}: lacks {count - len(found)} row(s) that the tables count; run `glow tables` again"
        )
    return found


# --- as they are shown ----------------------------------------------------------------------------


def _example(
    title: str, rule: str, shown: Sequence[tuple[Record, str]], families: Collection[str], thought: Thought
) -> Example:
    """An example of (row, label) pairs, all of one question."""
    first = shown[0][0]
    responses = [_response(row, label, families, thought) for row, label in shown]
    if any(response.slip for response in responses):
        rule += " The first wrong step is marked, where there is one."
    return Example(title, rule, cut(clean(first["question"])), clean(first["answer"] or ""), responses)


def _response(row: Record, label: str, families: Collection[str], thought: Thought) -> Response:
    text = row.get("response") or ""  # an archive that someone made need not have it
    kind = response_type(text, row["verdict"], row.get("extracted"), thought)
    chain = _chain(row, families) if kind == "chain" else None
    if chain is None or chain.first is None or chain.slip is None:
        return Response(label, row["verdict"], kind, cut(clean(text)))
    start, end = _place(text, chain)
    before, marked, after = (cut(clean(part)) for part in (text[:start], text[start:end], text[end:]))
    return Response(label, row["verdict"], kind, before, marked, after, _in_words(chain))


def _chain(row: Record, families: Collection[str]) -> Chain | None:
    """The steps of a response, where they can be judged: to a question of a procedural family."""
    family = FAMILIES.get(row.get("family") or "")
    if family is None or family.name not in families:
        return None
    try:
        return read_chain(family, row["question"], row["response"], row.get("extracted"))
    except ValueError:  # an older version of the family asked this question in other words
        return None


def _in_words(chain: Chain) -> str:
    """What the first slip is; of a label also which one it is, and which one it should be."""
    assert chain.first is not None and chain.slip is not None, "a chain without a slip has nothing to say"
    if chain.slip != "label" or chain.wanted is None:
        return SLIPS[chain.slip]
    written, wanted = (step.partition(":")[0] for step in (chain.steps[chain.first], chain.wanted))
    return f"labelled “{written}”, should be “{wanted}”"


def _place(response: str, chain: Chain) -> tuple[int, int]:
    """Where the first slip stands in the response: a step, or the sentence at its end."""
    # Steps were read so: between the first words and the last full stop, apart by `STEP_MARK`.
    head, stop, _ = response.rpartition(". ")
    assert chain.first is not None, "a chain without a slip has nothing to mark"
    if chain.first == len(chain.steps):
        return len(head) + len(stop), len(response)
    start = len(head) - len(STEP_MARK.join(chain.steps[chain.first :]))
    return start, start + len(chain.steps[chain.first])


TURNING = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
"""Invisible characters that set the writing direction, also of the text around them."""


def clean(text: str) -> str:
    """A text of a model without what no page can show (control characters, lone surrogates) and `TURNING`."""
    return "".join(
        "\N{REPLACEMENT CHARACTER}" if _is_unfit(character) else character
        for character in text.replace("\r\n", "\n")
    )


def _is_unfit(character: str) -> bool:
    if character in "\n\t":
        return False
    return character in TURNING or unicodedata.category(character) in ("Cc", "Cs")


def cut(text: str, longest: int = LONGEST) -> str:
    """A text of at most so many characters, and a note of how many were left out of its middle."""
    if len(text) <= longest:
        return text
    head, tail = longest * 2 // 3, longest // 3
    return f"{text[:head]}\n[… {len(text) - head - tail:,} characters left out …]\n{text[-tail:]}"
