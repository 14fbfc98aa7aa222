"""config/README.md: every key of a configuration, with its true default and bounds, and no other key."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, get_args, get_origin

import annotated_types
import pytest
import yaml
from pydantic import TypeAdapter
from pydantic.fields import FieldInfo

from glow.config import Experiment, ObjectiveChoice, Section
from glow.experiment import load
from glow.files.records import ANSWER_TYPES
from glow.miniature.families import FAMILIES
from glow.reporting.published import Counterpart, Measure, Published, Unit, read_published
from glow.training.objectives import OBJECTIVES

ROOT = Path(__file__).resolve().parents[3]
README = ROOT / "config" / "README.md"
TEXT = README.read_text(encoding="utf-8")

LIKE = {
    "teacher": "student",
    "students.<name>.model": "student",
    "teacher_prompt": "prompt",
    "sft_prompt": "prompt",
    "grpo.lora": "sft.lora",
}
"""Sections whose keys are explained once, under another name."""

WRITTEN = {
    "student.hub.hub": None,
    "student.hub.revision": "student.revision",
    "student.hub.trust_remote_code": "student.trust_remote_code",
}
"""Keys that stand elsewhere in a file: a hub model is written flat (None: the section's own key)."""


class Key(NamedTuple):
    """A key that a configuration may have."""

    name: str
    field: FieldInfo


def section_in(annotation: Any) -> tuple[type[Section] | None, bool]:
    """The section that a key leads to, if any, and whether its entries have names."""
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return annotation, False
    for argument in get_args(annotation):
        section, is_named = section_in(argument)
        if section is not None:
            return section, is_named or get_origin(annotation) is dict
    return None, False


def keys(section: type[Section], prefix: str = "") -> Iterator[Key]:
    """The keys of a section and of those below it, in dotted form."""
    for name, field in section.model_fields.items():
        path = prefix + name
        written = WRITTEN.get(path, path)
        if written is not None:
            yield Key(written, field)
        inner, is_named = section_in(field.annotation)
        if inner is not None and path not in LIKE:
            yield from keys(inner, path + (".<name>." if is_named else "."))
        if inner is ObjectiveChoice:
            for objective in OBJECTIVES.values():
                yield from keys(objective.settings, f"{path}.<name>.")


KEYS = {key.name: key.field for key in keys(Experiment)}


class Row(NamedTuple):
    """A key as the README explains it."""

    name: str
    meaning: str
    default: str
    allowed: str


def rows(text: str) -> Iterator[Row]:
    """The rows of the tables whose first column is called Key."""
    is_of_keys = False
    for line in text.splitlines():
        if not line.startswith("|"):
            is_of_keys = False
            continue
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        if cells[0] == "Key":
            assert cells == ["Key", "Meaning", "Default", "Allowed values"]
            is_of_keys = True
        elif is_of_keys and not set(cells[0]) <= set("-: "):
            name, meaning, default, allowed = cells
            assert name.startswith("`") and name.endswith("`"), line
            yield Row(name.strip("`"), meaning, default, allowed)


ROWS = list(rows(TEXT))
BY_NAME = {row.name: row for row in ROWS}
BLOCKS = re.findall(r"^```yaml\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
DEFAULTS = {
    name: value
    for block in BLOCKS
    if block.startswith("# The default\n")
    for name, value in yaml.safe_load(block).items()
}
"""Sections that the README shows as they are without a word in the file."""


def test_every_key_is_explained_once_and_no_other() -> None:
    assert len(KEYS) > 100
    names = [row.name for row in ROWS]
    assert [name for name in KEYS if name not in names] == []
    assert [name for name in names if name not in KEYS] == []
    assert len(names) == len(set(names))


def test_the_whole_file_is_shown_in_the_order_of_the_models() -> None:
    assert [row.name for row in ROWS if "." not in row.name] == list(Experiment.model_fields)
    for top in Experiment.model_fields:
        shown = [row.name for row in ROWS if row.name.startswith(f"{top}.")]
        if top != "student":  # Its four ways come first, then the keys of each.
            assert shown == [name for name in KEYS if name.startswith(f"{top}.")]


@pytest.mark.parametrize("name", LIKE)
def test_a_section_explained_elsewhere_is_of_the_same_kind(name: str) -> None:
    assert section_in(KEYS[name].annotation) == section_in(KEYS[LIKE[name]].annotation)


@pytest.mark.parametrize("name", KEYS)
def test_the_default_is_the_models(name: str) -> None:
    field, said = KEYS[name], BY_NAME[name].default
    if field.is_required():
        assert said.startswith("required")
    elif field.default is None:
        assert said.startswith("not set")
    elif said == "as below":
        shown = TypeAdapter(field.annotation).validate_python(DEFAULTS[name])
        assert shown == field.default
        assert list(shown) == list(field.default)
    else:
        written = re.match(r"`([^`]+)`", said)
        assert written is not None, said
        shown = yaml.safe_load(written[1])
        assert type(shown) is type(field.default) or isinstance(field.default, Section | tuple)
        assert TypeAdapter(field.annotation).validate_python(shown) == field.default


KINDS = {
    bool: ["`true` or `false`"],
    int: ["whole number"],
    float: ["number"],
    Path: ["file", "folder"],
    str: ["text", "name", "a task", "a domain"],
}
"""What may stand for a type in the last column."""


def bounds(metadata: list[Any]) -> Iterator[str]:
    """The bounds of a number, in the README's words."""
    low = next((item.ge for item in metadata if isinstance(item, annotated_types.Ge)), None)
    high = next((item.le for item in metadata if isinstance(item, annotated_types.Le)), None)
    above = next((item.gt for item in metadata if isinstance(item, annotated_types.Gt)), None)
    if low is not None and high is not None:
        yield f"from {low} to {high}"
    elif low is not None:
        yield f"at least {low}"
    elif high is not None:
        yield f"at most {high}"
    if above is not None:
        yield f"above {above}"
    below = next((item.lt for item in metadata if isinstance(item, annotated_types.Lt)), None)
    if below is not None:
        yield f"below {below}"


def expected(annotation: Any) -> Iterator[list[str]]:
    """For each thing that an annotation allows, the words of which one must be there."""
    if get_origin(annotation) is Annotated:
        kind, *metadata = get_args(annotation)
        yield from expected(kind)
        for item in metadata:
            yield from ([words] for words in bounds(getattr(item, "metadata", [item])))
    elif get_origin(annotation) is Literal:
        yield from ([f"`{value}`"] for value in get_args(annotation))
    elif get_origin(annotation) in (list, tuple):
        yield ["list"]
    elif section_in(annotation)[0] is not None:
        yield ["section", "a model"]
    elif get_args(annotation):
        for argument in get_args(annotation):
            yield from expected(argument)
    elif annotation in KINDS:
        yield KINDS[annotation]


APART = {"student.hub": "a text where the models have a section", "objectives.<name>.objective": "see below"}
"""Keys whose allowed values are not those of their annotation."""


@pytest.mark.parametrize("name", [key for key in KEYS if key not in APART])
def test_what_is_allowed_is_what_the_models_allow(name: str) -> None:
    field, said = KEYS[name], BY_NAME[name].allowed
    wanted = [*expected(field.annotation), *([words] for words in bounds(field.metadata))]
    assert wanted
    for words in wanted:
        assert any(word in said for word in words), (said, words)
    if section_in(field.annotation)[0] is None:
        values = {str(value) for kind in literals(field.annotation) for value in get_args(kind)}
        quoted = set(re.findall(r"`([^`]+)`", said))
        assert not values or quoted == values


def literals(annotation: Any) -> Iterator[Any]:
    if get_origin(annotation) is Literal:
        yield annotation
    else:
        for argument in get_args(annotation):
            yield from literals(argument)


def test_names_that_other_rooms_define_are_all_there() -> None:
    quoted = re.findall(r"`([^`]+)`", BY_NAME["objectives.<name>.objective"].allowed)
    assert quoted == list(OBJECTIVES)
    families = re.search(r"\*\*Families\*\*.*?:(.*?)\n\n", TEXT, re.DOTALL)
    assert families is not None
    assert re.findall(r"`([^`]+)`", families[1]) == list(FAMILIES)
    kinds = re.search(r"The kinds of an answer are(.*?)\.\n", TEXT, re.DOTALL)
    assert kinds is not None
    assert re.findall(r"`([^`]+)`", kinds[1]) == list(ANSWER_TYPES)


# --- examples -------------------------------------------------------------------------------------

BASE: dict[str, Any] = {
    "name": "example",
    "seeds": [0],
    "student": {"pretrain": {"role": "base", "families": ["sorting"]}},
    "teacher": {"pretrain": {"role": "teacher", "families": ["sorting"]}},
    "domains": {"lists": {"problems": {"families": ["sorting"], "train": 10}}},
    "sampling": {"max_tokens": 32},
    "sft": {},
    "suites": {"gsm8k": {}},
    "evaluation": {"max_tokens": 32},
}
"""What an example of one section needs around it."""


def examples() -> Iterator[dict[str, Any]]:
    for block in BLOCKS:
        if block.startswith("# A file of"):
            continue
        if block.count("\nstudent: "):  # One line, one way.
            yield from map(yaml.safe_load, block.splitlines())
        else:
            yield yaml.safe_load(block)


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with what the examples name: the repository's examples and configurations, and a model."""
    for name in ("examples", "config"):
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / "models" / "my-model").mkdir(parents=True)
    (tmp_path / "models" / "my-model" / "config.json").write_text("{}")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("example", list(examples()), ids=lambda example: next(iter(example)))
def test_every_example_is_valid(example: dict[str, Any], root: Path) -> None:
    document = example if "extends" in example else BASE | example
    if "students" in example:
        del document["student"]
    if "trajectories" in example:
        document = {key: document[key] for key in document.keys() - {"domains", "teacher", "sampling"}}
    experiment = load(document, "README.md")
    for key in example.keys() - {"extends"}:
        assert key in experiment.model_fields_set


def test_every_large_section_has_an_example() -> None:
    shown = {key for example in examples() for key in example}
    large = {top for top in Experiment.model_fields if sum(name.startswith(f"{top}.") for name in KEYS) > 4}
    assert large - shown == set()


def test_published_figures_are_as_explained(tmp_path: Path) -> None:
    (block,) = (block for block in BLOCKS if block.startswith("# A file of"))
    file = tmp_path / "reported.yaml"
    file.write_text(block, encoding="utf-8")
    assert len(read_published(file)) == 1
    _, _, about = TEXT.partition("## reported.yaml")
    named = [*get_args(Measure), *get_args(Unit), *Published.model_fields, *Counterpart.model_fields]
    assert [name for name in named if f"`{name}`" not in about] == []
