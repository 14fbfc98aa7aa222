from pathlib import Path

import pytest
import yaml

from glow.errors import UserError
from glow.reporting.published import read_published

SHIPPED = Path(__file__).parents[3] / "config/reported.yaml"
ENTRY = {"what": "x", "value": 1.0, "unit": "%", "setting": "y", "source": "z"}


def test_shipped_figures_are_those_of_the_abstract() -> None:
    published = read_published(SHIPPED)
    assert [entry.value for entry in published] == [35.67, 5.51, 72.82, 76.47, 11.97, 4.11, 22]
    assert all("2601.04992" in entry.source for entry in published)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"published": [{**ENTRY, "sorce": "z"}]}, r"published\.0\.sorce"),
        ({"published": [{**ENTRY, "value": "many"}]}, r"published\.0\.value"),
        (
            {"published": [{**ENTRY, "ours": [{"measure": "luck", "arm": "glow"}]}]},
            r"published\.0\.ours\.0\.measure",
        ),
        ({"published": []}, "published"),
        ([], "file"),
    ],
)
def test_mistakes_name_the_key(tmp_path: Path, content: object, message: str) -> None:
    path = tmp_path / "reported.yaml"
    path.write_text(yaml.safe_dump(content))
    with pytest.raises(UserError, match=f"{path}: {message}"):
        read_published(path)


def test_missing_and_broken_files(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"none\.yaml: no such configuration file"):
        read_published(tmp_path / "none.yaml")
    broken = tmp_path / "broken.yaml"
    broken.write_text("a: [")
    with pytest.raises(UserError, match="not valid YAML"):
        read_published(broken)
