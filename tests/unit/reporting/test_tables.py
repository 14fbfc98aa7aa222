import json
import math
from pathlib import Path

import pandas as pd
import pytest
from fabricated import QUESTIONS, World, document
from pytest import approx

from glow import cli
from glow.evaluation.metrics import rescore
from glow.files.jsonl import read_jsonl, write_jsonl
from glow.reporting.accuracy_tables import main_table, samples_table
from glow.reporting.cells import MINUS, Table, latex, markdown
from glow.reporting.entropy_tables import entropy_positions_table, entropy_table
from glow.reporting.grpo_table import grpo_table
from glow.reporting.inference_tables import comparisons_table
from glow.reporting.results import Run
from glow.reporting.steps import collect_chains
from glow.reporting.tables import build_tables, read_tables, write_tables
from glow.reporting.training_tables import data_table, gains_table, losses_table, weights_table

REPORTED = str(Path(__file__).parents[3] / "config/reported.yaml")
T1 = 12.706205


def frame(table: Table, *keys: str) -> pd.DataFrame:
    return table.frame.set_index(list(keys))


def shown(table: Table) -> dict[str, dict[str, str]]:
    """First cell of a row -> heading -> text, with plain minus signs."""
    headings, *rows = [[cell.replace(MINUS, "-") for cell in line] for line in table.lines]
    return {row[0]: dict(zip(headings, row, strict=True)) for row in rows}


# --- main -----------------------------------------------------------------------------------------


def test_main_numbers(fabricated: World) -> None:
    table = main_table(fabricated.results)
    glow = frame(table, "arm").loc["glow"]
    assert glow["n"] == 2
    # Errors over questions and seeds, by hand as in test_measures: on lists sqrt(247.22)
    assert (glow["suite_lists_mean"], glow["suite_lists_se"]) == (approx(55), approx(15.7233, abs=1e-4))
    # arithmetic: seven of 100, two of 50, one of 0, mean 80: questions (7 * 400 + 2 * 900 + 6400) / 90; seeds
    # 70 and 90: 100; the rest, 40 on two questions and 10 on eight: (4 * 1600 + 16 * 100) / 9 / 20
    variance = 11000 / 90 + 100 - 8000 / 180
    assert (glow["in_domain_mean"], glow["in_domain_se"]) == (approx(80), approx(variance**0.5))
    assert glow["ood_mean"] == approx(62.5)
    assert glow["gain_ood_mean"] == approx(17.5)
    assert glow["gain_ood_se"] == approx(6.71855, abs=1e-5)
    assert glow["gain_ood_low"] == approx(17.5 - 2.5 * T1, abs=1e-4)
    assert glow["gain_in_domain_mean"] == approx(10)
    assert list(table.frame["arm"])[1:] == ["base", "positive", "negative", "all", "glow", "glow_released"]


def test_main_cells(fabricated: World) -> None:
    rows = shown(main_table(fabricated.results))
    # seeds at 50 and 60: error 5, times 12.706 with one degree of freedom
    assert rows["glow"]["lists (OOD)"] == "55.0 ± 63.5"
    assert rows["glow"]["OOD gain"] == "+17.5 [-14.3, +49.3]"
    assert rows["positive"]["OOD gain"] == "reference"
    assert list(rows["base"])[:6] == ["Arm", "n", "ID mean", "OOD mean", "ID gain", "OOD gain"]
    assert list(rows["base"])[6:] == ["arithmetic (ID)", "lists (OOD)", "choice (OOD)"]


def test_one_seed_gets_an_error_over_questions_alone_and_no_star(tmp_path: Path) -> None:
    world = World(tmp_path, document(seeds=[1])).write()
    rows = shown(main_table(world.results))
    # lists 6 of 10, choice 8 of 10: variances 0.6 * 0.4 / 9 and 0.8 * 0.2 / 9, a quarter of their sum
    # (error 10.54); 0.01111^2 / ((0.006667^2 + 0.004444^2) / 9) = 17.31 degrees of freedom: t = 2.107
    assert rows["glow"]["OOD mean"] == "70.0 ± 22.2"
    glow = frame(main_table(world.results), "arm").loc["glow"]
    assert glow["n"] == 1
    assert glow["ood_se"] == approx(100 * (0.4 / 9 / 4) ** 0.5)
    assert not any("*" in cell for row in rows.values() for cell in row.values())
    assert "covers the choice of questions only (there is one seed" in main_table(world.results).caption.read


@pytest.fixture(scope="module")
def two_domains(tmp_path_factory: pytest.TempPathFactory) -> World:
    """arithmetic and choice train; choice is in-domain for itself, and lists for none."""
    problems = {"problems": {"families": ["ledger"], "train": 10, "grpo": 5}}
    suites = document()["suites"]
    suites["choice"]["domain"] = "choice"
    content = document(domains={"arithmetic": problems, "choice": problems}, suites=suites, reported=REPORTED)
    return World(tmp_path_factory.mktemp("two"), content).write()


def test_in_domain_for_one_is_ood_for_the_other(two_domains: World) -> None:
    table = main_table(two_domains.results)
    rows = frame(table, "domain", "arm")
    assert len(rows) == 2 * (1 + 6)
    # glow: arithmetic 70, 90; lists 50, 60; choice 60, 80
    assert rows.loc[("arithmetic", "glow"), "in_domain_mean"] == approx(80)
    assert rows.loc[("arithmetic", "glow"), "ood_mean"] == approx((55 + 70) / 2)
    assert rows.loc[("choice", "glow"), "in_domain_mean"] == approx(70)
    assert rows.loc[("choice", "glow"), "ood_mean"] == approx((60 + 75) / 2)
    assert "choice (ID for choice)" in table.shown.values()
    assert "domain" in table.shown


def test_without_an_in_domain_suite_there_is_no_such_column(tmp_path: Path) -> None:
    suites = {"lists": {"families": ["sorting"]}, "choice": {"families": ["sorting"]}}
    world = World(tmp_path, document(suites=suites)).write()
    assert not [name for name in main_table(world.results).frame if name.startswith(("in_domain", "gain_in"))]
    rows = shown(grpo_table(world.results))
    assert (rows["base"]["ID before"], rows["base"]["Rose"]) == ("—", "—")


def test_every_cell_is_traced(fabricated: World) -> None:
    sources = main_table(fabricated.results).sources
    folder = "evaluation/sft/arithmetic"
    own = [f"{folder}/glow/seed-{seed}/manifest.json" for seed in (0, 1)]
    assert sources["arithmetic/glow"]["suite_lists_mean"] == own
    assert sources["arithmetic/glow"]["gain_ood_mean"] == [
        *own,
        *(f"{folder}/positive/seed-{seed}/manifest.json" for seed in (0, 1)),
    ]
    assert sources["arithmetic/base"]["ood_se"][0] == "evaluation/base/seed-0/manifest.json"
    assert sources["arithmetic/chance level"]["suite_lists_mean"] == ["suites/lists.jsonl.manifest.json"]
    for table in (main_table(fabricated.results), grpo_table(fabricated.results)):
        for row in [row for name, row in table.sources.items() if name != "arithmetic/chance level"]:
            named = {
                column for column in table.frame if column not in ("domain", "arm", "initialisation", "n")
            }
            assert named - set(row) <= {"in_domain_problems", "ood_problems"}
            assert all((fabricated.root / path).is_file() for paths in row.values() for path in paths)


def test_accuracies_on_single_suites_below_chance_are_marked(tmp_path: Path) -> None:
    class Poor(World):
        """In lists, whose best constant answer gets four of ten, `all` gets three and all others four."""

        def correct(self, run: Run, suite: str) -> list[bool]:
            count = 3 if run.name == "all" else 4
            return [place < count for place in range(10)] if suite == "lists" else super().correct(run, suite)

    table = main_table(Poor(tmp_path, document(seeds=[0], grpo=None)).write().results)
    cells = {row["arm"].text: row["suite_lists"] for row in table.rows}
    assert cells["all"].text.endswith(" ▾")
    assert cells["all"].text.startswith("30.0 ± ")
    assert cells["all"].values["_mean"] == approx(30)
    assert [arm for arm, cell in cells.items() if "▾" in cell.text] == ["all"]
    means = [row[key].text for row in table.rows for key in row if not key.startswith("suite_")]
    assert not any("▾" in text for text in means)
    assert "▾ marks accuracies on single suites below it" in table.caption.read
    assert r"$\bigtriangledown$" in latex(table)


# --- the other tables -----------------------------------------------------------------------------


def test_comparisons(fabricated: World) -> None:
    rows = frame(comparisons_table(fabricated.results), "arm", "over")
    glow = rows.loc[("glow", "OOD mean")]
    assert (glow["n"], glow["questions"], glow["difference_mean"]) == (2, 20, approx(17.5))
    assert glow["interval_low"] == approx(17.5 - 2.5 * T1, abs=1e-4)
    # +15 and +20: t = 17.5 / 2.5 = 7 with one degree of freedom: p = 1 - 2 / pi * atan(7)
    assert glow["p"] == approx(0.0903345, abs=1e-6)
    assert glow["p_holm"] >= glow["p"]
    assert "positive" not in rows.index.get_level_values("arm")
    # the base gets 6 (of 6) and 8 fewer right: differences of 50 and 70
    assert rows.loc[("base", "ID mean"), "difference_mean"] == approx(-60)


class Sampled(World):
    """Four samples a question: on question 0 two right, on 1 one right of three alike wrong, on 2 none."""

    PATTERNS = (
        [("correct", 0), ("wrong", 1), ("correct", 0), ("unparsed", -1)],
        [("wrong", 0), ("wrong", 0), ("correct", 1), ("wrong", 0)],
        [("truncated", -1), ("truncated", -1), ("unparsed", -1), ("wrong", 0)],
    )

    def write_evaluation(self, run: Run) -> None:
        super().write_evaluation(run)
        path = self.results.evaluation(run) / "samples.jsonl.gz"
        rows = [
            {
                "suite": suite, "problem_id": f"p-{place}", "sample_index": index, "format": "boxed",
                "verdict": verdict, "correct": verdict == "correct", "finish_reason": "stop",
                "response_tokens": 10 * (index + 1), "entropy": None, "answer_class": number,
                "family": "sorting", "question": QUESTIONS["lists"], "extracted": None,
            }
            for suite in self.results.experiment.suites
            for place, pattern in enumerate(self.PATTERNS)
            for index, (verdict, number) in enumerate(pattern)
        ]  # fmt: skip
        write_jsonl(path, rows)
        rescore(path, path.with_name("scores.json"))


def test_means_leave_votes_out_where_a_suite_has_none(tmp_path: Path) -> None:
    """A mean of maj@k over fewer suites than the pass@k beside it could exceed it."""

    class Whole(Sampled):
        def write_evaluation(self, run: Run) -> None:
            super().write_evaluation(run)
            path = self.results.evaluation(run) / "samples.jsonl.gz"
            marked = [
                row | ({"scorer": "ifeval"} if row["suite"] == "choice" else {}) for row in read_jsonl(path)
            ]
            write_jsonl(path, marked)
            rescore(path, path.with_name("scores.json"))

    evaluation = {"max_tokens": 64, "samples": 4}
    world = Whole(tmp_path, document(seeds=[0], grpo=None, evaluation=evaluation)).write()
    rows = frame(samples_table(world.results), "over", "arm")
    assert rows.loc[("OOD mean", "glow"), "pass@2_mean"] == approx(100 * (5 / 6 + 1 / 2) / 3)
    assert math.isnan(rows.loc[("OOD mean", "glow"), "maj@2_mean"])
    assert rows.loc[("lists (OOD)", "glow"), "maj@2_mean"] > 0
    assert math.isnan(rows.loc[("choice (OOD)", "glow"), "maj@2_mean"])
    assert rows.loc[("choice (OOD)", "glow"), "pass@4_mean"] == approx(200 / 3)


def test_samples(tmp_path: Path) -> None:
    evaluation = {"max_tokens": 64, "samples": 4}
    world = Sampled(tmp_path, document(seeds=[0], grpo=None, evaluation=evaluation)).write()
    row = frame(samples_table(world.results), "over", "arm").loc[("lists (OOD)", "glow")]
    assert (row["n"], row["questions"], row["tokens_mean"]) == (1, 3, 25)
    # right: 2, 1 and 0 of 4. pass@2: 1 - 1/6, 1 - 3/6, 0; pass@4: 1, 1, 0
    assert row["pass@1_mean"] == approx(25)
    assert row["pass@2_mean"] == approx(100 * (5 / 6 + 1 / 2) / 3)
    assert row["pass@4_mean"] == approx(200 / 3)
    # maj@4: two right against one wrong and one silent; three wrong against one right; nothing right
    assert row["maj@4_mean"] == approx(100 / 3)
    # maj@2 of question 0, six pairs: right-right 1, right-silent 1 (2 pairs), right-wrong a tie (2 pairs),
    # wrong-silent 0: (1 + 2 + 1) / 6; of question 1: three pairs tie, three are wrong: 1.5 / 6
    assert row["maj@2_mean"] == approx(100 * (4 / 6 + 1.5 / 6) / 3)
    assert (row["truncated_mean"], row["unparsed_mean"]) == (approx(100 / 6), approx(100 / 6))
    assert "maj@1_mean" not in samples_table(world.results).frame


def test_samples_of_one_and_suites_by_likelihood(fabricated: World) -> None:
    table = samples_table(fabricated.results)
    assert [key for key in table.columns if "@" in key] == ["pass@1"]
    assert [row["over"].text for row in table.rows[::6]] == [
        "OOD mean", "arithmetic (ID)", "lists (OOD)", "choice (OOD)",
    ]  # fmt: skip


def test_data(fabricated: World) -> None:
    rows = frame(data_table(fabricated.results), "group", "item")
    everything = rows.loc[("trajectories", "all")]
    assert (everything["n"], everything["length_mean"]) == (8, 34.875)
    correct = rows.loc[("verdict", "correct")]
    # Two a problem: both right in two problems, none in two: shares 100, 100, 0, 0: sqrt(10000 / 3 / 4)
    assert (correct["n"], correct["share_mean"], correct["share_se"]) == (4, 50, approx(28.8675, abs=1e-4))
    # lengths (10, 20) and (60, 30): means 15 and 45 of equal sizes, so 30 ± 15
    assert (correct["length_mean"], correct["length_se"]) == (30, approx(15))
    assert rows.loc["verdict"]["n"].to_dict() == {
        "correct": 4, "wrong": 2, "unparsed": 1, "truncated": 1, "timeout": 0, "error": 0,
    }  # fmt: skip
    assert pd.isna(rows.loc[("verdict", "timeout"), "length_mean"])
    assert rows.loc["selection"]["n"].to_dict() == {"positive": 2, "negative": 2, "mixed": 2, "all": 6}
    # Of p-0 to p-3 the first two have right ones alone, the third wrong ones, and the last neither.
    assert rows.loc["questions"]["n"].to_dict() == {"all": 4, "with correct and wrong": 0}
    assert set(rows.loc["verdict"]["length_unit"]) == {"tokens"}
    assert rows.loc["too long"]["n"].to_dict() == {"all arms": 0}


def test_types_of_positives_and_negatives(tmp_path: Path) -> None:
    class Bare(World):
        """The last of the four right ones and the first of the two wrong ones are bare answers."""

        def trajectories(self, domain: str) -> list[dict]:
            bare = {"response": r"So we get \boxed{1}.", "extracted": "1"}
            rows = super().trajectories(domain)
            return [row | (bare if place in (3, 4) else {}) for place, row in enumerate(rows)]

    table = data_table(Bare(tmp_path).write().results)
    rows = frame(table, "group", "item").loc["type"]
    assert rows["n"].to_dict() == {
        "correct: chain": 3,
        "correct: bare": 1,
        "wrong: chain": 1,
        "wrong: bare": 1,
    }
    # Of each verdict; right ones stand two a problem: 100 and 50 %, so 75 ± 25.
    assert rows["share_mean"].tolist() == [75, 25, 50, 50]
    assert rows.loc["correct: chain", "share_se"] == approx(25)
    assert rows["length_mean"].tolist() == [30, 30, 60, 30]
    assert "bare: an answer without a chain of thought" in table.caption.shows


def test_bare_samples_have_a_column(tmp_path: Path) -> None:
    class Bare(World):
        def response(self, run: Run, question: int) -> str:
            return r"\boxed{1}" if run.name == "glow" and question < 3 else super().response(run, question)

    rows = frame(samples_table(Bare(tmp_path, document(grpo=None)).write().results), "over", "arm")
    assert rows.loc[("lists (OOD)", "glow"), "bare_mean"] == approx(30)
    assert rows.loc[("lists (OOD)", "all"), "bare_mean"] == 0


def test_trajectories_that_are_too_long_are_counted(tmp_path: Path) -> None:
    class Long(World):
        def too_long(self, run: Run) -> dict:
            found = {"negative": 2 + 4 * run.seed, "all": 1}.get(run.name, 0)
            return {"found": found, "of": 40, "done": "drop"}

    rows = frame(data_table(Long(tmp_path).write().results), "group", "item").loc["too long"]
    # 2 and 6 of 40: 5 % and 15 %, so 10 ± 5; and 1 of 40 twice.
    assert rows["n"].to_dict() == {"negative: left out": 4, "all: left out": 1}
    assert rows["share_mean"].tolist() == [approx(10), 2.5]
    assert rows["share_se"].tolist() == [approx(5), 0]


def test_where_answers_were_found_and_what_was_overlooked_has_rows_only_where_anything_was(
    fabricated: World, tmp_path: Path
) -> None:
    class Found(World):
        def trajectories(self, domain: str) -> list[dict]:
            places = ["box", "phrase", "phrase", "field", "box", "box", None, None]
            lenient = {0: "percent sign", 1: "percent sign", 3: "not worked out"}
            return [
                row | {"extracted_from": place} | ({"leniency": lenient[k]} if k in lenient else {})
                for k, (row, place) in enumerate(zip(super().trajectories(domain), places, strict=True))
            ]

    table = data_table(Found(tmp_path).write().results)
    rows = frame(table, "group", "item")
    found = rows.loc["answer from"]
    assert found["n"].to_dict() == {"boxes": 3, "phrases": 2, "a field of the rows": 1}
    assert found["share_mean"].tolist() == [37.5, 25, 12.5]
    assert rows.loc["overlooked"]["n"].to_dict() == {"percent sign": 2, "not worked out": 1}
    assert "`leniency` says whether they count" in table.caption.read
    plain = data_table(fabricated.results)
    assert {row["group"].text for row in plain.rows} == {
        "trajectories",
        "verdict",
        "selection",
        "questions",
        "held out",
        "type",
        "too long",
        "label",
    }
    assert "leniency" not in plain.caption.read


def test_lenient_verdicts_have_a_column_only_where_there_are_any(fabricated: World, tmp_path: Path) -> None:
    class Lenient(World):
        def write_evaluation(self, run: Run) -> None:
            super().write_evaluation(run)
            path = self.results.evaluation(run) / "samples.jsonl.gz"
            is_lenient = run.name == "glow"
            marked = [
                row | ({"leniency": "percent sign"} if is_lenient and row["problem_id"] == "p-0" else {})
                for row in read_jsonl(path)
            ]
            write_jsonl(path, marked)

    table = samples_table(Lenient(tmp_path, document(grpo=None)).write().results)
    rows = frame(table, "over", "arm")
    assert rows.loc[("lists (OOD)", "glow"), "lenient_mean"] == approx(10)  # one of ten problems
    assert rows.loc[("lists (OOD)", "all"), "lenient_mean"] == 0
    assert "Lenient are responses" in table.caption.read
    plain = samples_table(fabricated.results)
    assert "lenient" not in plain.columns
    assert "Lenient" not in plain.caption.read


def test_agreement_with_labels(fabricated: World) -> None:
    labels = frame(data_table(fabricated.results), "group", "item").loc["label"]
    assert labels["n"].to_dict() == {
        "compared": 6, "agree": 4, "label true, verdict wrong": 1, "label false, verdict correct": 1,
        "labelled, verdict neither correct nor wrong": 1,
    }  # fmt: skip
    assert labels.loc["agree", "share_mean"] == approx(400 / 6)
    # by problem 2 of 2, 1 of 2, 1 of 2: shares 100, 50, 50: variance 833.33 / 3
    assert labels.loc["agree", "share_se"] == approx((833.3333 / 3) ** 0.5)


def test_unlabelled_data_in_characters(tmp_path: Path) -> None:
    class Imported(World):
        def trajectories(self, domain: str) -> list[dict]:
            return [
                {"problem_id": "p", "verdict": "correct", "response_tokens": None, "response": "x" * size}
                for size in (3, 5)
            ]

    rows = frame(data_table(Imported(tmp_path).write().results), "group", "item")
    assert "label" not in rows.index.get_level_values("group")
    assert rows.loc[("verdict", "correct"), ["length_mean", "length_unit"]].tolist() == [4, "characters"]


def test_entropy(fabricated: World) -> None:
    rows = shown(entropy_table(fabricated.results))
    assert rows["negative"]["Entropy (nats/token)"] == "0.400 ± 1.271"
    # sqrt(1.5 * 1.25) = 1.369, times and over 1.2^(12.706 / 2): see test_measures
    assert rows["negative"]["Change against positive, %"] == "+36.9 [-57.0, +336.1]"
    assert rows["positive"]["Change against positive, %"] == "reference"


class Divided(World):
    """Half of the responses of `negative` are bare: five tokens of 1 nat; its chains are those of `positive`.

    The ends of all responses have 0.1 nats.
    """

    def is_bare(self, run: Run, question: int) -> bool:
        return run.name == "negative" and question % 2 == 0

    def response(self, run: Run, question: int) -> str:
        return r"\boxed{1}" if self.is_bare(run, question) else super().response(run, question)

    def tokens(self, run: Run, question: int) -> int:
        return 5 if self.is_bare(run, question) else 30

    def parts(self, run: Run, question: int) -> dict:
        nats = [0.5] * 10 if self.is_bare(run, question) else [0.3 * (tenth + 1) for tenth in range(10)]
        mean = (sum(nats) + 0.1) / (self.tokens(run, question) + 1)
        return {"entropy_tenths": nats, "entropy_end": 0.1, "entropy": mean, "finish_reason": "stop"}


@pytest.fixture(scope="module")
def divided(tmp_path_factory: pytest.TempPathFactory) -> World:
    return Divided(tmp_path_factory.mktemp("divided"), document(grpo=None)).write()


def test_entropy_of_chains_is_free_of_what_bare_answers_do(divided: World) -> None:
    rows = frame(entropy_table(divided.results), "scope", "arm").loc["all suites"]
    # A chain has 0.3 * 55 = 16.5 nats in 30 tokens, a bare answer 5 in 5; and each an end of 0.1.
    positive, negative = rows.loc["positive"], rows.loc["negative"]
    assert positive["entropy_mean"] == approx(16.6 / 31)
    assert positive["inner_entropy_mean"] == positive["chains_entropy_mean"] == approx(0.55)
    assert negative["entropy_mean"] == approx((16.6 + 5.1) / (31 + 6))
    assert negative["inner_entropy_mean"] == approx(21.5 / 35)
    assert negative["chains_entropy_mean"] == approx(0.55)
    assert negative["inner_change_mean"] == approx(100 * (21.5 / 35 / 0.55 - 1))
    assert negative["chains_change_mean"] == approx(0, abs=1e-9)
    assert (positive["chains"], negative["chains"]) == (2 * 3 * 10, 2 * 3 * 5)
    assert "earlier version" not in entropy_table(divided.results).caption.read


def test_entropy_has_rows_by_scope_and_no_test_over_all_suites(many: World) -> None:
    table = entropy_table(many.results)
    rows = frame(table, "scope", "arm")
    assert list(rows.index.get_level_values("scope").unique()) == ["ID", "OOD", "all suites"]
    # 0.8 against 0.2 and 0.4 by seed, on every question: the geometric mean of 4 and 2 is sqrt(8)
    for scope in ("ID", "OOD", "all suites"):
        assert rows.loc[(scope, "base"), "change_mean"] == approx(100 * (8**0.5 - 1))
    assert [rows.loc[(scope, "glow"), "chains"] for scope in ("ID", "OOD", "all suites")] == [80, 160, 240]
    starred = {row["scope"].text for row in table.rows if row["change"].marked}
    assert starred == {"ID", "OOD"}
    assert rows.loc["all suites"]["change_p_holm"].isna().all()


def test_entropy_by_position(divided: World) -> None:
    table = entropy_positions_table(divided.results)
    for arm in ("positive", "negative"):
        tenths = [frame(table, "arm").loc[arm, f"tenth_{place}_mean"] for place in range(1, 11)]
        assert tenths == approx(
            [0.1 * place for place in range(1, 11)]
        )  # 0.3 nats for each place, in 3 tokens
    assert list(table.columns.values())[3:] == [str(place) for place in range(1, 11)]


def test_results_of_an_earlier_version_say_what_they_lack(tmp_path: Path) -> None:
    class Older(World):
        def parts(self, run: Run, question: int) -> dict:
            return {}

    results = Older(tmp_path).write().results
    table = entropy_table(results)
    row = shown(table)["negative"]
    assert row["Entropy (nats/token)"] == "0.400 ± 1.271"
    assert (row["Without ends"], row["Chains"], row["Change of chains, %"], row["Chains scored"]) == (
        "—",
    ) * 4
    for made in (table, entropy_positions_table(results)):
        assert (
            "of an earlier version of glow, which did not archive the ends of turns apart"
            in made.caption.read
        )
    collect_chains(results)
    build_tables(results)


def test_losses(fabricated: World) -> None:
    table = losses_table(fabricated.results)
    rows = frame(table, "arm", "group")
    assert list(rows.index)[:3] == [("all", "all"), ("all", "chain"), ("all", "chain, matched")]
    row = rows.loc[("all", "chain, matched")]
    # As in test_losses: all four are chains, of 30 and 60 tokens each.
    assert (row["n"], row["right"], row["wrong"]) == (2, 2, 2)
    assert (row["right_last_mean"], row["wrong_last_mean"], row["gap_mean"]) == (
        approx(0.5),
        approx(1.25),
        approx(0.75),
    )
    assert (row["right_slope_mean"], row["wrong_slope_mean"]) == (approx(-0.25), approx(-0.125))
    assert (row["slope_gap_mean"], row["slope_gap_low"]) == (approx(0.125), approx(0.125))
    assert row["right_relative_mean"] == approx(100 * (0.5**0.5 - 1))  # 1.0, 0.7 and 0.5: as test_losses
    assert row["relative_gap_mean"] == approx(100 * ((1.25 / 1.5) ** 0.5 - 0.5**0.5))
    assert "positive" not in rows.index.get_level_values("arm")


def test_weights(fabricated: World) -> None:
    rows = frame(weights_table(fabricated.results), "arm", "epoch")
    assert list(rows.index) == [
        (arm, epoch) for arm in ("glow", "glow_released") for epoch in ("2", "3", "all")
    ]
    first = rows.loc[("glow", "2")]  # 0.2 and 0.3 by seed
    assert (first["n"], first["samples"]) == (2, 4)
    assert (first["mean_mean"], first["mean_se"]) == (approx(0.25), approx(0.05))
    assert pd.isna(first["low_mean"])
    released = rows.loc[("glow_released", "2")]
    assert (released["mean_mean"], released["low_mean"], released["high_mean"]) == (approx(0.55), 75, 0)


def test_gains_and_what_explains_them(fabricated: World) -> None:
    """In epoch 2 the gains are 0.2, 0.4 (right, step 1), 0.1 and 0.2 (wrong, step 2): squares of 0.0475
    around their mean of 0.225, of which 0.0225 are between the steps, and so between the verdicts."""
    rows = frame(gains_table(fabricated.results), "arm", "epoch")
    assert list(rows.index) == [(arm, epoch) for arm in ("glow", "glow_released") for epoch in ("2", "3")]
    second = rows.loc[("glow", "2")]
    assert (second["n"], second["samples"]) == (2, 4)
    assert second["gain_mean"] == approx(0.225)
    assert (second["gain_correct_mean"], second["gain_wrong_mean"]) == (approx(0.3), approx(0.15))
    assert second["relative_gain_correct_mean"] == approx(0, abs=1e-6)
    assert second["relative_gain_wrong_mean"] == approx(0, abs=1e-6)
    assert (second["place_mean"], second["verdict_mean"]) == (approx(900 / 19), approx(900 / 19))
    assert "Relative, of wrong" in gains_table(fabricated.results).shown.values()


def test_held_out_ones_are_counted(fabricated: World) -> None:
    """One of four questions, with two right trajectories of eight."""
    rows = frame(data_table(fabricated.results), "group", "item").loc["held out"]
    assert rows["n"].to_dict() == {"questions": 1, "correct": 2, "wrong": 0}
    assert rows["share_mean"].tolist() == [25, 25, 0]
    assert "that are held out" in data_table(fabricated.results).caption.read


# --- the three forms ------------------------------------------------------------------------------


def test_written_files(two_domains: World) -> None:
    write_tables(two_domains.results.experiment, two_domains.root)
    folder = two_domains.results.tables
    names = {table.name for table in build_tables(two_domains.results)}
    assert names == {
        "gates", "main", "comparisons", "chance", "variance", "published", "published_cells", "grpo",
        "samples", "steps", "entropy", "entropy_positions", "losses", "epochs", "weights", "gains", "suites",
        "data", "contamination",
    }  # fmt: skip
    written = {path.name for path in folder.iterdir()}
    forms = {f"{name}.{suffix}" for name in names for suffix in ("csv", "md", "tex")}
    frames = {"questions.parquet", "trajectories.parquet", "chains.parquet"}
    others = {"questions.json", "tables.json", "examples.json", "sources.json", "manifest.json"}
    assert written == forms | frames | others
    read = pd.read_csv(folder / "main.csv").set_index(["domain", "arm"])
    assert read.loc[("arithmetic", "glow"), "gain_ood_low"] == approx(17.5 - 2.5 * T1, abs=1e-4)
    assert set(json.loads((folder / "sources.json").read_text())) == {"main", "grpo"}
    words = [table["text"] for table in json.loads((folder / "tables.json").read_text())]
    assert words == [sorted(own) for own in words]  # a set has another order in every process
    before = {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "manifest.json"}
    write_tables(two_domains.results.experiment, two_domains.root)
    assert before == {name: (folder / name).read_bytes() for name in before}


def test_tables_are_read_as_they_were_written(two_domains: World) -> None:
    write_tables(two_domains.results.experiment, two_domains.root)
    for built, read in zip(build_tables(two_domains.results), read_tables(two_domains.results), strict=True):
        assert (read.name, read.caption, read.lines) == (built.name, built.caption, built.lines)
        marked = [[cell.marked for cell in row.values()] for row in built.rows]
        assert [[cell.marked for cell in row.values()] for row in read.rows] == marked
        assert (read.text, markdown(read)) == (built.text, markdown(built))
        assert read.frame.to_csv() == built.frame.to_csv()


def test_all_tables_are_latex_and_ascii(two_domains: World) -> None:
    for table in build_tables(two_domains.results):
        assert latex(table).isascii(), table.name


def test_a_missing_evaluation_ends_in_exit_code_2(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    missing = world.root / "evaluation/grpo/arithmetic/all/seed-1/scores.json"
    missing.unlink()
    arguments = ["tables", str(world.root / "experiment.json"), "--results", str(world.root)]
    assert cli.main(arguments) == 2
    assert str(missing) in capsys.readouterr().err
    assert not (world.root / "tables").exists()


def test_a_missing_manifest_is_an_error(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    (world.root / "evaluation/base/seed-0/manifest.json").unlink()
    assert cli.main(["tables", str(world.root / "experiment.json"), "--results", str(world.root)]) == 2
    assert "evaluation/base/seed-0/manifest.json" in capsys.readouterr().err
