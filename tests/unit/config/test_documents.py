"""documents: one configuration over another, by `extends` and by overlays."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from test_config import MINIMAL

from glow.config import extended
from glow.errors import UserError
from glow.experiment import read


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def write(name: str, content: Any) -> Path:
    file = Path(name)
    file.parent.mkdir(exist_ok=True)
    file.write_text(yaml.safe_dump(content))
    return file


def refusal(content: dict[str, Any]) -> str:
    with pytest.raises(UserError) as caught:
        read(write("own.yaml", content))
    return str(caught.value)


def test_mappings_are_merged_and_all_else_is_replaced() -> None:
    write("config/small.yaml", MINIMAL)
    own = {
        "extends": "config/small.yaml",
        "name": "own",
        "seeds": [5],
        "sft": {"batch_size": 2},
        "grpo": None,
    }
    found = read(write("own.yaml", own))
    assert (found.name, found.seeds, found.grpo) == ("own", [5], None)
    assert (found.sft.epochs, found.sft.batch_size) == (2, 2)
    assert list(found.suites) == ["reversal"]


def test_a_file_extends_one_that_extends_another_and_overlays_come_last() -> None:
    write("first.yaml", MINIMAL)
    write("second.yaml", {"extends": "first.yaml", "sft": {"epochs": 3}, "evaluation": {"samples": 2}})
    third = write("third.yaml", {"extends": "second.yaml", "sft": {"batch_size": 6}})
    overlay = write("overlay.yaml", {"sft": {"batch_size": 7}})
    found = read(third, overlay)
    assert (found.sft.epochs, found.sft.batch_size, found.evaluation.samples) == (3, 7, 2)


def test_what_is_extended_is_whole_and_stays_so() -> None:
    write("small.yaml", MINIMAL)
    whole = extended({"extends": "small.yaml", "name": "own"}, "own.yaml")
    assert whole == MINIMAL | {"name": "own"}
    assert extended(whole, "own.yaml") == whole


def test_a_world_may_be_given_beside_the_file() -> None:
    small = write("small.yaml", MINIMAL)
    assert read(small, world=4).name == "small-world-4"
    assert read(write("third.yaml", {"extends": "small.yaml", "world": 3}), world=4).world == 4


def test_mistakes_name_the_file_and_the_key() -> None:
    assert refusal({"extends": "none.yaml"}) == (
        f"own.yaml: extends: 'none.yaml': no such file in {Path.cwd()}; run in the folder where the path "
        "begins, or give the whole path"
    )
    assert refusal({"extends": ["a"]}).startswith("own.yaml: extends: the name of a file is wanted, found")
    write("list.yaml", [1])
    assert refusal({"extends": "list.yaml"}) == "list.yaml: expected a mapping of keys, found list"


def test_a_circle_is_refused() -> None:
    write("one.yaml", {"extends": "two.yaml"})
    write("two.yaml", {"extends": "one.yaml"})
    said = "own.yaml: extends: 'one.yaml' extends itself, perhaps by way of others"
    assert refusal({"extends": "one.yaml"}) == said
    assert refusal({"extends": "own.yaml"}).endswith("'own.yaml' extends itself, perhaps by way of others")
