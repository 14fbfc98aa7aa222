"""Students beside each other: gains by student, how they grow with size, and the page."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from fabricated import PROBLEMS, World, document
from safetensors.numpy import save_file

from glow.config import Experiment
from glow.errors import UserError
from glow.experiment import load
from glow.reporting.palette import arm_colours, arm_dashes
from glow.reporting.results import Run
from glow.reporting.students.growth import Student, line_weights, read_students, slopes
from glow.reporting.students.page import write_students
from glow.reporting.students.table import size, students_table
from glow.reporting.tables import write_tables

SIZES = {"tiny": (10, "qwen2"), "larger": (40, "qwen2"), "other": (20, "llama")}
"""Student -> parameters, kind of network."""
MORE = {"larger": 2, "other": 1}
"""How many questions more of `lists` its arm glow gets right."""


class OneOf(World):
    """What one student has."""

    def __init__(self, root: Path, student: str, **changes: object) -> None:
        model = {"pretrain": {"role": "base", "families": ["ledger"]}}
        own = document(students={name: model | changes.get(name, {}) for name in SIZES}, grpo=None)
        del own["student"]
        super().__init__(root, own, student)

    def correct(self, run: Run, suite: str) -> list[bool]:
        right = super().correct(run, suite)
        more = MORE.get(self.results.student, 0) if (run.name, suite) == ("glow", "lists") else 0
        return [index < sum(right) + more for index in range(PROBLEMS)]


def students(root: Path, **changes: object) -> list[Student]:
    """Students whose answers are there, and no tables."""
    worlds = [OneOf(root, name, **changes).write() for name in SIZES]
    return [Student(own.results.student, own.results, *SIZES[own.results.student]) for own in worlds]


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished study of three students, all but what is over them; tests must not change it."""
    root = tmp_path_factory.mktemp("three")
    for own in students(root):
        model = own.results.home / "models" / "base"
        save_file({"a": np.zeros(own.parameters - 4), "b": np.zeros((2, 2))}, model / "model.safetensors")
        (model / "config.json").write_text(json.dumps({"model_type": own.architecture}))
        write_tables(own.results.experiment, root, own.name)
    return root


def experiment_of(root: Path) -> Experiment:
    return load(json.loads((root / "experiment.json").read_text()), "frozen")


def test_students_are_ordered_by_their_size(three: Path) -> None:
    found = read_students(experiment_of(three), three)
    assert [(own.name, own.parameters, own.architecture) for own in found] == [
        ("tiny", 10, "qwen2"),
        ("other", 20, "llama"),
        ("larger", 40, "qwen2"),
    ]


def test_a_slope_is_points_for_each_doubling(three: Path) -> None:
    # OOD: lists and choice. Of ten, arm glow of `tiny` has 2 and 1 more right in lists than positive (seeds 0
    # and 1), and 1 and 3 in choice: 15 and 20 points. `larger` has 2 more in lists: 25 and 30. From 10 to 40
    # parameters are two doublings.
    found = slopes(read_students(experiment_of(three), three))
    assert {kind for *_, kind in found} == {"qwen2"}
    growing = found["arithmetic", "glow", "ood", "qwen2"].difference
    assert growing.mean == pytest.approx(5.0)
    assert growing.by_seed == pytest.approx((5.0, 5.0))
    assert growing.n == 2
    assert found["arithmetic", "glow", "in_domain", "qwen2"].difference.mean == pytest.approx(0)
    assert found["arithmetic", "all", "ood", "qwen2"].difference.mean == pytest.approx(0)


def test_the_line_is_that_of_least_squares() -> None:
    sizes, gains = [3, 7, 14, 32], np.array([1.0, 2.5, 2.0, 4.0])
    slope, _ = np.polyfit(np.log2(sizes), gains, 1)
    assert line_weights(sizes) @ gains == pytest.approx(slope)


def test_the_table_has_gains_and_slopes(three: Path) -> None:
    table = students_table(read_students(experiment_of(three), three))
    assert list(table.columns.values()) == [
        *("Domain", "Arm", "Over", "tiny (10)", "other (20)", "larger (40)", "Per doubling, qwen2"),
    ]
    (row,) = (row for row in table.rows if (row["arm"].text, row["over"].text) == ("glow", "OOD mean"))
    assert [row[f"gain_{name}"].values["_mean"] for name in ("tiny", "other", "larger")] == [17.5, 22.5, 27.5]
    assert row["slope_qwen2"].values["_mean"] == pytest.approx(5.0)
    arms = list(dict.fromkeys(row["arm"].text for row in table.rows))
    assert arms == ["base", "negative", "all", "glow", "glow_released"]


def test_an_arm_of_one_student_is_compared_with_none(tmp_path: Path) -> None:
    arms = {"arms": ["positive", "glow"]}
    own = students(tmp_path, tiny=arms, larger={"seeds": [1]})
    found = slopes(own)
    assert {arm for _, arm, _, _ in found} == {"base", "glow"}
    # Of the seed that both have: 20 points and 30, over two doublings.
    growing = found["arithmetic", "glow", "ood", "qwen2"].difference
    assert (growing.mean, growing.n) == (pytest.approx(5.0), 1)
    table = students_table(own)
    (row,) = (row for row in table.rows if (row["arm"].text, row["over"].text) == ("all", "OOD mean"))
    assert [row[key].text == "—" for key in ("gain_tiny", "gain_other", "slope_qwen2")] == [True, False, True]


def test_an_arm_has_one_colour_and_line_whichever_arms_a_student_has(tmp_path: Path) -> None:
    """Arms of names of one's own take their colours in turn, of all arms and not of a student's."""
    named = {f"own_{place}": {"trajectories": "all", "objective": "plain"} for place in range(3)}
    whole = document(students={"all": "scratch", "last": {"model": "scratch", "arms": ["positive", "own_2"]}})
    whole["arms"] |= named
    del whole["student"]
    study = load(whole | {"grpo": None, "contrasts": []}, "some.yaml")
    first, second = (study.of(name) for name in ("all", "last"))
    assert list(arm_colours(second)) == ["base", "positive", "own_2"]
    for alike in (arm_colours, arm_dashes):
        assert alike(second).items() <= alike(first).items()
    assert len(set(arm_colours(first).values())) == len(first.arms) + 1


def test_students_without_a_common_seed_are_not_compared(tmp_path: Path) -> None:
    own = students(tmp_path, tiny={"seeds": [0]}, larger={"seeds": [1]})
    assert slopes(own) == {}
    assert students_table(own).columns.keys() >= {"gain_tiny", "gain_other", "gain_larger"}


def test_the_page_leads_to_every_report(three: Path) -> None:
    write_students(experiment_of(three), three)
    page = (three / "report.html").read_text("utf-8")
    assert re.findall(r'<a href="(students/[^"]+)"', page) == [
        f"students/{name}/report.html" for name in ("tiny", "other", "larger")
    ]
    assert "Whether gains grow with the size of the student" in page
    for suffix in ("csv", "md", "tex"):
        assert (three / "tables" / f"students.{suffix}").is_file()
    assert (three / "figures" / "students.svg").is_file()
    manifest = json.loads((three / "report.html.manifest.json").read_text())
    assert manifest["facts"]["parameters"] == {"tiny": 10, "other": 20, "larger": 40}


def test_one_student_is_compared_with_no_other(fabricated: World) -> None:
    with pytest.raises(UserError, match="the study has one student"):
        read_students(fabricated.results.experiment, fabricated.root)


def test_a_model_that_is_gone_is_named(three: Path, tmp_path: Path) -> None:
    root = shutil.copytree(three, tmp_path / "three")
    other = root / "students" / "other"
    (other / "tables" / "network.json").unlink()
    assert [own.parameters for own in read_students(experiment_of(root), root)] == [10, 20, 40]
    (other / "models" / "base" / "model.safetensors").unlink()
    with pytest.raises(UserError, match="other/models/base: no weights in safetensors"):
        read_students(experiment_of(root), root)


def not_copied(page: str) -> list[str]:
    """The folders of R that docs/cluster.md says may be left out."""
    (said,) = re.findall(r"report alone, leave out (.*?) of `results/<name>`", page, re.DOTALL)
    return re.findall(r"`([a-z]+)`", said)


def test_the_page_is_made_of_results_that_were_copied_without_what_may_be_left_out(
    three: Path, tmp_path: Path
) -> None:
    root = shutil.copytree(three, tmp_path / "three")
    left_out = not_copied((Path(__file__).parents[3] / "docs" / "cluster.md").read_text("utf-8"))
    assert left_out == ["models", "problems", "trajectories"]
    for folder in (root, *(root / "students").iterdir()):
        for name in left_out:
            shutil.rmtree(folder / name, ignore_errors=True)
    assert not list(root.rglob("*.safetensors"))
    experiment = experiment_of(root)
    write_tables(experiment.of("other"), root, "other")  # What was recorded stays.
    write_students(experiment, root)
    found = read_students(experiment, root)
    assert [(own.name, own.parameters, own.architecture) for own in found] == [
        ("tiny", 10, "qwen2"),
        ("other", 20, "llama"),
        ("larger", 40, "qwen2"),
    ]


def test_a_record_of_another_model_does_not_count_and_one_that_is_none_is_refused(
    three: Path, tmp_path: Path
) -> None:
    root = shutil.copytree(three, tmp_path / "three")
    file = root / "students" / "other" / "tables" / "network.json"
    recorded = json.loads(file.read_text())
    assert (recorded["parameters"], recorded["architecture"]) == (20, "llama")
    file.write_text(json.dumps(recorded | {"parameters": 21}))
    assert [own.parameters for own in read_students(experiment_of(root), root)] == [10, 21, 40]
    file.write_text(json.dumps(recorded | {"parameters": 21, "student": {"path": "elsewhere"}}))
    assert [own.parameters for own in read_students(experiment_of(root), root)] == [10, 20, 40]
    file.write_text(json.dumps(recorded | {"parameters": "many"}))
    with pytest.raises(UserError, match=r"other/tables/network\.json: not what .* run `glow tables` again"):
        read_students(experiment_of(root), root)


def test_tables_measure_the_model_again_where_it_is_there(three: Path, tmp_path: Path) -> None:
    root = shutil.copytree(three, tmp_path / "three")
    other = root / "students" / "other"
    save_file({"a": np.zeros(30)}, other / "models" / "base" / "model.safetensors")
    write_tables(experiment_of(root).of("other"), root, "other")
    assert json.loads((other / "tables" / "network.json").read_text())["parameters"] == 30


def test_tables_are_made_without_torch() -> None:
    code = "import sys, glow.reporting.tables; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    ("parameters", "said"),
    [(999, "999"), (47_968, "48 k"), (494_032_768, "494 M"), (999_600_000, "1 B"), (7_615_616_512, "7.62 B")],
)
def test_sizes_are_said_as_people_do(parameters: int, said: str) -> None:
    assert size(parameters) == said
