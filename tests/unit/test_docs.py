"""The pages: their links lead somewhere, their commands exist, and what they say of files is so."""

import argparse
import importlib.util
import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from glow.cli import _parser

ROOT = Path(__file__).resolve().parents[2]
NAMES = sorted(
    str(path.relative_to(ROOT)) for folder in ("", "docs", "config") for path in (ROOT / folder).glob("*.md")
)
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def text(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def prose(page: str) -> str:
    """The page without its blocks, in which `#` and brackets mean other things."""
    return BLOCK.sub("", text(page))


def anchors(page: str) -> set[str]:
    """What a link to a heading of the page may say, as GitHub makes it."""
    headings = re.findall(r"^#+ (.*)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}


def commands(page: str) -> Iterator[list[str]]:
    """The words of every command of a page: lines of bash blocks, and code that begins with a program."""
    lines = [
        line
        for kind, block in BLOCK.findall(text(page))
        if kind == "bash"
        for line in block.replace("\\\n", " ").splitlines()
    ]
    inline = re.findall(r"`((?:glow|make|python|snakemake|pytest) [^`]+)`", prose(page).replace("\n", " "))
    for line in [*lines, *inline]:
        words = shlex.split(line.replace("...", ""), comments=True)
        if words:
            yield [words[0].removeprefix(".venv/bin/"), *words[1:]]


def every(program: str) -> list[tuple[str, list[str]]]:
    """(page, words after the program) of every command of all pages."""
    found = [(page, words) for page in NAMES for words in commands(page)]
    return [(page, words[1:]) for page, words in found if words[0] == program]


@pytest.mark.parametrize("page", NAMES)
def test_links_lead_somewhere(page: str) -> None:
    for link in re.findall(r"\]\(([^)]+)\)", prose(page)):
        if link.startswith("https://"):
            continue
        file, _, anchor = link.partition("#")
        target = (ROOT / page).parent / file if file else ROOT / page
        assert target.exists(), link
        if anchor:
            assert anchor in anchors(str(target.resolve().relative_to(ROOT))), link


def test_every_page_of_docs_is_named_in_the_readme() -> None:
    linked = set(re.findall(r"\((docs/\w+\.md)[)#]", text("README.md")))
    assert linked == {name for name in NAMES if name.startswith("docs/")}


def test_sections_that_the_code_cites_are_there() -> None:
    files = [path for folder in ("src", "tests", "benchmarks") for path in (ROOT / folder).rglob("*.py")]
    cited = [
        found
        for path in [*files, ROOT / "pyproject.toml"]
        for found in re.findall(r'(docs/\w+\.md), "([^"]+)"', path.read_text(encoding="utf-8"))
    ]
    assert ("docs/paper.md", "The GLOW weights") in cited
    for page, section in cited:
        assert re.search(rf"^#+ {re.escape(section)}$", prose(page), re.MULTILINE), (page, section)


def stages() -> dict[str, argparse.ArgumentParser]:
    (action,) = (item for item in _parser()._actions if isinstance(item, argparse._SubParsersAction))
    return dict(action.choices)


def test_the_stages_and_their_options_exist() -> None:
    parsers, seen = stages(), set()
    for page, (stage, *words) in every("glow"):
        if stage in ("--help", "--version"):
            continue
        assert stage in parsers, f"{page}: glow {stage}"
        options = {word for word in words if word.startswith("--")}
        if stage != "lm-eval":
            assert options <= set(parsers[stage]._option_string_actions), f"{page}: glow {stage}"
        seen.add(stage)
    assert {"check", "verify", "rescore", "lm-eval", "unlock"} <= seen


def test_the_make_targets_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", text("Makefile"), re.MULTILINE))
    for page, (target, *_) in every("make"):
        assert target in targets, f"{page}: make {target}"


def test_the_files_that_commands_name_exist() -> None:
    named = [
        (page, word.removeprefix("CONFIG="))
        for program in ("glow", "make", "python", "snakemake", "pytest")
        for page, words in every(program)
        for word in words
        if re.match(r"(CONFIG=)?(config|benchmarks|tests|profiles)/", word)
    ]
    assert len(named) > 20
    for page, file in named:
        assert (ROOT / file).exists(), f"{page}: {file}"


def benchmark_parser(file: str, monkeypatch: pytest.MonkeyPatch) -> argparse.ArgumentParser:
    """The parser of a benchmark, a script that imports its neighbours."""
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    spec = importlib.util.spec_from_file_location(f"benchmark_{Path(file).stem}", ROOT / file)
    assert spec is not None and spec.loader is not None
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.parser()


def test_the_commands_of_the_benchmarks_parse(monkeypatch: pytest.MonkeyPatch) -> None:
    named = [(page, words) for page, words in every("python") if words[0].startswith("benchmarks/")]
    assert len(named) > 6
    for _, (file, *words) in named:
        benchmark_parser(file, monkeypatch).parse_args(words)  # exits where an option or value is wrong


BENCHMARKS = [
    path.name for path in (ROOT / "benchmarks").glob("*.py") if "__main__" in path.read_text("utf-8")
]


@pytest.mark.parametrize("name", BENCHMARKS)
def test_the_help_of_a_benchmark_shows_commands_that_parse(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    parser = benchmark_parser(f"benchmarks/{name}", monkeypatch)
    examples = re.findall(rf"python benchmarks/{name}((?: \S+)*)", parser.format_help())
    assert examples
    for example in examples:
        parser.parse_args(shlex.split(example))


def test_continuous_integration_runs_the_readmes_test_command() -> None:
    assert ["test"] in [words for page, words in every("make") if page == "README.md"]
    assert re.search(r"^time make test$", text(".ci/run"), re.MULTILINE)


def test_the_page_of_the_code_names_every_module_and_no_other() -> None:
    package, named = ROOT / "src" / "glow", set()
    for part in re.split(r"^### ", text("docs/code.md"), flags=re.MULTILINE)[1:]:
        at_top, room = part.startswith("At the top"), re.split(r"\W", part)[0]
        for name in re.findall(r"`(\w+\.py)`", part):
            found = set(package.glob(name) if at_top else (package / room).rglob(name))
            assert found, f"{room}: no {name}"
            named |= found
    missing = {path for path in package.rglob("*.py") if path.name != "__init__.py"} - named
    assert {str(path.relative_to(package)) for path in missing} == set()
