"""Built-in evaluation tasks (*.yaml beside this file): where their rows come from and what each key means.

Each file is a task file of lm-evaluation-harness, which `lm_eval --include_path` and its TaskManager
load; here the same file is read for its facts, without importing the harness. How a task's rows become
problems is `glow.suites.task_problems`; what its `!function` hooks do is `glow.suites.task_hooks`.
"""

import re
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import Field

from glow.config import AnswerAs, Section, Suite, SuiteFields, SuiteFormat, unknown
from glow.errors import UserError

FOLDER = Path(__file__).parent


class HubRows(Section):
    """A data set on the Hugging Face hub, at one commit."""

    dataset: str = Field(description="org/name", pattern=r"^[\w.-]+/[\w.-]+$")
    revision: str = Field(description="commit hash", pattern=r"^[0-9a-f]{40}$")
    configs: list[str] | None = Field(None, description="configurations (subsets), read one after another")
    split: str = "test"


class TaskFields(Section):
    """For each field, the keys that may hold it (copies of a set differ in names); a row's first is used.

    `hub_config` is the configuration that a hub row came from. Without `answer` a task has no gold
    answers: its scorer decides. `wrong` are the keys of the wrong choices, where `answer` holds the text
    of the right one (GPQA): the choices are then shuffled by a hash of the problem.
    """

    question: list[str] = Field(min_length=1)
    answer: list[str] = Field([])
    choices: list[str] | None = None
    columns: list[str] | None = Field(None, description="keys that hold one choice each, in order")
    answer_as: AnswerAs = "auto"
    wrong: list[str] | None = None
    family: list[str] = Field([])


class Shots(Section):
    """Worked examples before each question, from another split of the same set, by subject."""

    count: int = Field(5, ge=0)
    split: str = "dev"
    local: list[str] = Field([], description="local copies below a data_dir")


class Task(Section):
    """A built-in task.

    Attributes:
        in_domain: the training domain that it is in-domain for, by the paper's names (math, mmlu).
        group: the paper's group of sets: maths, general or other; None for sets that are not in the paper.
        local: paths of its rows below a data_dir; the first that exists is read.
        source: rows of a hub data set or a file; problems that reasoning-gym draws; or questions of a
            task file of lm-eval that is the user's own (`glow.suites.foreign_tasks`).
        listed: whether the question text already lists its choices, with letters, at its end.
        instruction: whether the prompt's instruction (steps, a box) follows the question.
        scorer: what judges a response: our verifier, or the suite's own scorer (`glow.suites.scorers`).
        scorer_fields: keys of a row that the scorer needs.
    """

    suite: str
    version: float = Field(gt=0)
    description: str = Field(min_length=1)
    licence: str = Field(min_length=1)
    in_domain: str | None = None
    group: Literal["maths", "general", "other"] | None = None
    hub: HubRows | None = None
    local: list[str] = Field([])
    source: Literal["rows", "reasoning_gym", "lm_eval"] = "rows"
    fields: TaskFields
    answer_after: str | None = Field(
        None, description="the answer is what follows this mark, where it occurs"
    )
    listed: bool = False
    instruction: bool = True
    scorer: Literal["verifier", "ifeval", "gym"] = "verifier"
    scorer_fields: list[str] = Field([])
    shots: Shots | None = None
    format: SuiteFormat

    @property
    def needs_file(self) -> bool:
        """Whether the rows must be given as a file: no hub data set is known, and nothing generates them."""
        return self.hub is None and self.source == "rows"

    @property
    def has_choices(self) -> bool:
        """Whether every row has choices apart from its question, so that each can be scored."""
        fields = self.fields
        apart = fields.choices is not None and not self.listed
        return fields.wrong is not None or fields.columns is not None or apart


def task_names() -> list[str]:
    """The names of all built-in tasks, without groups and without tasks that read a suite file."""
    others = ("group_", "suite_")
    return sorted(path.stem for path in FOLDER.glob("*.yaml") if not path.stem.startswith(others))


def read_task(name: str) -> Task:
    """The built-in task of that name.

    Raises:
        UserError: no task has that name; the message suggests the nearest.
    """
    if name not in task_names():
        raise UserError(f"suite {unknown(name, task_names())}")
    document = task_document(FOLDER / f"{name}.yaml")
    facts = dict(document["metadata"])
    configs = facts.pop("hub_configs", None) or (
        [document["dataset_name"]] if "dataset_name" in document else None
    )
    if "dataset_path" in document:
        facts["hub"] = {
            "dataset": document["dataset_path"],
            "revision": document["dataset_kwargs"]["revision"],
            "configs": configs,
            "split": document["test_split"],
        }
    facts["format"] = "choice" if document["output_type"] == "multiple_choice" else "boxed"
    return Task.model_validate(facts)


def task_of(name: str, suite: Suite) -> Task:
    """The task of the suite called `name`: a built-in one, or rows of the user's, whose keys it names.

    Raises:
        UserError: no task has that name, or a task file of lm-eval cannot be used.
    """
    if suite.lm_eval is not None:
        return _foreign_task(name, suite.lm_eval)
    if suite.hub_dataset is None and suite.fields is None:
        return read_task(suite.task or name)
    keys = suite.fields or SuiteFields()
    is_builtin = suite.task is not None or (suite.hub_dataset is None and name in task_names())
    task = read_task(
        (suite.task or name) if is_builtin else "multiple_choice" if keys.choices else "questions"
    )
    changed: dict[str, Any] = {"fields": _fields(task.fields, keys)}
    if keys.answer_after is not None:
        changed["answer_after"] = keys.answer_after
    if not is_builtin:
        changed |= {"suite": name}
    if suite.hub_dataset is not None:
        changed["hub"] = HubRows(
            dataset=suite.hub_dataset,
            revision=suite.revision or "",
            configs=suite.hub_configs,
            split=suite.hub_split or "test",
        )
    return task.model_copy(update=changed)


def _fields(said: TaskFields, keys: SuiteFields) -> TaskFields:
    """What the task says of the keys of its rows, with what the suite says otherwise."""
    given: dict[str, Any] = {
        name: [key] for name in ("question", "answer", "family") if (key := getattr(keys, name)) is not None
    }
    if keys.choices is not None:
        several = isinstance(keys.choices, list)
        given |= {"columns": keys.choices} if several else {"choices": [keys.choices], "columns": None}
        given |= {"choices": None} if several else {}
    return said.model_copy(update=given | {"answer_as": keys.answer_as})


def _foreign_task(name: str, file: Path) -> Task:
    """What a user's task file of lm-eval says before lm-eval reads it: its format, and where its rows are."""
    try:
        document = task_document(file)
    except (yaml.YAMLError, OSError, UnicodeDecodeError) as error:
        raise UserError(f"{file}: not a readable task file: {' '.join(str(error).split())}") from None
    kind = document.get("output_type", "generate_until")
    if kind not in ("generate_until", "multiple_choice"):
        raise UserError(
            f"{file}: output_type: {kind} has no right answer for each question; the study asks "
            "generate_until and multiple_choice. `glow lm-eval --include_path` runs it as it is"
        )
    hub = None
    source = str(document.get("dataset_path", ""))
    if "/" in source and not Path(source).exists():
        hub = _foreign_hub(file, source, document)
    return Task.model_validate(
        {
            "suite": name,
            "version": 1.0,
            "description": f"questions of {file.name}",
            "licence": "yours",
            "hub": hub,
            "source": "lm_eval",
            "fields": {
                "question": ["question"],
                "choices": ["choices"] if kind == "multiple_choice" else None,
            },
            "format": "choice" if kind == "multiple_choice" else "boxed",
        }
    )


def _foreign_hub(file: Path, dataset: str, document: dict[str, Any]) -> dict[str, Any]:
    arguments = document.get("dataset_kwargs") or {}
    revision = str(arguments.get("revision", ""))
    if not re.fullmatch("[0-9a-f]{40}", revision):
        raise UserError(
            f"{file}: dataset_path {dataset} may change any day: pin it with "
            "`dataset_kwargs: {revision: <commit hash of 40 digits>}`"
        )
    split = document.get("test_split") or document.get("validation_split") or "test"
    return {"dataset": dataset, "revision": revision, "split": split}


def task_document(path: Path) -> dict[str, Any]:
    """A task file as lm-eval reads it, `include` merged in; a `!function` is left as its name."""
    document = yaml.load(path.read_text(encoding="utf-8"), Loader=_TaskLoader)
    if not isinstance(document, dict):
        raise UserError(f"{path}: not a task file: it must hold keys, such as `task` and `dataset_path`")
    included = document.pop("include", None) or []
    merged: dict[str, Any] = {}
    for name in [included] if isinstance(included, str) else included:
        merged |= task_document(path.parent / name)
    return merged | document


def function_names(document: Any) -> list[str]:
    """The functions that a task file names by `!function`, anywhere in it: code that runs as it is loaded."""
    if isinstance(document, _FunctionName):
        return [document]
    inner = (
        document.values() if isinstance(document, dict) else document if isinstance(document, list) else []
    )
    return [name for value in inner for name in function_names(value)]


class _FunctionName(str):
    """The name of a function, in the place of the function."""


def _function_name(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> Any:
    return _FunctionName(loader.construct_scalar(node))


class _TaskLoader(yaml.SafeLoader):
    """YAML's safe loader, with lm-eval's tag for functions."""


_TaskLoader.add_constructor("!function", _function_name)


def resolved(name: str, suite: Suite, data_dir: Path | None, domains: list[str]) -> Suite:
    """The suite, called `name`, with what its task file says: local files, training domain, group.

    Args:
        data_dir: the experiment's folder of local copies.
        domains: the experiment's training domains; a suite can be in-domain for these only.

    Raises:
        UserError: the task is unknown or does not support a setting, or nothing says where its rows are.
    """
    if suite.families is not None:
        return suite
    task, found = task_of(name, suite), located(name, suite, data_dir)
    said = {"domain": task.in_domain if task.in_domain in domains else None, "group": task.group}
    return found.model_copy(update={key: said[key] for key in said.keys() - suite.model_fields_set})


def located(name: str, settings: Suite, data_dir: Path | None = None) -> Suite:
    """The suite's settings, with local files found below its own `data_dir`, or below `data_dir` otherwise.

    A given `file` is kept. Where the experiment's `data_dir` has no copy, the hub is read.

    Raises:
        UserError: the task is unknown or does not support a setting, or nothing says where its rows are.
    """
    if settings.families is not None:
        return settings
    task = task_of(name, settings)
    _refuse_misfits(name, task, settings)
    if task.source != "rows":
        return settings.model_copy(update={"data_dir": None})
    folder = settings.data_dir or data_dir
    found: dict[str, Any] = {"data_dir": None}
    if folder is not None and settings.file is None:
        found["file"] = _first_present(folder, task.local)
        if found["file"] is None and settings.data_dir is not None:
            kept = " or ".join(task.local) or "no file of this task"
            raise UserError(
                f"data_dir {settings.data_dir}: expected {kept} in it; or give the rows with `file`"
            )
    if folder is not None and settings.shots_file is None and task.shots is not None:
        found["shots_file"] = _first_present(folder, task.shots.local)
    suite = settings.model_copy(update=found)
    _refuse_absent_rows(name, task, suite, folder)
    return suite


def reads_hub(name: str, suite: Suite) -> bool:
    """Whether the rows of the suite, as `located` gives it, come from the hub.

    Raises:
        UserError: the task is unknown.
    """
    if suite.families is not None or suite.file is not None:
        return False
    return task_of(name, suite).hub is not None


def _refuse_misfits(name: str, task: Task, settings: Suite) -> None:
    """Refuse settings that the task does not support."""
    wanted = settings.format or task.format
    if task.source != "rows" and settings.file is not None:
        raise UserError(f"suite {name!r} draws its problems by `seed`: remove `file`")
    if wanted == "choice" and not task.has_choices:
        none = "rows without choices" if task.fields.choices else "no choices"
        raise UserError(f"suite {name!r} has {none}: its format can only be boxed")
    if wanted == "boxed" and task.shots is not None:
        raise UserError(f"suite {name!r} is scored by log-likelihood: for boxed answers take task mmlu")
    for key in ("shots", "shots_file"):
        if task.shots is None and getattr(settings, key) is not None:
            raise UserError(f"suite {name!r} takes no worked examples: remove `{key}`")


def _refuse_absent_rows(name: str, task: Task, suite: Suite, folder: Path | None) -> None:
    """Refuse a suite with neither a file nor a known hub data set for its questions or worked examples."""
    if suite.file is None and task.needs_file:
        raise UserError(
            f"suite {name!r}: no hub data set is known for this task; give its rows with `file`"
            f"{_search_note(folder, task.local)}"
        )
    if task.shots is None or suite.shots_file is not None or 0 in (suite.shots, task.shots.count):
        return
    if suite.file is not None or task.hub is None:
        raise UserError(
            f"suite {name!r}: no worked examples beside {suite.file}; give them with `shots_file` "
            f"(MMLU's dev split), or ask for none with `shots: 0`{_search_note(folder, task.shots.local)}"
        )


def _search_note(folder: Path | None, names: list[str]) -> str:
    return f" (data_dir {folder} has no {' or '.join(names)})" if folder is not None and names else ""


def _first_present(folder: Path, names: list[str]) -> Path | None:
    return next((folder / name for name in names if (folder / name).is_file()), None)
