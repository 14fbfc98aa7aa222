"""The built-in tasks that ship: every file is valid, hub data sets are pinned, and suites take their word."""

import re
from pathlib import Path

import pytest

from glow.config import Experiment, Suite
from glow.errors import UserError
from glow.experiment import load
from glow.files.jsonl import write_jsonl
from glow.suites.tasks import FOLDER, function_names, located, read_task, task_document, task_names

PAPER = {
    "math": {"math500", "minerva", "amc23", "olympiadbench", "aime24"},
    "mmlu": {"mmlu", "mmlu_pro", "bbh", "bbh_authors"},
    None: {"gpqa_diamond", "acpbench", "headqa", "bbh_dyck", "ifeval"},
}
"""The paper's sets (docs/paper.md, "The set-up") by the training domain that they are in-domain for."""
GROUPS = {"maths": PAPER["math"], "general": PAPER["mmlu"], "other": PAPER[None]}
"""And by the paper's words for its groups."""


@pytest.mark.parametrize("domain", PAPER)
def test_the_papers_sets_are_there_by_group(domain: str | None) -> None:
    for name in PAPER[domain]:
        task = read_task(name)
        assert task.in_domain == domain
        assert task.format == "boxed"


def test_groups_are_the_papers_and_no_other_task_is_in_one() -> None:
    found = {name: read_task(name).group for name in task_names()}
    assert {name for name, group in found.items() if group is None} == set(task_names()).difference(
        *GROUPS.values()
    )
    for group, names in GROUPS.items():
        assert {name for name in found if found[name] == group} == names
        # As lm-eval's group it has BBH once, and that without what another group has.
        document = task_document(FOLDER / f"group_{group}.yaml")
        assert document["group"] == f"glow_{group}"
        assert set(document["task"]) == {f"glow_{name}" for name in names - {"bbh"}}


@pytest.mark.parametrize("name", task_names())
def test_every_task_is_valid(name: str) -> None:
    task = read_task(name)
    assert task.suite == name
    assert task_document(FOLDER / f"{name}.yaml")["task"] == f"glow_{name}"
    if task.hub is not None:
        assert re.fullmatch("[0-9a-f]{40}", task.hub.revision)
    # What has neither a commit to fetch nor a generator says that it wants a file.
    assert task.needs_file == ("`file`" in task.description)


def test_decoding_is_the_papers() -> None:
    for name in set().union(*PAPER.values()):
        decoding = task_document(FOLDER / f"{name}.yaml")["generation_kwargs"]
        assert (decoding["temperature"], decoding["top_p"], decoding["max_gen_toks"]) == (0.6, 0.95, 32768)


def test_bbh_has_its_27_tasks_and_the_release_25_of_them() -> None:
    whole, released, dyck = (read_task(name).hub.configs for name in ("bbh", "bbh_authors", "bbh_dyck"))
    assert len(set(whole)) == 27
    assert len(set(released)) == 25
    assert dyck == ["dyck_languages"]
    assert not set(released) & set(dyck)


def test_an_unknown_task_suggests_the_nearest() -> None:
    with pytest.raises(UserError, match="'math50' is unknown; did you mean 'math500'"):
        read_task("math50")


# --- local copies ---------------------------------------------------------------------------------


@pytest.fixture
def copies(tmp_path: Path) -> Path:
    for name in ("math500/test.jsonl.gz", "mmlu/test.jsonl.gz", "mmlu/dev.jsonl.gz"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        write_jsonl(tmp_path / name, [{"question": "q", "answer": "1"}])
    return tmp_path


def test_copies_are_found_below_a_data_dir(copies: Path) -> None:
    assert located("math500", Suite(data_dir=copies)).file == copies / "math500/test.jsonl.gz"
    assert located("math500", Suite(), copies).file == copies / "math500/test.jsonl.gz"
    few_shot = located("mmlu_loglikelihood", Suite(data_dir=copies))
    assert (few_shot.file, few_shot.shots_file) == (
        copies / "mmlu/test.jsonl.gz",
        copies / "mmlu/dev.jsonl.gz",
    )


def test_a_file_comes_before_a_data_dir(copies: Path) -> None:
    own = copies / "mmlu/dev.jsonl.gz"
    assert located("mmlu", Suite(file=own), copies).file == own
    assert located("mmlu", Suite(file=own, data_dir=copies)).file == own


def test_what_an_experiments_data_dir_lacks_comes_from_the_hub(copies: Path) -> None:
    assert located("aime24", Suite(), copies).file is None
    with pytest.raises(UserError, match=r"expected aime24/test.jsonl.gz in it; or give the rows with `file`"):
        located("aime24", Suite(data_dir=copies))


# --- suites in a configuration --------------------------------------------------------------------


def experiment_with(data_dir: Path | None = None, **suites: dict[str, object]) -> Experiment:
    return load(
        {
            "name": "n",
            "seeds": [0],
            "student": "scratch",
            "trajectories": {"files": [__file__], "domain": "math"},
            "sft": {},
            "evaluation": {"max_tokens": 8},
            "suites": suites,
        }
        | ({"data_dir": str(data_dir)} if data_dir else {}),
        "my.yaml",
    )


def test_a_suite_is_a_task_by_name_or_by_key() -> None:
    suites = experiment_with(
        mmlu={}, mine={"task": "questions", "file": __file__}, easy={"families": ["ledger"]}
    ).suites
    assert list(suites) == ["mmlu", "mine", "easy"]


def test_a_suites_domain_is_its_task_files_unless_the_configuration_says_otherwise() -> None:
    suites = experiment_with(
        math500={},
        aime24={"domain": None},
        mmlu={},
        bbh={"domain": "math"},
        again={"task": "math500"},
        easy={"families": ["ledger"]},
    ).suites
    # There is no training domain mmlu here, so nothing is in-domain for it.
    assert {name: suite.domain for name, suite in suites.items()} == {
        "math500": "math",
        "aime24": None,
        "mmlu": None,
        "bbh": "math",
        "again": "math",
        "easy": None,
    }


def test_a_suites_group_is_its_task_files_too() -> None:
    suites = experiment_with(
        math500={},
        again={"task": "mmlu_pro"},
        gym={},
        aime24={"group": None},
        easy={"families": ["ledger"]},
        brackets={"families": ["brackets"], "group": "other"},
    ).suites
    assert {name: suite.group for name, suite in suites.items()} == {
        "math500": "maths",
        "again": "general",
        "gym": None,
        "aime24": None,
        "easy": None,
        "brackets": "other",
    }


def test_an_experiments_data_dir_reaches_its_suites(copies: Path) -> None:
    suites = experiment_with(copies, math500={}, aime24={}).suites
    assert suites["math500"].file == copies / "math500/test.jsonl.gz"
    assert suites["aime24"].file is None


@pytest.mark.parametrize(
    ("suites", "message"),
    [
        ({"math50": {}}, "my.yaml: suites.math50: suite 'math50' is unknown; did you mean 'math500'"),
        ({"mine": {"task": "mmul"}}, "suites.mine: suite 'mmul' is unknown; did you mean 'mmlu'"),
        (
            {"questions": {}},
            "suites.questions: suite 'questions': no hub data set is known for this task; give its rows",
        ),
        ({"mmlu": {"file": "none.jsonl"}}, "suites.mmlu.file: 'none.jsonl': no such file"),
        ({"mmlu": {"data_dir": "none"}}, "suites.mmlu.data_dir: 'none': no such folder"),
        (
            {"mmlu": {"families": ["ledger"], "task": "mmlu"}},
            "suites.mmlu: give either families, or a task and its file",
        ),
        ({"gym": {"format": "choice"}}, "suite 'gym' has no choices: its format can only be boxed"),
        ({"gym": {"file": __file__}}, "suite 'gym' draws its problems by `seed`: remove `file`"),
        ({"gym": {"shots": 1}}, "suite 'gym' takes no worked examples: remove `shots`"),
        ({"math500": {"format": "choice"}}, "suite 'math500' has no choices: its format can only be boxed"),
        ({"math500": {"shots": 3}}, "suite 'math500' takes no worked examples: remove `shots`"),
        ({"mmlu": {"shots_file": __file__}}, "suite 'mmlu' takes no worked examples: remove `shots_file`"),
        (
            {"acpbench": {"format": "choice", "file": __file__}},
            "suite 'acpbench' has rows without choices: its format can only be boxed",
        ),
        (
            {"mmlu_loglikelihood": {"format": "boxed"}},
            "is scored by log-likelihood: for boxed answers take task mmlu",
        ),
        (
            {"mine": {"task": "mmlu_loglikelihood", "file": __file__}},
            "suites.mine: suite 'mine': no worked examples beside",
        ),
    ],
)
def test_suites_that_a_configuration_may_not_have(suites: dict[str, dict[str, object]], message: str) -> None:
    with pytest.raises(UserError, match=re.escape(message)):
        experiment_with(None, **suites)


def test_what_a_data_dir_was_searched_for_is_said(copies: Path) -> None:
    with pytest.raises(
        UserError, match=rf"give its rows with `file` \(data_dir {copies} has no minerva/test"
    ):
        experiment_with(copies, minerva={})
    (copies / "mmlu/dev.jsonl.gz").unlink()
    with pytest.raises(UserError, match=rf"`shots: 0` \(data_dir {copies} has no mmlu/dev.jsonl.gz\)"):
        experiment_with(copies, mmlu_loglikelihood={})


def test_no_worked_examples_need_no_file() -> None:
    settings = {"file": __file__, "shots": 0}
    assert experiment_with(mmlu_loglikelihood=settings).suites["mmlu_loglikelihood"].shots_file is None


@pytest.mark.parametrize("name", sorted(set(task_names()) - {"mmlu_loglikelihood"}))
def test_choices_are_scored_only_where_every_row_has_them(name: str) -> None:
    suites = {name: {"format": "choice"} | ({} if name == "gym" else {"file": __file__})}
    if name in ("arc_challenge", "gpqa_diamond", "mmlu", "mmlu_pro", "multiple_choice"):
        experiment_with(None, **suites)
    else:
        with pytest.raises(UserError, match="its format can only be boxed"):
            experiment_with(None, **suites)


def test_functions_are_found_wherever_a_task_file_names_them(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(
        "doc_to_text: !function one.text\nmetric_list:\n  - metric: !function two.judge\n    x: [1, text]\n"
    )
    assert function_names(task_document(tmp_path / "a.yaml")) == ["one.text", "two.judge"]
