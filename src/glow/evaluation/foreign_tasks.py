"""Code that task files of others bring: lm-eval runs it, so it is said which, before it does."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

_FUNCTION = re.compile(r"^[^#\n]*!function\s+([\w.]+)", re.MULTILINE)
_PLACES = ("--include_path", "--tasks", "-t")
"""Options of lm-eval that name files or folders of tasks."""


def code_of_tasks(arguments: Sequence[str], ours: Path) -> list[str]:
    """A line for each place of task files that names functions of files of its own.

    Args:
        arguments: of lm-eval's command line.
        ours: the folder of our task files, which is left out.
    """
    return [
        f"{place}: runs {', '.join(sorted(code))}, which its task files name (!function): read it first"
        for place in _places(arguments)
        if not place.resolve().is_relative_to(ours) and (code := _code(place))
    ]


def _places(arguments: Sequence[str]) -> Iterator[Path]:
    option = ""
    for word in arguments:
        name, _, value = word.partition("=") if word.startswith("-") else ("", "", word)
        option = name or option
        if option in _PLACES:
            yield from (Path(part) for part in value.split(",") if part and Path(part).exists())


def _code(place: Path) -> set[str]:
    """The files of Python whose functions the task files of a place name."""
    files = [place] if place.is_file() else sorted(path for path in place.rglob("*") if "yaml" in path.name)
    found = set()
    for file in files:
        for name in _FUNCTION.findall(file.read_text(encoding="utf-8", errors="replace")):
            found.add(str(file.parent / f"{name.rpartition('.')[0].replace('.', '/')}.py"))
    return found
