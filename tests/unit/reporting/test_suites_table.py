"""The table of suites, against values by hand."""

from pathlib import Path

from fabricated import World, document

from glow.reporting.suites_table import suites_table


def test_what_each_suite_asks(fabricated: World) -> None:
    table = suites_table(fabricated.results)
    # best constant answers: lists 4 of 10, choice 5 letters C of 10, arithmetic none
    assert [list(line) for line in table.lines] == [
        ["Suite", "Scope", "Families or task", "Families also in", "Format", "Questions", "Chance %"],
        ["lists", "OOD", "sorting", "choice", "boxed", "10", "40.0"],
        ["arithmetic", "in-domain", "ledger", "—", "boxed", "10", "0.0"],
        ["choice", "OOD", "sorting", "lists", "choice", "10", "50.0"],
    ]
    assert table.frame["chance"].tolist() == [40, 0, 50]


def test_groups_tasks_and_domains_are_named(tmp_path: Path) -> None:
    class Any(World):
        def correct(self, run, suite: str) -> list[bool]:
            return [True] * 10

    problems = {"problems": {"families": ["ledger"], "train": 10, "grpo": 5}}
    suites = {
        "lists": {"families": ["sorting", "membership"], "group": "far"},
        "mmlu": {"task": "mmlu", "domain": "other"},
    }
    domains = {"arithmetic": problems, "other": problems}
    world = Any(tmp_path, document(suites=suites, domains=domains, grpo=None, seeds=[0])).write()
    lists, mmlu = suites_table(world.results).rows
    assert (lists["scope"].text, lists["asks"].text) == ("OOD, far", "sorting, membership")
    assert (mmlu["scope"].text, mmlu["asks"].text) == ("in-domain for other", "task mmlu")
    assert lists["again"].text == mmlu["again"].text == "—"
